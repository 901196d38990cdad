package steps

import (
	"context"
	"image"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Shown is pictures of one IP-Adapter that stand in the UNet's attentions together, ready for every step: their keys and values do not
// depend on it. They act as in StableDiffusionXLPipeline.
type Shown struct {
	start, end float64
	scales     []float32 // of each cross attention
	values     []float32 // keys and values of the negative row, then of the positive one
	tokens     int       // of a row
	mask       *image.NRGBA
	masks      map[[2]int][]float32 // by the latents' height and width
}

// Embedded is what an IP-Adapter is given for a request: embeddings of pictures, those of faces, or both. The first row is the
// negative one.
type Embedded struct {
	Pictures backend.Tensor // [2, pictures, dim] or [2, pictures, tokens, dim]
	Faces    backend.Tensor // [2, pictures, dim]
}

// NewShown makes the keys and values of an adapter's pictures. Without masks, and with one for all, they stand together. Otherwise each
// picture stands alone, with its mask.
func NewShown(ctx context.Context, net backend.Model, spec *prepare.IPAdapter, e Embedded) ([]*Shown, error) {
	adapter, ok := net.(backend.ImageModel)
	if !ok {
		return nil, backend.ErrUnsupported
	}
	info := net.Info().IPAdapter
	groups := [][2]int{{0, spec.Pictures()}} // first picture and the one after the last
	if len(spec.Masks) > 1 {
		groups = nil
		for i := range spec.Masks {
			groups = append(groups, [2]int{i, i + 1})
		}
	}
	var out []*Shown
	for i, g := range groups {
		in := backend.ImageInput{Embeds: picturesOf(e.Pictures, g), Faces: picturesOf(e.Faces, g), Shortcut: spec.Shortcut}
		values, err := adapter.ImageValues(ctx, in)
		if err != nil {
			return nil, err
		}
		s := &Shown{start: spec.Start, end: spec.End, scales: spec.Scales, values: values.Data, tokens: (g[1] - g[0]) * info.Tokens,
			masks: map[[2]int][]float32{}}
		if s.end == 0 {
			s.end = 1
		}
		if len(spec.Masks) > 0 {
			s.mask = picture.Opaque(spec.Masks[i].Image)
		}
		out = append(out, s)
	}
	return out, nil
}

// picturesOf cuts some pictures out of a tensor [2, pictures, ...].
func picturesOf(t backend.Tensor, g [2]int) backend.Tensor {
	if len(t.Shape) == 0 || g == [2]int{0, t.Shape[1]} {
		return t
	}
	shape := append([]int{t.Shape[0], g[1] - g[0]}, t.Shape[2:]...)
	out := backend.NewTensor(shape...)
	each := backend.Count(t.Shape[2:]...)
	for row := range t.Shape[0] {
		copy(out.Data[row*shape[1]*each:(row+1)*shape[1]*each], t.Data[(row*t.Shape[1]+g[0])*each:])
	}
	return out
}

// acts reports whether the pictures count in evaluation i of n, as a ControlNet's do.
func (s *Shown) acts(i, n int) bool {
	return float64(i)/float64(n) >= s.start && float64(i+1)/float64(n) <= s.end
}

// maskAt is the mask for latents of a size and for the levels below. As diffusers' IPAdapterMaskProcessor, it is made black and white at
// the picture's size, and then shrunk by bicubic interpolation.
func (s *Shown) maskAt(u backend.UNetInfo, height, width, downscale int) []float32 {
	if s.mask == nil {
		return nil
	}
	key := [2]int{height, width}
	if s.masks[key] == nil {
		w, h := width*downscale, height*downscale
		plane := make([]float32, w*h)
		for i, v := range picture.Grey(picture.Resize(s.mask, w, h)) {
			if v >= 0.5 {
				plane[i] = 1
			}
		}
		for _, size := range u.LevelSizes(height, width) {
			s.masks[key] = append(s.masks[key], picture.Shrink(plane, w, h, size[1], size[0])...)
		}
	}
	return s.masks[key]
}
