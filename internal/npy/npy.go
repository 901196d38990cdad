// Package npy reads and writes NumPy's .npy files: dense arrays of floating point numbers, for initial noise, latents and golden values. It
// reads versions 1 to 3 of the format, with float16, float32 or float64 in either byte order, and writes version 1 with little-endian
// float32. NEP 1 and numpy/lib/format.py define the format.
package npy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
	"github.com/daguerre-go/daguerre/internal/regular"
)

// MaxValues is the largest number of values that is read: 1 GiB of float32.
const MaxValues = 1 << 28

// maxHeaderBytes caps the header; a float array's needs about 100 bytes.
const maxHeaderBytes = 64 << 10

// maxDims is NumPy's own limit.
const maxDims = 64

// ErrFormat is matched by every error about the contents of a file.
var ErrFormat = errors.New("not a usable .npy file")

// Array is a dense array, last index fastest.
type Array struct {
	Shape []int // empty for a scalar
	Data  []float32
}

func fail(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// ReadFile reads a file; errors name it.
func ReadFile(path string) (Array, error) {
	f, _, err := regular.Open(path)
	if err != nil {
		return Array{}, err
	}
	defer f.Close()
	a, err := Read(bufio.NewReader(f))
	if err != nil {
		return Array{}, fmt.Errorf("%s: %w", path, err)
	}
	return a, nil
}

// Read reads one array. Memory grows with the data that arrives: the header alone takes none. float64 values are rounded to float32.
// What follows the array is not read.
func Read(r io.Reader) (Array, error) {
	header, err := readHeader(r)
	if err != nil {
		return Array{}, err
	}
	d, err := parseHeader(header)
	if err != nil {
		return Array{}, err
	}
	decode, size, err := decoder(d.descr)
	if err != nil {
		return Array{}, err
	}
	if d.fortran {
		return Array{}, fail("it is in Fortran order; save it with numpy.ascontiguousarray")
	}
	count := 1
	for _, n := range d.shape {
		if n != 0 && count > MaxValues/n {
			return Array{}, fail("its shape %v has more than %d values", d.shape, MaxValues)
		}
		count *= n
	}
	const chunk = 1 << 16
	data := make([]float32, 0, min(count, chunk))
	buf := make([]byte, min(count, chunk)*size)
	for len(data) < count {
		n := min(count-len(data), chunk)
		got, err := io.ReadFull(r, buf[:n*size])
		if err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return Array{}, fail("it ends after %d of %d data bytes", len(data)*size+got, count*size)
			}
			return Array{}, err
		}
		for i := range n {
			data = append(data, decode(buf[i*size:]))
		}
	}
	return Array{Shape: d.shape, Data: data}, nil
}

func readHeader(r io.Reader) (string, error) {
	var start [8]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return "", fail("it has fewer than 8 bytes")
	}
	if string(start[:6]) != "\x93NUMPY" {
		return "", fail("it does not begin with the magic bytes \\x93NUMPY")
	}
	width := 2 // of the header's length
	switch start[6] {
	case 1:
	case 2, 3:
		width = 4
	default:
		return "", fail("it has format version %d.%d; 1 to 3 are known", start[6], start[7])
	}
	var n [4]byte
	if _, err := io.ReadFull(r, n[:width]); err != nil {
		return "", fail("it ends inside the header's length")
	}
	length := binary.LittleEndian.Uint32(n[:])
	if length > maxHeaderBytes {
		return "", fail("its header claims %d bytes; at most %d are read", length, maxHeaderBytes)
	}
	header := make([]byte, length)
	if _, err := io.ReadFull(r, header); err != nil {
		return "", fail("it ends inside the header of %d bytes", length)
	}
	return string(header), nil
}

// decoder returns how one value of a type is read, and its bytes.
func decoder(descr string) (func([]byte) float32, int, error) {
	if len(descr) != 3 {
		return nil, 0, fail("its type is %q; float16, float32 and float64 are read", descr)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if descr[0] == '>' {
		order = binary.BigEndian
	} else if descr[0] != '<' && descr[0] != '=' && descr[0] != '|' {
		return nil, 0, fail("its type is %q; the byte order is unknown", descr)
	}
	switch descr[1:] {
	case "f2":
		return func(b []byte) float32 { return modelfile.HalfToFloat32(order.Uint16(b)) }, 2, nil
	case "f4":
		return func(b []byte) float32 { return math.Float32frombits(order.Uint32(b)) }, 4, nil
	case "f8":
		return func(b []byte) float32 { return float32(math.Float64frombits(order.Uint64(b))) }, 8, nil
	}
	return nil, 0, fail("its type is %q; float16, float32 and float64 are read: convert it with .astype(numpy.float32)", descr)
}

// Write writes a as version 1.0, little-endian float32.
func Write(w io.Writer, a Array) error {
	count := 1
	parts := make([]string, len(a.Shape))
	for i, n := range a.Shape {
		count *= n
		parts[i] = fmt.Sprint(n)
	}
	if count != len(a.Data) {
		return fmt.Errorf("npy: shape %v has %d values, not the %d given", a.Shape, count, len(a.Data))
	}
	shape := strings.Join(parts, ", ")
	if len(parts) == 1 {
		shape += ","
	}
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }", shape)
	const prefix = 10
	pad := (64 - (prefix+len(header)+1)%64) % 64 // data begin at a multiple of 64, as NumPy writes them
	header += strings.Repeat(" ", pad) + "\n"
	out := bufio.NewWriter(w)
	start := binary.LittleEndian.AppendUint16([]byte("\x93NUMPY\x01\x00"), uint16(len(header)))
	if _, err := out.Write(append(start, header...)); err != nil {
		return err
	}
	if err := binary.Write(out, binary.LittleEndian, a.Data); err != nil {
		return err
	}
	return out.Flush()
}

// WriteFile writes a file; it appears complete or not at all.
func WriteFile(path string, a Array) error {
	return writer.Atomically(path, func(w io.Writer) error { return Write(w, a) }, nil)
}
