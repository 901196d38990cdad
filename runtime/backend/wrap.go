package backend

import "context"

// Wrap holds the axes along which a model's convolutions take what lies beyond the border of a picture, or of latents, from its other side
// instead of zeros. What they yield then continues across that border.
type Wrap int

// The axes; they may be combined.
const (
	WrapX Wrap = 1
	WrapY Wrap = 2
)

type wrapKey struct{}

// WithWrap has all that models compute under the context wrap along axes. A run is asked for in several calls of several models, all of
// which have to agree: hence a value of the context and no argument.
func WithWrap(ctx context.Context, axes Wrap) context.Context {
	if WrapOf(ctx) == axes {
		return ctx
	}
	return context.WithValue(ctx, wrapKey{}, axes)
}

// WrapOf returns the axes of a context: 0 where there are none.
func WrapOf(ctx context.Context) Wrap {
	axes, _ := ctx.Value(wrapKey{}).(Wrap)
	return axes
}
