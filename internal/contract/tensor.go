package contract

import (
	"fmt"
	"math/bits"
	"strconv"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Any stands for a dimension that may have any positive size.
const Any = -1

// refused is a call that is not made.
type refused struct {
	text string // of a wrong argument it begins with the field's name
	kind error  // backend's
}

func refusal(text string, kind error) error { return &refused{text, kind} }

func (r *refused) Error() string { return r.text }

// Is makes it match its kind without the kind's text in its own.
func (r *refused) Is(target error) bool { return target == r.kind }

// Invalid returns the error of an argument that does not fit.
func Invalid(field, format string, args ...any) error {
	return refusal(field+": "+fmt.Sprintf(format, args...), backend.ErrArgument)
}

// Tensor refuses a tensor whose shape does not fit want, or whose data does not fit its shape.
func Tensor(field string, t backend.Tensor, want ...int) error {
	if len(t.Shape) != len(want) {
		return Invalid(field, "has shape %v; %d dimensions are wanted%s", t.Shape, len(want), wanted(want))
	}
	for i, size := range t.Shape {
		if size < 1 || want[i] != Any && size != want[i] {
			return Invalid(field, "has shape %v%s", t.Shape, wanted(want))
		}
	}
	count, ok := product(t.Shape...)
	if !ok {
		return Invalid(field, "has shape %v, more elements than can be", t.Shape)
	}
	if len(t.Data) != count {
		return Invalid(field, "has %d elements for shape %v, which needs %d", len(t.Data), t.Shape, count)
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
		if size == Any {
			text += "*"
		} else {
			text += strconv.Itoa(size)
		}
	}
	return text + "]"
}

// product multiplies sizes. It is false where one is negative or the product is larger than a slice of float32 can be.
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

// Result allocates a result, or says that its size is impossible.
func Result(shape ...int) (backend.Tensor, error) {
	if _, ok := product(shape...); !ok {
		return backend.Tensor{}, Invalid("result", "of shape %v has more elements than can be", shape)
	}
	return backend.NewTensor(shape...), nil
}
