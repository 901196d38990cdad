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
// (SDXL), text_encoders_0 and text_encoders_1 (diffusers), string_to_param.* or emb_params (A1111), or one tensor under the token's name
// (diffusers). A tensor without an encoder's name goes to the encoder whose width it has: 1280 to the second, all others to the first.
// One that is not for SDXL is an ErrUnsupported.
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
	if reason := embeddingReason(f); reason != "" {
		return e, &Error{Kind: ErrUnsupported, Path: path, Found: reason, Remedy: "use an embedding for SDXL"}
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

// embeddingNames are tensor names that name a text encoder.
var embeddingNames = map[string]int{"clip_l": 1, "clip_g": 2, "text_encoders_0": 1, "text_encoders_1": 2}

// isEmbeddingName reports whether no other file than an embedding has a tensor of that name.
func isEmbeddingName(n string) bool {
	return embeddingNames[n] > 0 || n == "emb_params" || n == "t5xxl" || strings.HasPrefix(n, "string_to_param.") || isOutputName(n)
}

// isOutputName recognises OneTrainer's output embeddings. They replace the output of the text encoders.
func isOutputName(n string) bool { return n == "clip_l_out" || n == "clip_g_out" }

// embeddingReason says why an embedding cannot be used with SDXL; "" if it can.
func embeddingReason(f *File) string {
	for _, t := range f.Tensors {
		width := int64(0)
		if len(t.Shape) > 0 {
			width = t.Shape[len(t.Shape)-1]
		}
		switch {
		case strings.HasPrefix(t.Name, "string_to_token"):
		case isOutputName(t.Name):
			return "not supported: " + t.Name + " is an output embedding, whose vectors replace what the text encoder yields, not what it takes"
		case t.Name == "t5xxl":
			return "not supported: an embedding with vectors for T5, for Stable Diffusion 3 or Flux"
		case width == 1024:
			return "not supported: an embedding for Stable Diffusion 2.x, whose vectors have 1,024 values; SDXL's have 768 and 1,280"
		case width == 768 && (t.Name == "emb_params" || strings.HasPrefix(t.Name, "string_to_param.")):
			return "not supported: an embedding for Stable Diffusion 1.x, of one tensor with vectors of 768 values; SDXL's have clip_l and clip_g"
		}
	}
	return ""
}

// slot decides which encoder a tensor is for.
func (e *Embedding) slot(f *File, t Tensor) *[][]float32 {
	bad := func(remedy, format string, args ...any) {
		panic(withPath(f.Path, fail(ErrFormat, tensorField(t.Name), remedy, format, args...)))
	}
	if len(t.Shape) == 0 || len(t.Shape) > 2 || !t.DType.Float() {
		bad("expected floating-point vectors [n, width]", "type %s, shape %s: not an embedding", t.DType, shapeString(t.Shape))
	}
	to, second := &e.L, t.Shape[len(t.Shape)-1] == 1280
	if i, named := embeddingNames[t.Name]; named {
		second = i == 2
	}
	if second {
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
