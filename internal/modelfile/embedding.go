package modelfile

import (
	"fmt"
	"path/filepath"
	"strings"
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
		return e, &Error{Kind: ErrFormat, Path: path, Found: "a " + string(k) + ", not a textual-inversion embedding", Remedy: "name it where such files are taken"}
	}
	for _, t := range f.Tensors {
		if strings.HasPrefix(t.Name, "string_to_token") {
			continue
		}
		to, err := e.slot(f, t)
		if err != nil {
			return e, err
		}
		if *to, err = f.vectors(t); err != nil {
			return e, err
		}
	}
	switch {
	case len(e.L) == 0 && len(e.G) == 0:
		return e, &Error{Kind: ErrFormat, Path: path, Found: "holds no embedding vectors", Remedy: "expected tensors clip_l and clip_g, or one of them"}
	case len(e.L) > 0 && len(e.G) > 0 && len(e.L) != len(e.G):
		return e, &Error{Kind: ErrTensor, Path: path, Field: "clip_g", Remedy: remedyDownload,
			Found: fmt.Sprintf("%d vectors, but clip_l has %d", len(e.G), len(e.L))}
	}
	return e, nil
}

// slot decides which encoder a tensor is for.
func (e *Embedding) slot(f *File, t Tensor) (*[][]float32, error) {
	bad := func(found, remedy string) error {
		return &Error{Kind: ErrFormat, Path: f.Path, Field: tensorField(t.Name), Found: found, Remedy: remedy}
	}
	if len(t.Shape) == 0 || len(t.Shape) > 2 || !t.DType.Float() {
		return nil, bad(fmt.Sprintf("type %s, shape %s: not an embedding", t.DType, shapeString(t.Shape)), "expected floating-point vectors [n, width]")
	}
	to := &e.L
	width := t.Shape[len(t.Shape)-1]
	if t.Name == "clip_g" || t.Name != "clip_l" && width == 1280 {
		to = &e.G
	}
	if *to != nil {
		return nil, bad("a second embedding for the same encoder", "a file holds one embedding")
	}
	return to, nil
}

func (f *File) vectors(t Tensor) ([][]float32, error) {
	n, width := int64(1), t.Shape[len(t.Shape)-1]
	if len(t.Shape) == 2 {
		n = t.Shape[0]
	}
	if n < 1 || n > maxVectors || width < 1 || width > 1<<16 {
		return nil, &Error{Kind: ErrLimit, Path: f.Path, Field: tensorField(t.Name),
			Found: "shape " + shapeString(t.Shape), Remedy: fmt.Sprintf("an embedding has 1 to %d vectors", maxVectors)}
	}
	data, err := f.ReadFloat32(t.Name)
	if err != nil {
		return nil, err
	}
	out := make([][]float32, n)
	for i := range out {
		out[i] = data[int64(i)*width : int64(i+1)*width : int64(i+1)*width]
		for _, x := range out[i] {
			if x-x != 0 {
				return nil, &Error{Kind: ErrTensor, Path: f.Path, Field: tensorField(t.Name), Found: "a NaN or infinite value", Remedy: remedyDownload}
			}
		}
	}
	return out, nil
}
