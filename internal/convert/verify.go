package convert

import (
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// stats sums the difference of two runs of values.
type stats struct {
	squares, differences, most float64
}

func (s *stats) add(want, got []float32) {
	for i, w := range want {
		d := float64(got[i]) - float64(w)
		if d != d && (w != w || got[i] == w) { // NaN stays NaN, infinity infinity
			continue
		}
		s.squares += float64(w) * float64(w)
		s.differences += d * d
		s.most = max(s.most, math.Abs(d))
	}
}

func (s *stats) merge(o stats) {
	s.squares += o.squares
	s.differences += o.differences
	s.most = max(s.most, o.most)
}

// relative is the root of the mean squared difference over that of the values.
func (s *stats) relative() float64 {
	if s.differences == 0 {
		return 0
	}
	return math.Sqrt(s.differences / max(s.squares, math.SmallestNonzeroFloat64))
}

// verify reads the file back: the header must be that of the plan, every tensor's bytes those that were written, and its
// values as near to the input's as its type allows, which the report tells.
func (j *job) verify(path string, report *Report) error {
	f, err := modelfile.Open(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVerify, err)
	}
	defer f.Close()
	j.done = 0
	if len(f.Tensors) != len(j.plan.items) {
		return fmt.Errorf("%w: %d tensors were written, %d are in the file", ErrVerify, len(j.plan.items), len(f.Tensors))
	}
	for i, it := range j.plan.items {
		t, ok := f.Tensor(it.Unique)
		if !ok || t.DType != it.to || !slices.Equal(t.Shape, it.Shape) {
			return fmt.Errorf("%w: tensor %q is %s %v in the file, not %s %v", ErrVerify, it.Unique, t.DType, t.Shape, it.to, it.Shape)
		}
		all, err := j.compare(f, it, j.sums[i])
		if err != nil {
			return describe(it, err)
		}
		report.Tensors[i].Error, report.Tensors[i].MaxError = all.relative(), all.most
	}
	report.sum()
	return nil
}

// compare reads one tensor of the output beside the input's.
func (j *job) compare(f *modelfile.File, it item, want uint32) (stats, error) {
	var all stats
	var sum uint32
	columns := it.columns()
	err := j.each(it, func(c *chunk) error {
		c.stats = stats{}
		c.out = grow(c.out, int(size(it.to, c.elements, columns)))
		if err := f.ReadAt(it.Unique, c.out, size(it.to, c.at, columns)); err != nil {
			return err
		}
		if it.DType == it.to {
			return nil // the same bytes, as the checksum tells
		}
		c.values, c.back = grow(c.values, c.elements), grow(c.back, c.elements)
		if err := j.codec.decode(it.DType, c.in, columns, c.values); err != nil {
			return err
		}
		it.Rescale(c.values, c.at)
		if err := j.codec.decode(it.to, c.out, columns, c.back); err != nil {
			return err
		}
		c.stats.add(c.values, c.back)
		return nil
	}, func(c *chunk) error {
		sum = crc32.Update(sum, table, c.out)
		all.merge(c.stats)
		return nil
	}, StageVerify)
	if err == nil && sum != want {
		err = fmt.Errorf("%w: the bytes read back are not those that were written: check the disk", ErrVerify)
	}
	return all, err
}
