package contract

import "github.com/daguerre-go/daguerre/runtime/backend"

// pictures checks the pictures of an evaluation of n rows of h x w cells.
func pictures(u backend.UNetInfo, list []backend.ImagePrompt, n, h, w int) error {
	for _, p := range list {
		if p.Count < 1 || p.Tokens < 1 {
			return Invalid("pictures", "%d rows of %d tokens; at least one of each is wanted", p.Count, p.Tokens)
		}
		if want, ok := product(p.Count, p.Tokens, u.AttentionValues); !ok || len(p.Values) != want {
			return Invalid("pictures.values", "there are %d; %d rows of %d tokens need %d", len(p.Values), p.Count, p.Tokens, want)
		}
		if len(p.OfRow) != n || len(p.Scales) != n*u.Attentions {
			return Invalid("pictures.scales", "there are %d, and %d numbers of pictures, for a batch of %d; the UNet has %d attentions",
				len(p.Scales), len(p.OfRow), n, u.Attentions)
		}
		for _, k := range p.OfRow {
			if k < 0 || int(k) >= p.Count {
				return Invalid("pictures.of_row", "%d is not in 0..%d", k, p.Count-1)
			}
		}
		if want := u.MaskCount(h, w); p.Mask != nil && len(p.Mask) != want {
			return Invalid("pictures.mask", "there are %d values; %d x %d cells and the levels below need %d", len(p.Mask), w, h, want)
		}
	}
	return nil
}

// EncodePicture checks pixels for an image encoder, and allocates the result.
func EncodePicture(info backend.ModelInfo, pixels backend.Tensor, hidden bool) (out backend.Tensor, err error) {
	e := info.ImageEncoder
	if err = Need(info, "image_encoder"); err == nil {
		err = Tensor("pixels", pixels, Any, 3, e.Size, e.Size)
	}
	switch {
	case err != nil:
		return out, err
	case hidden:
		return Result(pixels.Shape[0], e.Tokens, e.Width)
	case e.ProjectionDim == 0:
		return out, refusal("the image encoder has no projection, which this IP-Adapter takes", backend.ErrUnsupported)
	}
	return Result(pixels.Shape[0], e.ProjectionDim)
}

// ImageValues checks what an IP-Adapter is given, and allocates the result. It returns how many pictures each row has, and the tokens of
// each.
func ImageValues(info backend.ModelInfo, in backend.ImageInput) (out backend.Tensor, pictures, tokens int, err error) {
	a := info.IPAdapter
	if err = Need(info, "ip_adapter"); err != nil {
		return out, 0, 0, err
	}
	rows, first := 0, in.Embeds
	if a.EmbedDim == 0 {
		first = in.Faces
	}
	if len(first.Shape) > 1 {
		rows, pictures = first.Shape[0], first.Shape[1]
	}
	tokens = 1
	switch {
	case a.EmbedDim == 0:
	case a.Hidden:
		if err = Tensor("embeds", in.Embeds, Any, Any, Any, a.EmbedDim); err == nil {
			tokens = in.Embeds.Shape[2]
		}
	default:
		err = Tensor("embeds", in.Embeds, Any, Any, a.EmbedDim)
	}
	if err == nil && a.FaceDim > 0 {
		err = Tensor("faces", in.Faces, rows, pictures, a.FaceDim)
	}
	if err == nil {
		out, err = Result(rows, pictures*a.Tokens*a.Values)
	}
	return out, pictures, tokens, err
}
