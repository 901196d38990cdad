//go:build !race

package pipeline

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// latentsOf makes two steps of a golden run and returns its latents.
func latentsBy(t *testing.T, cfg Config) []float32 {
	t.Helper()
	cfg.Threads = 1
	p, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	assert.Zero(t, p.Info().UnusedTensors, p.Info().UnusedExample)
	_, r := readRun(t, "red")
	r.NumInferenceSteps = 2
	return generate(t, p, r).Images[0].Latents.Data
}

// TestScaledPictures: scaled FP8 makes the very picture of its products in F32, whatever the file, the spelling and the precision. Ignoring
// the scales makes another.
func TestScaledPictures(t *testing.T) {
	const clip = "conditioner.embedders.0.transformer.text_model."
	base := nanoTensors(t)
	scaled, products := base.Scaled(t, modeltest.Scaling{Marker: unetPrefix + "scaled_fp8", Activation: ".scale_input"})
	rows, rowProducts := base.Scaled(t, modeltest.Scaling{Type: modelfile.F8E5M2, Ending: ".weight_scale", Rows: true, Shape: []int64{-1, 1},
		Tensors: true})
	whole, wholeProducts := scaled.Write(t, "scaled.safetensors"), products.Write(t, "products.safetensors")
	config := `{"_class_name":"UNet2DConditionModel","norm_num_groups":4}`
	exact := func(c Config) Config { c.Precision = backend.PrecisionExact; return c }
	for name, c := range map[string][2]Config{
		"checkpoint, exact": {exact(Config{Model: whole}), exact(Config{Model: wholeProducts})},
		"checkpoint, F16":   {{Model: whole, Precision: backend.PrecisionF16}, {Model: wholeProducts, Precision: backend.PrecisionF16}},
		"checkpoint, BF16":  {{Model: whole, Precision: backend.PrecisionBF16}, {Model: wholeProducts, Precision: backend.PrecisionBF16}},
		"checkpoint, Q8_0":  {{Model: whole, Type: backend.TypeQ8_0}, {Model: wholeProducts, Type: backend.TypeQ8_0}},
		"rows of E5M2":      {exact(Config{Model: rows.Write(t, "m.safetensors")}), exact(Config{Model: rowProducts.Write(t, "m.safetensors")})},
		"UNet alone": {exact(Config{Model: NanoModel, UNet: scaled.Under(unetPrefix, "").Write(t, "unet.safetensors")}),
			exact(Config{Model: NanoModel, UNet: products.Under(unetPrefix, "").Write(t, "unet.safetensors")})},
		"text encoder alone": {exact(Config{Model: NanoModel, TextEncoder: scaled.Under(clip, "text_model.").Write(t, "te.safetensors")}),
			exact(Config{Model: NanoModel, TextEncoder: products.Under(clip, "text_model.").Write(t, "te.safetensors")})},
		"UNet's folder": {exact(Config{Model: NanoModel, UNet: scaledFolder(t, scaled, products, config)}),
			exact(Config{Model: NanoModel, UNet: unetFolder(t, products, config)})},
		"converted":         {exact(Config{Model: converted(t, whole, "scaled.gguf", modelfile.F32)}), exact(Config{Model: wholeProducts})},
		"converted to Q8_0": {exact(Config{Model: quantized(t, whole)}), exact(Config{Model: quantized(t, wholeProducts)})},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, latentsBy(t, c[1]), latentsBy(t, c[0]))
		})
	}
	assert.Greater(t, relativeL2(t, latentsBy(t, exact(Config{Model: withoutScales(scaled).Write(t, "m.safetensors")})),
		latentsBy(t, exact(Config{Model: wholeProducts}))), 0.1)
}

func withoutScales(f *modeltest.File) *modeltest.File {
	out := &modeltest.File{Metadata: f.Metadata}
	for _, x := range f.Tensors {
		if filepath.Ext(x.Name) != ".scale_weight" {
			out.Tensors = append(out.Tensors, x)
		}
	}
	return out
}

