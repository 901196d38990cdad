// Package modeltest makes model files for tests from other files: it adds tensors, removes them, or turns them into scaled FP8.
package modeltest

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
)

// Tensor is one tensor with its bytes.
type Tensor struct {
	Name  string
	DType modelfile.DType
	Shape []int64
	Data  []byte
}

// File is a safetensors file in memory.
type File struct {
	Metadata map[string]string
	Tensors  []Tensor
}

// Read reads a model file.
func Read(t testing.TB, path string) *File {
	t.Helper()
	f, err := modelfile.Open(path)
	require.NoError(t, err)
	defer f.Close()
	out := &File{Metadata: f.Metadata}
	for _, x := range f.Tensors {
		data, err := f.ReadRaw(x.Name)
		require.NoError(t, err)
		out.Tensors = append(out.Tensors, Tensor{x.Name, x.DType, x.Shape, data})
	}
	return out
}

// Write writes the file into a folder of the test's and returns its path.
func (f *File) Write(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f.WriteTo(t, path)
	return path
}

// WriteTo writes the file under a path, whose folder is made.
func (f *File) WriteTo(t testing.TB, path string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	out, err := os.Create(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, out.Close()) }()
	var list []writer.Tensor
	for _, x := range f.Tensors {
		list = append(list, writer.Tensor{Name: x.Name, DType: x.DType, Shape: x.Shape, Size: int64(len(x.Data))})
	}
	require.NoError(t, writer.SafetensorsHeader(out, list, f.Metadata))
	for _, x := range f.Tensors {
		_, err := out.Write(x.Data)
		require.NoError(t, err)
	}
}

// Under is a copy with only the tensors whose names begin with a prefix, and with another prefix in its place.
func (f *File) Under(prefix, instead string) *File {
	out := &File{Metadata: f.Metadata}
	for _, x := range f.Tensors {
		if rest, ok := strings.CutPrefix(x.Name, prefix); ok {
			x.Name = instead + rest
			out.Tensors = append(out.Tensors, x)
		}
	}
	return out
}

// With is a copy with more tensors.
func (f *File) With(more ...Tensor) *File {
	return &File{Metadata: f.Metadata, Tensors: append(slices.Clone(f.Tensors), more...)}
}

// Without is a copy without some tensors.
func (f *File) Without(names ...string) *File {
	out := &File{Metadata: f.Metadata}
	for _, x := range f.Tensors {
		if !slices.Contains(names, x.Name) {
			out.Tensors = append(out.Tensors, x)
		}
	}
	return out
}

// Floats makes a tensor of F32, F16 or BF16.
func Floats(name string, d modelfile.DType, shape []int64, values ...float32) Tensor {
	size, _ := d.Bytes(int64(len(values)), 1)
	x := Tensor{name, d, shape, make([]byte, size)}
	if !d.Encode(values, x.Data) {
		panic("modeltest: " + d + " is not encoded")
	}
	return x
}

// GuidanceProjection is the cond_proj of the goldens, by the rule of tools/goldens/variants.py.
func GuidanceProjection(name string) Tensor {
	x := Tensor{Name: name, DType: modelfile.F16, Shape: []int64{32, 256}}
	for i := range 32 * 256 {
		x.Data = binary.LittleEndian.AppendUint16(x.Data, modelfile.Float32ToHalf(float32(0.05*math.Sin(float64(i)))))
	}
	return x
}
