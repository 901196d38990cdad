package modelfile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/fault"
)

// maxVectors caps the vectors of one embedding; a prompt chunk has 75 places.
const maxVectors = 75

// Embedding holds the vectors of a textual-inversion file. L are for the first encoder (CLIP-L), G for the
// second (OpenCLIP-bigG); one may be empty. Each vector has the encoder's width.
type Embedding struct {
	Name string // the file's name without its extension, by which a prompt names it
	L, G [][]float32
}

// ReadEmbedding reads a textual-inversion file: safetensors or PyTorch, with the tensors clip_l and clip_g
// (SDXL), string_to_param.* or emb_params (A1111), or one tensor under the token's name (diffusers). A tensor without an
// encoder's name goes to the encoder whose width it has: 1280 to the second, all others to the first.
func ReadEmbedding(path string) (Embedding, error) {
	f, err := Open(path)
	if err != nil {
		return Embedding{}, err
	}
	defer f.Close()
	base := filepath.Base(path)
	e := Embedding{Name: strings.TrimSuffix(base, filepath.Ext(base))}
	if k, _ := classifyNames(f); k == KindLoRA || k == KindControlNet {
		return e, &Error{Kind: ErrFormat, Path: path, Found: "a " + string(k) + ", not a textual-inversion embedding",
			Remedy: "name it where such files are taken"}
	}
	err = fault.Catch(func() {
		for _, t := range f.Tensors {
			if !strings.HasPrefix(t.Name, "string_to_token") {
				*e.slot(f, t) = f.vectors(t)
			}
		}
	})
	if err != nil {
		return e, err
	}
	switch {
	case len(e.L) == 0 && len(e.G) == 0:
		return e, &Error{Kind: ErrFormat, Path: path, Found: "holds no embedding vectors",
			Remedy: "expected tensors clip_l and clip_g, or one of them"}
	case len(e.L) > 0 && len(e.G) > 0 && len(e.L) != len(e.G):
		return e, &Error{Kind: ErrTensor, Path: path, Field: "clip_g", Remedy: remedyDownload,
			Found: fmt.Sprintf("%d vectors, but clip_l has %d", len(e.G), len(e.L))}
	}
	return e, nil
}

// slot decides which encoder a tensor is for.
func (e *Embedding) slot(f *File, t Tensor) *[][]float32 {
	bad := func(remedy, format string, args ...any) {
		panic(withPath(f.Path, fail(ErrFormat, tensorField(t.Name), remedy, format, args...)))
	}
	if len(t.Shape) == 0 || len(t.Shape) > 2 || !t.DType.Float() {
		bad("expected floating-point vectors [n, width]", "type %s, shape %s: not an embedding", t.DType, shapeString(t.Shape))
	}
	to := &e.L
	if t.Name == "clip_g" || t.Name != "clip_l" && t.Shape[len(t.Shape)-1] == 1280 {
		to = &e.G
	}
	if *to != nil {
		bad("a file holds one embedding", "a second embedding for the same encoder")
	}
	return to
}

func (f *File) vectors(t Tensor) [][]float32 {
	bad := func(kind error, remedy, found string) {
		panic(withPath(f.Path, fail(kind, tensorField(t.Name), remedy, "%s", found)))
	}
	n, width := int64(1), t.Shape[len(t.Shape)-1]
	if len(t.Shape) == 2 {
		n = t.Shape[0]
	}
	if n < 1 || n > maxVectors || width < 1 || width > 1<<16 {
		bad(ErrLimit, fmt.Sprintf("an embedding has 1 to %d vectors", maxVectors), "shape "+shapeString(t.Shape))
	}
	data := fault.Value(f.ReadFloat32(t.Name))
	if slices.ContainsFunc(data, func(x float32) bool { return x-x != 0 }) {
		bad(ErrTensor, remedyDownload, "a NaN or infinite value")
	}
	return slices.Collect(slices.Chunk(data, int(width)))
}
