package writer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// ggufAlignment is the default of GGUF (ggml/docs/gguf.md): the data, and every tensor in it, begins at a multiple.
const ggufAlignment = 32

// Value types of GGUF metadata that are written.
const (
	ggufUint32 = 4
	ggufInt32  = 5
	ggufString = 8
	ggufArray  = 9
)

// ggufNumbers are the metadata entries that programs expect as unsigned numbers; all others are written as text.
var ggufNumbers = map[string]bool{"general.alignment": true, "general.file_type": true, "general.quantization_version": true}

// GGUFMaxDims is the most dimensions that ggml has.
const GGUFMaxDims = 4

// ggufHead writes a version 3 header up to the data: metadata sorted by key, dimensions reversed, as ggml counts them. Each
// tensor's bytes are followed by Padding. A tensor of a type or number of dimensions that ggml has not is an error.
func ggufHead(w io.Writer, tensors []Tensor, meta map[string]string) error {
	g := ggufHeader{}
	g.head.WriteString("GGUF")
	g.number(uint32(3))
	g.number(uint64(len(tensors)))
	all := map[string]string{}
	maps.Copy(all, meta)
	all["general.alignment"] = strconv.Itoa(ggufAlignment)
	g.number(uint64(len(all)))
	for _, k := range slices.Sorted(maps.Keys(all)) {
		g.text(k)
		if n, err := strconv.ParseUint(all[k], 10, 32); err == nil && ggufNumbers[k] {
			g.number(uint32(ggufUint32))
			g.number(uint32(n))
			continue
		}
		if shape, err := modelfile.ParseShape(all[k]); err == nil && strings.HasPrefix(k, modelfile.ReshapedKey) {
			g.integers(shape)
			continue
		}
		g.number(uint32(ggufString))
		g.text(all[k])
	}
	var at int64
	for _, t := range tensors {
		id, ok := t.DType.GGML()
		if !ok {
			return fmt.Errorf("tensor %q: GGUF has no type %s", t.Name, t.DType)
		}
		if len(t.Shape) > GGUFMaxDims {
			return fmt.Errorf("tensor %q: GGUF has %d dimensions at most, this has %d", t.Name, GGUFMaxDims, len(t.Shape))
		}
		g.text(t.Name)
		g.number(uint32(len(t.Shape)))
		for d := len(t.Shape) - 1; d >= 0; d-- {
			g.number(uint64(t.Shape[d]))
		}
		g.number(id)
		g.number(uint64(at))
		at += t.Size + int64(len(Padding(modelfile.FormatGGUF, t.Size)))
	}
	g.head.Write(Padding(modelfile.FormatGGUF, int64(g.head.Len())))
	_, err := w.Write(g.head.Bytes())
	return err
}

type ggufHeader struct{ head bytes.Buffer }

func (g *ggufHeader) number(v any) { _ = binary.Write(&g.head, binary.LittleEndian, v) } // a buffer takes all

// integers writes an array of 32 bits each, as ComfyUI-GGUF reads shapes.
func (g *ggufHeader) integers(list []int64) {
	g.number([]uint32{ggufArray, ggufInt32})
	g.number(uint64(len(list)))
	for _, n := range list {
		g.number(int32(n))
	}
}

func (g *ggufHeader) text(s string) {
	g.number(uint64(len(s)))
	g.head.WriteString(s)
}

// Header writes the header of either format, and Padding returns what follows each tensor in it.
func Header(w io.Writer, format modelfile.Format, tensors []Tensor, meta map[string]string) error {
	if format == modelfile.FormatGGUF {
		return ggufHead(w, tensors, meta)
	}
	return SafetensorsHeader(w, tensors, meta)
}

// Padding returns what follows size bytes of a tensor in a file of the format.
func Padding(format modelfile.Format, size int64) []byte {
	if format != modelfile.FormatGGUF {
		return nil
	}
	return make([]byte, (ggufAlignment-size%ggufAlignment)%ggufAlignment)
}
