//go:build !race

package pipeline

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// writeTensors writes a file of tensors and their bytes.
func writeTensors(t *testing.T, path string, tensors []writer.Tensor, data [][]byte, meta map[string]string) {
	t.Helper()
	format := writer.FormatOf(path)
	require.NoError(t, writer.Atomically(path, func(w io.Writer) error {
		if err := writer.Header(w, format, tensors, meta); err != nil {
			return err
		}
		for _, b := range data {
			if _, err := w.Write(append(b[:len(b):len(b)], writer.Padding(format, int64(len(b)))...)); err != nil {
				return err
			}
		}
		return nil
	}, nil))
}

// reshapedUNet writes nano's UNet as ComfyUI-GGUF writes SDXL's: what has no rows of whole blocks lies in rows of 256, and the metadata
// have its shape. The second file has the same values as numbers.
func reshapedUNet(t *testing.T, base string, q backend.Quantizer) (gguf, plain string) {
	t.Helper()
	f, err := modelfile.Open(base)
	require.NoError(t, err)
	defer f.Close()
	dir := t.TempDir()
	gguf, plain = filepath.Join(dir, "unet.gguf"), filepath.Join(dir, "plain.safetensors")
	meta := map[string]string{"general.architecture": "sdxl"}
	var reshaped, asNumbers []writer.Tensor
	var blocks, numbers [][]byte
	for _, x := range f.Tensors {
		name, ok := strings.CutPrefix(x.Name, "model.diffusion_model.")
		if !ok {
			continue
		}
		values, err := f.ReadFloat32(x.Name)
		require.NoError(t, err)
		stored := writer.Tensor{Name: name, DType: modelfile.F32, Shape: x.Shape, Size: int64(4 * len(values))}
		raw := make([]byte, stored.Size)
		if n := len(values); len(x.Shape) > 1 && n%256 == 0 && x.Shape[len(x.Shape)-1]%256 != 0 {
			stored.DType, stored.Shape = "Q4_K", []int64{int64(n) / 256, 256}
			stored.Size, _ = stored.DType.Bytes(int64(n), 256)
			raw = make([]byte, stored.Size)
			require.NoError(t, q.Quantize("q4_k", values, 256, raw))
			require.NoError(t, q.Dequantize("q4_k", raw, 256, values))
			meta[modelfile.ReshapedKey+name] = strings.ReplaceAll(fmt.Sprint(x.Shape), " ", ", ")
		} else {
			modelfile.F32.Encode(values, raw)
		}
		reshaped, blocks = append(reshaped, stored), append(blocks, raw)
		full := make([]byte, 4*len(values))
		modelfile.F32.Encode(values, full)
		asNumbers = append(asNumbers, writer.Tensor{Name: name, DType: modelfile.F32, Shape: x.Shape, Size: int64(len(full))})
		numbers = append(numbers, full)
	}
	require.Greater(t, len(meta), 150, "most tensors of nano were reshaped")
	writeTensors(t, gguf, reshaped, blocks, meta)
	writeTensors(t, plain, asNumbers, numbers, nil)
	return gguf, plain
}

// TestReshapedGGUF opens a UNet whose tensors were reshaped to be quantized. It makes the picture of the same numbers; so does what is
// converted, and fused, from it.
func TestReshapedGGUF(t *testing.T) {
	base, err := nano.Path(t.Context())
	require.NoError(t, err)
	q, err := native.New(native.Options{})
	require.NoError(t, err)
	gguf, plain := reshapedUNet(t, base, q)
	latents := func(unet string) []float32 {
		p, err := Open(t.Context(), Config{Model: base, UNet: unet, Precision: backend.PrecisionExact, Threads: 2})
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Close()) }()
		assert.Zero(t, p.Info().UnusedTensors, p.Info().UnusedExample)
		r := request.Request{Prompt: "a red circle", Width: 64, Height: 64, NumInferenceSteps: 2, Seed: 7}
		return generate(t, p, r).Images[0].Latents.Data
	}
	want := latents(plain)
	assert.Less(t, relativeL2(t, latents(gguf), want), 1e-5)

	dir := t.TempDir()
	numbers := filepath.Join(dir, "f32.safetensors")
	_, err = convert.Convert(t.Context(), gguf, numbers, convert.Options{Type: modelfile.F32, Quantizer: q})
	require.NoError(t, err)
	assert.Less(t, relativeL2(t, latents(numbers), want), 1e-5)
	q8 := func(from string) []float32 {
		out := from + ".q8.gguf"
		_, err := convert.Convert(t.Context(), from, out, convert.Options{Type: "Q8_0", Quantizer: q})
		require.NoError(t, err)
		return latents(out)
	}
	assert.Less(t, relativeL2(t, q8(gguf), q8(plain)), 1e-5)

	fused := filepath.Join(dir, "fused.gguf")
	weight := 1.0
	outline := lora.Adapter{Path: "../../models/nano/nano-lora-outline.safetensors", Weight: &weight}
	report, err := adapters.Fuse(t.Context(), gguf, fused, adapters.FuseOptions{Quantizer: q,
		Stack: lora.Stack{Adapters: []lora.Adapter{outline}}})
	require.NoError(t, err)
	assert.NotZero(t, report.Changed)
	assert.Greater(t, relativeL2(t, latents(fused), want), 0.01, "the adapter is in it")
}
