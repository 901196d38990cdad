package request

import "cmp"

// SetNegativePrompt says what the picture must not show. An empty text is encoded. A Request without a negative prompt has zeros in its
// place, if the model or ForceZerosForEmptyPrompt says so. Run files, JSON and flags make the same difference.
func (r *Request) SetNegativePrompt(text string) {
	r.NegativePrompt = text
	if text == "" && r.ForceZerosForEmptyPrompt == nil {
		r.ForceZerosForEmptyPrompt = new(false)
	}
}

// NegativeSizes resolves the sizes for the negative half of guidance; the request's own sizes must be filled in. A size that is not given
// is the positive one. (From noise, diffusers uses negative sizes only if both are given.) The crop is as in diffusers. For a refiner it is
// the given one, [0, 0] by default. For other models it is the given one if that is not [0, 0], otherwise the positive one; but from noise,
// with a negative size given, it is [0, 0].
func (r Request) NegativeSizes(refiner bool) (original Size, crop Point, target Size) {
	crop = r.NegativeCropsCoordsTopLeft
	none := r.NegativeOriginalSize == (Size{}) && r.NegativeTargetSize == (Size{})
	fromPicture := !r.InitImage.IsZero() || !r.Latents.IsZero()
	if !refiner && (none || fromPicture) {
		crop = cmp.Or(crop, r.CropsCoordsTopLeft)
	}
	return cmp.Or(r.NegativeOriginalSize, r.OriginalSize), crop, cmp.Or(r.NegativeTargetSize, r.TargetSize)
}
