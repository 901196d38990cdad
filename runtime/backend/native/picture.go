package native

import (
	"context"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

const (
	opPicture = "encoding a picture"
	opValues  = "making keys and values of a picture"
)

var _ backend.ImageModel = (*Model)(nil)

// imagePrompts are pictures in the library's terms.
func imagePrompts(list []backend.ImagePrompt) []bindings.ImagePrompt {
	out := make([]bindings.ImagePrompt, len(list))
	for i, p := range list {
		out[i] = bindings.ImagePrompt{Values: bindings.Pointer(p.Values), Count: int64(p.Count), Tokens: int64(p.Tokens),
			OfRow: bindings.Pointer(p.OfRow), Scales: bindings.Pointer(p.Scales), Mask: bindings.Pointer(p.Mask),
			MaskCount: int64(len(p.Mask))}
	}
	return out
}

// EncodePicture implements backend.ImageModel.
func (m *Model) EncodePicture(ctx context.Context, pixels backend.Tensor, hidden bool) (backend.Tensor, error) {
	out, err := contract.EncodePicture(m.info, pixels, hidden)
	if err = refused(opPicture, err); err != nil {
		return backend.Tensor{}, err
	}
	embeds, states := out.Data, []float32(nil)
	if hidden {
		embeds, states = nil, out.Data
	}
	err = m.run(ctx, opPicture, func() error {
		return m.handle.ImageEncode(int64(pixels.Shape[0]), pixels.Data, embeds, states)
	})
	return out, err
}

// ImageValues implements backend.ImageModel.
func (m *Model) ImageValues(ctx context.Context, in backend.ImageInput) (backend.Tensor, error) {
	out, pictures, tokens, err := contract.ImageValues(m.info, in)
	if err = refused(opValues, err); err != nil {
		return backend.Tensor{}, err
	}
	native := bindings.IPAdapterInput{Batch: int64(out.Shape[0]), Pictures: int64(pictures), Tokens: int64(tokens),
		Embeds: bindings.Pointer(in.Embeds.Data), Faces: bindings.Pointer(in.Faces.Data), Shortcut: in.Shortcut}
	return out, m.run(ctx, opValues, func() error { return m.handle.RunIPAdapter(native, out.Data) })
}
