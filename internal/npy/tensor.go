package npy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
)

func isSafetensors(path string) bool { return strings.EqualFold(filepath.Ext(path), ".safetensors") }

// ReadTensor reads a .npy file, or the only tensor of a .safetensors file.
func ReadTensor(path string) (Array, error) {
	if !isSafetensors(path) {
		return ReadFile(path)
	}
	f, err := modelfile.Open(path)
	if err != nil {
		return Array{}, err
	}
	defer f.Close()
	if len(f.Tensors) != 1 {
		return Array{}, fmt.Errorf("%s: holds %d tensors; a file of embeddings holds one", path, len(f.Tensors))
	}
	t := f.Tensors[0]
	if t.Elements() > MaxValues {
		return Array{}, fmt.Errorf("%s: has %d values; at most %d are read", path, t.Elements(), MaxValues)
	}
	a := Array{}
	for _, n := range t.Shape {
		a.Shape = append(a.Shape, int(n))
	}
	a.Data, err = f.ReadFloat32(t.Name)
	return a, err
}

// WriteTensor writes a .npy file, or a .safetensors file of one tensor of that name, as the extension says.
func WriteTensor(path, name string, a Array) error {
	if !isSafetensors(path) {
		return WriteFile(path, a)
	}
	t := writer.Tensor{Name: name, DType: modelfile.F32, Size: 4 * int64(len(a.Data))}
	for _, n := range a.Shape {
		t.Shape = append(t.Shape, int64(n))
	}
	return writer.Atomically(path, func(w io.Writer) error {
		var out bytes.Buffer
		if err := writer.SafetensorsHeader(&out, []writer.Tensor{t}, map[string]string{"format": "pt"}); err != nil {
			return err
		}
		if err := binary.Write(&out, binary.LittleEndian, a.Data); err != nil {
			return err
		}
		_, err := w.Write(out.Bytes())
		return err
	}, nil)
}
