package backend

import "context"

// Wrap says along which axes a picture has no border. Convolutions there take the values beyond the border from the other side of
// the picture, instead of zeros. The result then continues across the border.
type Wrap int

// The axes. They can be combined.
const (
	WrapX Wrap = 1
	WrapY Wrap = 2
)

type wrapKey struct{}

// WithWrap returns a context under which all models wrap along axes. It is a value of the context, not an argument, because all
// calls of a run must agree, on whichever model.
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
