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
// first value that is not finite, or else the first that no model has. nil: there is none. Quantized weights are skipped. Cancelling ctx
// stops it within a megabyte.
func FindDamage(ctx context.Context, t *backend.Table, components ...string) error {
	return findDamage(ctx, t, wildWeight, components)
}

// CheckFinite reads all weights of a model's files, and refuses a weight that is not finite. It is for small networks in which an
// activation such as max(x, 0) turns a NaN into a zero: the result does not show the damage.
func CheckFinite(ctx context.Context, files backend.Files) error {
	m, err := ReadModel(files)
	if err != nil {
		return err
	}
	t, err := m.Table()
	if err != nil {
		return err
	}
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
			at, v, found := 0, float32(0), false
			if at, v, found, err = strangest(ctx, f, w, tooLarge); !found {
				continue
			}
			e := &Error{Kind: ErrTensor, Path: file.Path, Field: tensorField(w.Stored), Remedy: "the file is damaged: download it again"}
			if finite := v-v == 0; finite {
				e.Found = fmt.Sprintf("value %d is %v, which no model has", at, v)
				if wild == nil {
					wild = e
				}
			} else {
				e.Found = fmt.Sprintf("value %d is %v", at, v)
				err = e
			}
		}
		_ = f.Close() // opened for reading
		if err != nil {
			return err
		}
	}
	return wild
}

// strangest returns the first value of a weight that is not finite, or else the first that is far too large.
func strangest(ctx context.Context, f *os.File, w backend.Weight, tooLarge float64) (at int, v float32, found bool, err error) {
	d := DType(strings.ToUpper(string(w.Type)))
	if convertible[d] == nil {
		return 0, 0, false, nil
	}
	width := int(dtypes[d].bytes)
	buf := make([]byte, min(w.Bytes, 1<<20))
	values := make([]float32, len(buf)/width)
	for from := int64(0); from < w.Bytes; from += int64(len(buf)) {
		if err := ctx.Err(); err != nil {
			return 0, 0, false, err
		}
		buf = buf[:min(w.Bytes-from, int64(len(buf)))]
		if _, err := f.ReadAt(buf, w.Offset+from); err != nil {
			return 0, 0, false, osError(f.Name(), err)
		}
		values = values[:len(buf)/width]
		d.Decode(buf, values)
		for i, x := range values {
			if x-x != 0 || !found && math.Abs(float64(x)) >= tooLarge {
				at, v, found = int(from)/width+i, x, true
			}
			if x-x != 0 {
				return at, v, true, nil
			}
		}
	}
	return at, v, found, nil
}
