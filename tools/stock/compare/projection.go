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

// stockProjection is the stock engine's name for it behind the prefix that it gives to --clip-g. The engine
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
	data, err := safetensors(stockProjection, transposed(values, int(t.Shape[0])))
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "text_projection.safetensors")
	return path, os.WriteFile(path, data, 0o644)
}

// matrix is a dense matrix, last index fastest.
type matrix struct {
	rows, columns int
	values        []float32
}

// transposed returns the transpose of a matrix of so many rows.
func transposed(values []float32, rows int) matrix {
	m := matrix{rows: len(values) / rows, columns: rows, values: make([]float32, len(values))}
	for i, v := range values {
		row, column := i/m.rows, i%m.rows
		m.values[column*rows+row] = v
	}
	return m
}

// safetensors returns a file of one F32 tensor.
func safetensors(name string, m matrix) ([]byte, error) {
	var out bytes.Buffer
	t := writer.Tensor{Name: name, DType: "F32", Shape: []int64{int64(m.rows), int64(m.columns)}, Size: int64(4 * len(m.values))}
	err := errors.Join(writer.SafetensorsHeader(&out, []writer.Tensor{t}, nil), binary.Write(&out, binary.LittleEndian, m.values))
	return out.Bytes(), err
}
