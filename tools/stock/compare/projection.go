package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
)

// originalProjection is OpenCLIP's projection of the pooled text embedding in the original layout, [width,
// projection], which is multiplied from the right: pooled x projection.
const originalProjection = "conditioner.embedders.1.model.text_projection"

// stockProjection is the stock engine's name for it behind the prefix that it gives to clip_g. The engine
// multiplies it as a linear layer's weight, [projection, width], whichever layout it comes from.
const stockProjection = "text_model.text_projection"

// writeProjection writes the transpose of the model's projection to a file in the folder, which the
// stock engine takes in place of the checkpoint's, and returns its path. It returns "" for a model that does not have the
// projection in the original layout: the engine treats diffusers' as it should.
func writeProjection(model, folder string) (string, error) {
	f, err := modelfile.Open(model)
	if err != nil {
		return "", err
	}
	defer f.Close()
	t, ok := f.Tensor(originalProjection)
	if !ok {
		return "", nil
	}
	if len(t.Shape) != 2 {
		return "", fmt.Errorf("%s: %s has the shape %v, not [width, projection]", model, t.Name, t.Shape)
	}
	values, err := f.ReadFloat32(t.Name)
	if err != nil {
		return "", err
	}
	rows, columns := int(t.Shape[0]), int(t.Shape[1])
	transposed := make([]float32, len(values))
	for i, v := range values {
		transposed[i%columns*rows+i/columns] = v
	}
	path := filepath.Join(folder, "text_projection.safetensors")
	return path, writeMatrix(path, stockProjection, columns, transposed)
}

// writeMatrix writes a file of one F32 tensor with so many rows.
func writeMatrix(path, name string, rows int, values []float32) error {
	var out bytes.Buffer
	t := writer.Tensor{Name: name, DType: modelfile.F32, Shape: []int64{int64(rows), int64(len(values) / rows)}, Size: int64(4 * len(values))}
	return errors.Join(writer.SafetensorsHeader(&out, []writer.Tensor{t}, nil), binary.Write(&out, binary.LittleEndian, values),
		os.WriteFile(path, out.Bytes(), 0o644))
}
