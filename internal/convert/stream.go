package convert

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"sync"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
)

// chunkElements is about how many elements are converted at a time by one worker.
const chunkElements = 1 << 20

// job is one conversion.
type job struct {
	ctx   context.Context
	opt   Options
	plan  *plan
	codec codec
	sums  []uint32 // checksum of each tensor as written
	done  int64
	work  []chunk // buffers, one for each worker
}

// chunk is a run of whole rows of one tensor on its way.
type chunk struct {
	at       int // of the first element in the tensor
	elements int
	in, out  []byte
	values   []float32
	back     []float32 // verification: what the output holds
	stats    stats
	err      error
}

var table = crc32.MakeTable(crc32.Castagnoli)

// write writes the header and every tensor.
func (j *job) write(w io.Writer, meta map[string]string) error {
	if err := writer.Header(w, j.opt.Format, j.plan.tensors(), meta); err != nil {
		return err
	}
	for i, it := range j.plan.items {
		var unwritten error
		err := j.each(it, func(c *chunk) error { return j.convert(it, c) }, func(c *chunk) error {
			j.sums[i] = crc32.Update(j.sums[i], table, c.out)
			_, unwritten = w.Write(c.out)
			return unwritten
		}, StageWrite)
		if unwritten != nil {
			return unwritten // which is no fault of the tensor
		}
		if err != nil {
			return describe(it, err)
		}
		if _, err := w.Write(writer.Padding(j.opt.Format, it.size)); err != nil {
			return err
		}
	}
	return nil
}

// convert fills c.out from c.in.
func (j *job) convert(it item, c *chunk) error {
	if it.DType == it.to {
		c.out = append(c.out[:0], c.in...)
		return nil
	}
	columns := it.columns()
	c.values, c.out = grow(c.values, c.elements), grow(c.out, int(size(it.to, c.elements, columns)))
	if err := j.codec.decode(it.DType, c.in, columns, c.values); err != nil {
		return err
	}
	it.Rescale(c.values, c.at)
	return j.codec.encode(it.to, c.values, columns, c.out)
}

// each runs work on all chunks of a tensor of the input, several at a time, and then, in order, finish.
func (j *job) each(it item, work, finish func(*chunk) error, stage Stage) error {
	if it.Elements() == 0 {
		return nil // and no row to divide it by
	}
	if j.work == nil {
		j.work = make([]chunk, runtime.GOMAXPROCS(0))
	}
	read, err := reader(it)
	if err != nil {
		return err
	}
	columns := it.columns()
	rows, total := max(chunkElements/columns, 1), int(it.Elements())
	for at := 0; at < total; {
		if err := j.ctx.Err(); err != nil {
			return err
		}
		var wait sync.WaitGroup
		n := 0
		for ; n < len(j.work) && at < total; n++ {
			c := &j.work[n]
			c.at, c.elements = at, min(rows*columns, total-at)
			c.in = grow(c.in, int(size(it.DType, c.elements, columns)))
			if err := read(c.in, size(it.DType, at, columns)); err != nil {
				wait.Wait()
				return err
			}
			at += c.elements
			wait.Go(func() { c.err = work(c) })
		}
		wait.Wait()
		for i := range n {
			c := &j.work[i]
			if c.err != nil {
				return c.err
			}
			if err := finish(c); err != nil {
				return err
			}
			j.done += int64(len(c.in))
		}
		if j.opt.Progress != nil {
			j.opt.Progress(stage, j.done, j.plan.total)
		}
	}
	return nil
}

// reader returns a function that reads bytes of a tensor from an offset within it. Tensors that do not lie in the file
// in the order of their shape are read at once.
func reader(it item) (func(b []byte, offset int64) error, error) {
	if it.Contiguous() {
		return func(b []byte, offset int64) error { return it.File.ReadAt(it.Name, b, offset) }, nil
	}
	all, err := it.File.ReadRaw(it.Name)
	return func(b []byte, offset int64) error { copy(b, all[offset:]); return nil }, err
}

// columns is the length of a row; tensors of plain numbers may be cut anywhere.
func (it *item) columns() int {
	if !it.DType.Quantized() && !it.to.Quantized() {
		return 1
	}
	// A reshaped tensor's blocks run over the ends of its rows; so many rows are whole blocks.
	row, stored := max(int(it.Shape[len(it.Shape)-1]), 1), max(int(it.StoredRow()), 1)
	for n := row; ; n += row {
		if n%stored == 0 {
			return n
		}
	}
}

// size is the bytes of elements in whole rows.
func size(t modelfile.DType, elements, columns int) int64 {
	n, _ := t.Bytes(int64(elements), int64(columns)) // checked by finish, and by modelfile for the input
	return n
}

// grow returns a slice of n elements, b's own memory if that is enough.
func grow[T any](b []T, n int) []T {
	if cap(b) < n {
		return make([]T, n)
	}
	return b[:n]
}

// describe names the tensor that an error is about.
func describe(it item, err error) error {
	return fmt.Errorf("tensor %q, %s to %s: %w", it.Unique, it.DType, it.to, err)
}