// scaledFolder is the UNet's folder with the scales beside the matrices under diffusers' names.
func scaledFolder(t *testing.T, scaled, products *modeltest.File, config string) string {
	t.Helper()
	dir := unetFolder(t, products, config)
	path := filepath.Join(dir, "diffusion_pytorch_model.safetensors")
	f := modeltest.Read(t, path)
	c, err := modelfile.OpenAll(products.Write(t, "products.safetensors"))
	require.NoError(t, err)
	defer c.Close()
	byName := map[string]modeltest.Tensor{}
	for _, x := range scaled.Tensors {
		byName[x.Name] = x
	}
	for _, x := range c.Tensors {
		scale, ok := byName[trimWeight(x.Name)+".scale_weight"]
		if !ok || x.Component != "unet" || filepath.Ext(x.Name) != ".weight" {
			continue
		}
		name := x.Canonical[0].Name[len("unet."):]
		matrix := byName[x.Name]
		matrix.Name, scale.Name = name, trimWeight(name)+".weight_scale"
		f = f.Without(name).With(matrix, scale)
	}
	f.WriteTo(t, path)
	return dir
}

func trimWeight(name string) string { return name[:len(name)-len(filepath.Ext(name))] }

// quantized is a file after conversion to Q8_0 by the library.
func quantized(t *testing.T, in string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "q8.gguf")
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	_, err = convert.Convert(t.Context(), in, out, convert.Options{Type: "Q8_0", Quantizer: b})
	require.NoError(t, err)
	return out
}

// TestScaledFuse: a checkpoint in scaled FP8 that an adapter was fused into is that of its products, rounded to F16, and the same as the
// adapter used live.
func TestScaledFuse(t *testing.T) {
	scaled, products := nanoTensors(t).Scaled(t, modeltest.Scaling{Marker: "scaled_fp8"})
	stack := lora.Stack{Adapters: []lora.Adapter{{Path: filepath.Join(goldens, "lora_kohya.safetensors")}}}
	fuse := func(in *modeltest.File) string {
		out := filepath.Join(t.TempDir(), "fused.safetensors")
		_, err := adapters.Fuse(t.Context(), in.Write(t, "in.safetensors"), out, adapters.FuseOptions{Stack: stack})
		require.NoError(t, err)
		return out
	}
	got, want := fuse(scaled), fuse(products)
	r, err := modelfile.Check(got)
	require.NoError(t, err)
	assert.Nil(t, r.Scaled)
	assert.Empty(t, r.Warnings)
	assert.Zero(t, r.DTypes[modelfile.F8E4M3])
	exact := func(path string) Config { return Config{Model: path, Precision: backend.PrecisionExact} }
	assert.Less(t, relativeL2(t, latentsBy(t, exact(got)), latentsBy(t, exact(converted(t, want, "f16.safetensors", modelfile.F16)))), 1e-6)
}

// TestFP8NaN: a byte that is no number is told of with its tensor, before a step is made.
func TestFP8NaN(t *testing.T) {
	const name = unetPrefix + "middle_block.1.transformer_blocks.0.attn1.to_q.weight"
	for _, d := range []modelfile.DType{modelfile.F8E4M3, modelfile.F8E5M2} {
		scaled, _ := nanoTensors(t).Scaled(t, modeltest.Scaling{Type: d})
		for _, x := range scaled.Tensors {
			if x.Name == name {
				x.Data[5] = 0x7f
			}
		}
		path := scaled.Write(t, "nan.safetensors")
		_, err := Open(t.Context(), Config{Model: path, Threads: 1})
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, name+"': a weight is not a finite number (FP8 0x7f at byte 5 of it)")
		_, err = convert.Convert(t.Context(), path, filepath.Join(t.TempDir(), "out.safetensors"), convert.Options{Type: modelfile.F16})
		require.ErrorIs(t, err, convert.ErrValue)
		require.ErrorContains(t, err, name)
	}
}

// TestQuantizingNaN: what is no number cannot be quantized while it is loaded; a picture that looks like one would come of it.
func TestQuantizingNaN(t *testing.T) {
	const name = unetPrefix + "middle_block.1.transformer_blocks.0.attn1.to_q.weight"
	for _, bits := range [][]byte{{0x00, 0x7e}, {0x00, 0x7c}} { // NaN and infinity in F16
		file := nanoTensors(t)
		for _, x := range file.Tensors {
			if x.Name == name {
				require.Equal(t, modelfile.F16, x.DType)
				copy(x.Data[10:], bits)
			}
		}
		path := file.Write(t, "nan.safetensors")
		for _, d := range []backend.Type{backend.TypeQ8_0, backend.TypeQ4_0} {
			_, err := Open(t.Context(), Config{Model: path, Threads: 1, Type: d})
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, name+"': a weight is no finite number, which type "+string(d)+" cannot hold")
		}
	}
}
