package modelfile

import (
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// wildWeight is far larger than any weight of a model. One wrong bit in an exponent makes such a number.
const wildWeight = 10000

// FindDamage explains a result that is not finite. It reads all weights of some components, or of all. The error (ErrTensor) names the
// first value that is not finite, or else the first that no model has. nil: there is none. Of quantized weights it looks at the scales.
// Cancelling ctx stops it within a megabyte.
func FindDamage(ctx context.Context, t *backend.Table, components ...string) error {
	return findDamage(ctx, t, wildWeight, components)
}

// CheckFinite reads all weights of a table, and refuses a weight that is not finite. It is for small networks in which an activation such
// as max(x, 0) turns a NaN into a zero: the result does not show the damage.
func CheckFinite(ctx context.Context, t *backend.Table) error {
	return findDamage(ctx, t, math.Inf(1), nil)
}

func findDamage(ctx context.Context, t *backend.Table, tooLarge float64, components []string) error {
	var wild error
	for i, file := range t.Files {
		f, _, err := regular.Open(file.Path)
		if err != nil {
			return osError(file.Path, err)
		}
		for _, w := range t.Weights {
			if w.File != i || len(components) > 0 && !slices.Contains(components, w.Component) || err != nil {
				continue
			}
			var found *strange
			if found, err = strangest(ctx, f, w, tooLarge); found == nil {
				continue
			}
			e := &Error{Kind: ErrTensor, Path: file.Path, Field: tensorField(w.Stored), Found: found.String(),
				Remedy: "the file is damaged: download it again"}
			if !found.finite() {
				err = e
			} else if wild == nil {
				wild = e
			}
		}
		_ = f.Close() // opened for reading
		if err != nil {
			return err
		}
	}
	return wild
}

// strange is a number of a weight that no model has.
type strange struct {
	what  string // "value", "scale of block"
	at    int64
	value float32
}

// finite tells whether it is at least a number.
func (s strange) finite() bool { return s.value-s.value == 0 }

func (s strange) String() string {
	text := fmt.Sprintf("%s %d is %v", s.what, s.at, s.value)
	if s.finite() {
		text += ", which no model has"
	}
	return text
}

// strangest returns the first number of a weight that is not finite, or the first that is wild; nil where there is none. Of quantized
// weights these are the scales.
func strangest(ctx context.Context, f *os.File, w backend.Weight, tooLarge float64) (*strange, error) {
	d := DType(strings.ToUpper(string(w.Type)))
	numbers, what := numbersOf(d), "value"
	if len(numbers) == 0 {
		return nil, nil
	}
	if d.Quantized() {
		what = "scale of block"
	}
	width := dtypes[d].bytes
	buf := make([]byte, min(w.Bytes, max(1<<20/width, 1)*width))
	var wild *strange
	for from := int64(0); from < w.Bytes; from += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		buf = buf[:min(w.Bytes-from, int64(len(buf)))]
		if _, err := f.ReadAt(buf, w.Offset+from); err != nil {
			return nil, osError(f.Name(), err)
		}
		for at := int64(0); at+width <= int64(len(buf)); at += width {
			for _, n := range numbers {
				x := n.of(buf[at+int64(n.at):])
				if x-x == 0 && (wild != nil || math.Abs(float64(x)) < tooLarge) {
					continue
				}
				found := &strange{what, (from + at) / width, x}
				if !found.finite() {
					return found, nil
				}
				wild = found
			}
		}
	}
	return wild, nil
}
