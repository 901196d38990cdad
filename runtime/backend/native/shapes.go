package native

import (
	"math/bits"
	"strconv"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// anySize stands for a dimension that may have any positive size.
const anySize = -1

// checkTensor refuses a tensor whose shape does not fit want, or whose data does not fit its shape.
func checkTensor(op Op, field string, t backend.Tensor, want ...int) error {
	if len(t.Shape) != len(want) {
		return invalid(op, field, "has shape %v; %d dimensions are wanted%s", t.Shape, len(want), wanted(want))
	}
	for i, size := range t.Shape {
		if size < 1 || want[i] != anySize && size != want[i] {
			return invalid(op, field, "has shape %v%s", t.Shape, wanted(want))
		}
	}
	count, ok := product(t.Shape...)
	if !ok {
		return invalid(op, field, "has shape %v, more elements than can be", t.Shape)
	}
	if len(t.Data) != count {
		return invalid(op, field, "has %d elements for shape %v, which needs %d", len(t.Data), t.Shape, count)
	}
	return nil
}

// wanted shows a shape with stars for sizes that are free.
func wanted(shape []int) string {
	text := "; wanted is ["
	for i, size := range shape {
		if i > 0 {
			text += " "
		}
		if size == anySize {
			text += "*"
		} else {
			text += strconv.Itoa(size)
		}
	}
	return text + "]"
}

// product multiplies sizes. It is false where one is negative or the product is beyond what a slice of
// float32 can have.
func product(sizes ...int) (int, bool) {
	n := uint64(1)
	for _, size := range sizes {
		if size < 0 {
			return 0, false
		}
		hi, lo := bits.Mul64(n, uint64(size))
		if hi != 0 || lo > 1<<60 {
			return 0, false
		}
		n = lo
	}
	return int(n), true
}

// newTensor allocates a result, or says that its size is impossible.
func newTensor(op Op, shape ...int) (backend.Tensor, error) {
	if _, ok := product(shape...); !ok {
		return backend.Tensor{}, invalid(op, "result", "of shape %v has more elements than can be", shape)
	}
	return backend.NewTensor(shape...), nil
}

// require refuses an operation whose component was not opened.
func (m *Model) require(op Op, component int) error {
	for _, c := range m.info.Components {
		if c.Name == componentNames[component] && c.Opened {
			return nil
		}
	}
	return status(op, bindings.CodeUnsupported, "this model (%s) has no %s; give one with a file for it",
		m.info.Kind, componentNames[component])
}
