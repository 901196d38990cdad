package request

import "cmp"

// SetNegativePrompt says what the picture must not show. An empty text is encoded as such; a Request without a negative prompt has zeros
// in its place, where the model or ForceZerosForEmptyPrompt says so. Run files, JSON and flags tell the two apart in the same way.
func (r *Request) SetNegativePrompt(text string) {
	r.NegativePrompt = text
	if text == "" && r.ForceZerosForEmptyPrompt == nil {
		r.ForceZerosForEmptyPrompt = new(false)
	}
}

// NegativeSizes resolves what the negative half of guidance is told of sizes, of a request whose own sizes are filled in. Each size is the
// positive one where none is given. (diffusers takes them from noise only where both are given.) The crop is, as in diffusers: as given for
// a refiner, [0, 0] by default; else as given where it is not [0, 0]; else the positive one, but from noise [0, 0] where a negative size is
// given.
func (r Request) NegativeSizes(refiner bool) (original Size, crop Point, target Size) {
	crop = r.NegativeCropsCoordsTopLeft
	none := r.NegativeOriginalSize == (Size{}) && r.NegativeTargetSize == (Size{})
	fromPicture := !r.InitImage.IsZero() || !r.Latents.IsZero()
	if !refiner && (none || fromPicture) {
		crop = cmp.Or(crop, r.CropsCoordsTopLeft)
	}
	return cmp.Or(r.NegativeOriginalSize, r.OriginalSize), crop, cmp.Or(r.NegativeTargetSize, r.TargetSize)
}
