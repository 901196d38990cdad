package synth

import (
	"context"
	"encoding/binary"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

const chunkBytes = 4 << 20

// levels is the number of distinct values of a tensor: the quantiles of a normal distribution at
// (i + 1/2) / levels. Sixteen random bits choose one, so a draw is a table look-up.
const levels = 1 << 16

// quantiles of the standard normal distribution.
var quantiles = sync.OnceValue(func() []float32 {
	q := make([]float32, levels)
	for i := range levels / 2 {
		x := math.Sqrt2 * math.Erfinv(2*(float64(i)+0.5)/levels-1)
		q[i], q[levels-1-i] = float32(x), float32(-x)
	}
	return q
})

// mix is the output function of SplitMix64 (Steele, Lea, Flood 2014). Applied to a counter it is a
// generator whose draws can be computed in any order.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

const gamma = 0x9e3779b97f4a7c15

// hash is FNV-1a, finished with mix.
func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// distribution returns mean and standard deviation of a tensor's elements. Matrices keep the variance of
// their input (1/fan-in); residual branches add little to the stream that runs past them, so that it stays
// within F16 through 70 transformer blocks.
func distribution(s modelfile.Spec) (mean, std float64) {
	fan := 1 / math.Sqrt(float64(s.FanIn()))
	switch s.Role {
	case modelfile.RoleNorm:
		return 1, 0.05
	case modelfile.RoleBias:
		return 0, 0.02
	case modelfile.RoleResidual:
		return 0, 0.3 * fan
	case modelfile.RoleOut:
		if strings.HasPrefix(s.Name, "encoder.") {
			return 0, 0.2 * fan // moments: small log-variances
		}
		return 0, fan
	case modelfile.RoleEmbedding:
		return 0, 0.05
	case modelfile.RolePosition:
		return 0, 0.02
	case modelfile.RoleMean:
		return 0, 0.2
	case modelfile.RoleVariance:
		return 0.4, 0.06 // keeps the spread of what passes through SiLU
	case modelfile.RoleLogitScale:
		return math.Log(100), 0
	}
	if s.Name == "text_projection" || s.Name == "text_projection.weight" {
		return 0, 1 / math.Sqrt(float64(s.Shape[0]))
	}
	return 0, fan
}

// filler writes tensor data and reports progress.
type filler struct {
	ctx      context.Context
	seed     uint64
	progress func(done, total int64)
	done     int64
	total    int64
	hollow   bool // a hole instead of weights
	buf      []byte
	table    []byte // levels elements of the current tensor's type
}

// fill writes one tensor to w.
func (f *filler) fill(w io.Writer, it item) error {
	if it.Role == modelfile.RolePositionIDs {
		return f.positionIDs(w, it)
	}
	if it.Role == modelfile.RoleBins {
		return f.bins(w, it)
	}
	width := f.prepare(it)
	if it.transpose {
		return f.transposed(w, it, width)
	}
	seed := f.stream(it)
	for n, at := elements(it.Shape), it.offset; n > 0; {
		count := min(n, int64(len(f.buf)/width))
		f.draw(f.buf[:count*int64(width)], seed, at, width)
		if err := f.write(w, f.buf[:count*int64(width)]); err != nil {
			return err
		}
		n -= count
		at += count
	}
	return nil
}

// prepare builds the table for a tensor's distribution and type, and returns bytes per element. For a
// small tensor only the entries that will be drawn are computed.
func (f *filler) prepare(it item) int {
	if f.buf == nil {
		f.buf, f.table = make([]byte, chunkBytes), make([]byte, 4*levels)
	}
	width := 2
	if it.dtype == modelfile.F32 {
		width = 4
	}
	mean, std := distribution(it.Spec)
	q := quantiles()
	set := func(i uint16) {
		v := float32(mean + std*float64(q[i]))
		it.dtype.Encode([]float32{v}, f.table[width*int(i):width*(int(i)+1)])
	}
	if n := elements(it.Shape); n < levels {
		for at := it.offset; at < it.offset+n; at++ {
			set(index(f.stream(it), at))
		}
		return width
	}
	for i := range levels {
		set(uint16(i))
	}
	return width
}

// stream is the seed of a tensor's random numbers.
func (f *filler) stream(it item) uint64 { return mix(f.seed+gamma) ^ it.key }

// index is the quantile that element number at of a stream takes; draw does the same four at a time.
func index(stream uint64, at int64) uint16 {
	return uint16(mix(stream+uint64(at/4)*gamma) >> (16 * uint(at%4)))
}

// draw fills out with the elements from number at on. Each random word yields four.
func (f *filler) draw(out []byte, seed uint64, at int64, width int) {
	i := 0
	one := func() {
		copy(out[i:i+width], f.table[int(index(seed, at))*width:])
		i += width
		at++
	}
	for at%4 != 0 && i < len(out) {
		one()
	}
	z := seed + uint64(at/4)*gamma
	if width == 2 {
		table := f.table[:2*levels]
		for ; i+8 <= len(out); i += 8 {
			r := mix(z)
			z += gamma
			w := uint64(at16(table, r)) | uint64(at16(table, r>>16))<<16 | uint64(at16(table, r>>32))<<32 | uint64(at16(table, r>>48))<<48
			binary.LittleEndian.PutUint64(out[i:], w)
			at += 4
		}
	} else {
		for ; i+16 <= len(out); i += 16 {
			r := mix(z)
			z += gamma
			for lane := range 4 {
				copy(out[i+4*lane:i+4*lane+4], f.table[4*int(uint16(r>>(16*lane))):])
			}
			at += 4
		}
	}
	for i < len(out) {
		one()
	}
}

func at16(table []byte, r uint64) uint16 {
	return binary.LittleEndian.Uint16(table[2*int(uint16(r)):])
}

// transposed writes a matrix whose stream holds it column by column; only text projections need it.
func (f *filler) transposed(w io.Writer, it item, width int) error {
	rows, cols := int(it.Shape[0]), int(it.Shape[1])
	src := make([]byte, rows*cols*width)
	f.draw(src, f.stream(it), it.offset, width)
	out := make([]byte, len(src))
	for r := range rows {
		for c := range cols {
			copy(out[(r*cols+c)*width:(r*cols+c+1)*width], src[(c*rows+r)*width:])
		}
	}
	return f.write(w, out)
}

func (f *filler) positionIDs(w io.Writer, it item) error {
	b := make([]byte, it.size)
	for i := range elements(it.Shape) {
		binary.LittleEndian.PutUint64(b[8*i:], uint64(i))
	}
	return f.write(w, b)
}

// bins writes 0, 1, 2, ...
func (f *filler) bins(w io.Writer, it item) error {
	values := make([]float32, elements(it.Shape))
	for i := range values {
		values[i] = float32(i)
	}
	b := make([]byte, it.size)
	it.dtype.Encode(values, b)
	return f.write(w, b)
}

func (f *filler) write(w io.Writer, b []byte) error {
	if err := f.ctx.Err(); err != nil {
		return err
	}
	n, err := w.Write(b)
	f.done += int64(n)
	if f.progress != nil {
		f.progress(f.done, f.total)
	}
	return err
}
