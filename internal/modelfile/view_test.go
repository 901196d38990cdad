package modelfile

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Parts, transposes and PyTorch's views, as a table says where they lie.
func TestViewsOfTensors(t *testing.T) {
	plain := Tensor{Name: "x", DType: F16, Shape: []int64{6, 2}, Offset: 100, Size: 24}
	strided := plain
	strided.strides, strided.span = []int64{1, 6}, 24
	pixel := strided // a kernel of one pixel
	pixel.Shape, pixel.strides = []int64{6, 2, 1, 1}, []int64{1, 6, 9, 9}
	third := CanonicalPart{Name: "unet.x", Part: 2, Parts: 3}
	turned := CanonicalPart{Name: "unet.x", Parts: 1, Transpose: true}
	for name, c := range map[string]struct {
		tensor  Tensor
		part    CanonicalPart
		offset  int64
		bytes   int64
		shape   []int64
		strides []int64
	}{
		"as it is":             {plain, CanonicalPart{Name: "unet.x", Parts: 1}, 100, 24, []int64{6, 2}, nil},
		"the last third":       {plain, third, 116, 8, []int64{2, 2}, nil},
		"transposed":           {plain, turned, 100, 24, []int64{2, 6}, []int64{1, 2}},
		"a view":               {strided, CanonicalPart{Name: "unet.x", Parts: 1}, 100, 24, []int64{6, 2}, []int64{1, 6}},
		"the third of a view":  {strided, third, 108, 16, []int64{2, 2}, []int64{1, 6}},
		"the turn of a view":   {strided, turned, 100, 24, []int64{2, 6}, []int64{6, 1}},
		"a convolution's view": {pixel, turned, 100, 24, []int64{2, 6}, []int64{6, 1}},
	} {
		spec := Spec{Component: "unet", Shape: []int64{6, 2}, Use: backend.UseMatrix, Canonical: []CanonicalPart{c.part}}
		claim := claim{spec, entry{Tensor: c.tensor, file: 1}}
		got := claim.weights(nil, 3)
		assert.Equal(t, []backend.Weight{{Component: "unet", Name: "unet.x", Use: backend.UseMatrix, Shape: c.shape, Stored: "x", File: 4,
			Offset: c.offset, Bytes: c.bytes, Type: backend.TypeF16, Strides: c.strides}}, got, name)
	}
}
