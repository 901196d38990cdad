//go:build !race

package modelfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// tinyUpscaler folds pictures first, as RealESRGAN_x2plus does.
func tinyUpscaler() *modelfile.Dims {
	return &modelfile.Dims{Upscaler: &modelfile.UpscalerDims{InChannels: 12, Channels: 8, Growth: 4, Blocks: 2, Upsamplings: 2}}
}

func tableOf(t *testing.T, files backend.Files) *backend.Table {
	t.Helper()
	m, err := modelfile.ReadModel(files)
	require.NoError(t, err)
	table, err := m.Table()
	require.NoError(t, err)
	return table
}

// values reads a weight as the table says where it lies, as numbers in the order of its shape.
func values(t *testing.T, table *backend.Table, w backend.Weight) []float32 {
	t.Helper()
	file, err := os.Open(table.Files[w.File].Path)
	require.NoError(t, err)
	defer file.Close()
	b := make([]byte, w.Bytes)
	_, err = file.ReadAt(b, w.Offset)
	require.NoError(t, err)
	stored := modelfile.DType(strings.ToUpper(string(w.Type)))
	one, _ := stored.Bytes(1, 1)
	all := make([]float32, w.Bytes/one)
	require.True(t, stored.Decode(b, all))
	if w.Strides == nil {
		return all
	}
	var out []float32
	var walk func(dim int, at int64)
	walk = func(dim int, at int64) {
		if dim == len(w.Shape) {
			out = append(out, all[at])
			return
		}
		for i := range w.Shape[dim] {
			walk(dim+1, at+i*w.Strides[dim])
		}
	}
	walk(0, 0)
	return out
}

// requireSameWeights compares two tables: the same weights, with the same values, wherever they lie.
func requireSameWeights(t *testing.T, want, got *backend.Table) {
	t.Helper()
	find := map[string]backend.Weight{}
	for _, w := range want.Weights {
		find[w.Name] = w
	}
	require.Len(t, got.Weights, len(find))
	for _, w := range got.Weights {
		other, ok := find[w.Name]
		require.True(t, ok, "%s is in one of the files only", w.Name)
		require.Equal(t, other.Component, w.Component, w.Name)
		require.Equal(t, other.Use, w.Use, w.Name)
		require.Equal(t, other.Shape, w.Shape, w.Name)
		require.Equal(t, values(t, want, other), values(t, got, w), w.Name)
	}
}

func weightNames(table *backend.Table) (out []string) {
	for _, w := range table.Weights {
		out = append(out, w.Name)
	}
	return out
}

// The layouts of one model name the same weights: blocks by level, q, k and v apart, projections the right way round.
func TestTablesOfBothLayoutsAgree(t *testing.T) {
	for name, c := range map[string]struct {
		opt  synth.Options
		file func(string) backend.Files
	}{
		"base":     {synth.Options{Kind: synth.KindNano, Dims: small()}, func(p string) backend.Files { return backend.Files{Model: p} }},
		"refiner":  {synth.Options{Kind: synth.KindNano, Dims: smallRefiner()}, func(p string) backend.Files { return backend.Files{Model: p} }},
		"uneven":   {synth.Options{Kind: synth.KindNano, Dims: uneven()}, func(p string) backend.Files { return backend.Files{Model: p} }},
		"control":  {synth.Options{Kind: synth.KindNanoControl}, func(p string) backend.Files { return backend.Files{ControlNet: p} }},
		"union":    {synth.Options{Kind: synth.KindNanoUnion}, func(p string) backend.Files { return backend.Files{ControlNet: p} }},
		"taesd":    {synth.Options{Kind: synth.KindTAESD}, func(p string) backend.Files { return backend.Files{TAESD: p} }},
		"detector": {synth.Options{Kind: synth.KindNanoYOLOv8}, func(p string) backend.Files { return backend.Files{Detector: p} }},
		"esrgan": {synth.Options{Kind: synth.KindESRGAN, Dims: tinyUpscaler()},
			func(p string) backend.Files { return backend.Files{Upscaler: p} }},
	} {
		t.Run(name, func(t *testing.T) {
			c.opt.Type, c.opt.Seed, c.opt.Layout = modelfile.F16, 7, modelfile.LayoutDiffusers
			want := tableOf(t, c.file(written(t, "m.safetensors", c.opt)))
			assert.Empty(t, want.Unused)
			c.opt.Layout = modelfile.LayoutOriginal
			for _, file := range []string{"m.safetensors", "m.gguf", "m.ckpt"} {
				got := tableOf(t, c.file(written(t, file, c.opt)))
				requireSameWeights(t, want, got)
				assert.Empty(t, got.Unused)
			}
		})
	}
}

// Names that all layouts are brought to.
func TestCanonicalNames(t *testing.T) {
	table := tableOf(t, backend.Files{Model: written(t, "m.safetensors", synth.Options{Dims: small(), Layout: modelfile.LayoutOriginal})})
	stored := map[string]string{}
	for _, w := range table.Weights {
		stored[w.Name] = w.Stored
	}
	const unet, first, second = "model.diffusion_model.", "conditioner.embedders.0.transformer.text_model.", "conditioner.embedders.1.model."
	const te2 = "text_encoder_2.text_model."
	for name, want := range map[string]string{
		"unet.conv_in.weight":                                                    unet + "input_blocks.0.0.weight",
		"unet.down_blocks.0.downsamplers.0.conv.bias":                            unet + "input_blocks.3.0.op.bias",
		"unet.down_blocks.1.resnets.0.conv_shortcut.weight":                      unet + "input_blocks.4.0.skip_connection.weight",
		"unet.mid_block.resnets.1.conv2.weight":                                  unet + "middle_block.2.out_layers.3.weight",
		"unet.up_blocks.0.upsamplers.0.conv.bias":                                unet + "output_blocks.2.2.conv.bias",
		"unet.up_blocks.1.resnets.1.time_emb_proj.weight":                        unet + "output_blocks.4.0.emb_layers.1.weight",
		"unet.add_embedding.linear_2.weight":                                     unet + "label_emb.0.2.weight",
		"vae.decoder.up_blocks.0.resnets.0.conv1.weight":                         "first_stage_model.decoder.up.3.block.0.conv1.weight",
		"vae.encoder.down_blocks.1.downsamplers.0.conv.weight":                   "first_stage_model.encoder.down.1.downsample.conv.weight",
		"vae.encoder.mid_block.attentions.0.to_q.weight":                         "first_stage_model.encoder.mid.attn_1.q.weight",
		te2 + "encoder.layers.1.self_attn.v_proj.weight":                         second + "transformer.resblocks.1.attn.in_proj_weight",
		"text_encoder_2.text_projection.weight":                                  second + "text_projection",
		"text_encoder.text_model.embeddings.token_embedding.weight":              first + "embeddings.token_embedding.weight",
		te2 + "encoder.layers.0.self_attn.out_proj.bias":                         second + "transformer.resblocks.0.attn.out_proj.bias",
		te2 + "final_layer_norm.weight":                                          second + "ln_final.weight",
		"unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": unet + "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight",
	} {
		assert.Equal(t, want, stored[name], name)
	}
}

// renamed writes a file's tensors under other names; what becomes "" is left out.
func renamed(t *testing.T, from string, to func(string) string) string {
	t.Helper()
	f, err := modelfile.Open(from)
	require.NoError(t, err)
	defer f.Close()
	path := filepath.Join(t.TempDir(), "renamed.safetensors")
	edit := func(x *modelfile.Tensor) bool { x.Name = to(x.Name); return x.Name != "" }
	require.NoError(t, os.WriteFile(path, subset(t, f, f.Tensors, edit), 0o644))
	return path
}

// Names that only some programs write.
func TestTablesOfOtherNames(t *testing.T) {
	esrgan := written(t, "e.safetensors", synth.Options{Kind: synth.KindESRGAN, Dims: tinyUpscaler(), Layout: modelfile.LayoutDiffusers})
	first := strings.NewReplacer("body.", "RRDB_trunk.", ".rdb", ".RDB", "conv_body.", "trunk_conv.", "conv_up1.", "upconv1.",
		"conv_up2.", "upconv2.", "conv_hr.", "HRconv.")
	got := tableOf(t, backend.Files{Upscaler: renamed(t, esrgan, func(n string) string { return "params." + first.Replace(n) })})
	requireSameWeights(t, tableOf(t, backend.Files{Upscaler: esrgan}), got)

	taesd := written(t, "t.safetensors", synth.Options{Kind: synth.KindTAESD, Type: modelfile.F16, Layout: modelfile.LayoutDiffusers})
	want := tableOf(t, backend.Files{TAESD: taesd})
	for _, side := range []string{"encoder", "decoder"} {
		path := renamed(t, taesd, func(n string) string { // bare numbers, in the decoder from 1 on
			rest, ok := strings.CutPrefix(n, side+".layers.")
			if !ok {
				return ""
			}
			if side == "encoder" {
				return rest
			}
			number, rest, _ := strings.Cut(rest, ".")
			place, err := strconv.Atoi(number)
			require.NoError(t, err)
			return fmt.Sprintf("%d.%s", place+1, rest)
		})
		half := *want
		half.Weights = slices.DeleteFunc(slices.Clone(want.Weights), func(w backend.Weight) bool { return w.Component != "vae_"+side })
		requireSameWeights(t, &half, tableOf(t, backend.Files{TAESD: path}))
	}

	// diffusers' VAE of before 0.18.
	d := modelfile.Dims{VAE: small().VAE}
	vae := written(t, "v.safetensors", synth.Options{Dims: &d, Layout: modelfile.LayoutDiffusers})
	old := strings.NewReplacer(".to_q.", ".query.", ".to_k.", ".key.", ".to_v.", ".value.", ".to_out.0.", ".proj_attn.")
	requireSameWeights(t, tableOf(t, backend.Files{VAE: vae}), tableOf(t, backend.Files{VAE: renamed(t, vae, old.Replace)}))

	// A second text encoder with transformers' names, whose projection is OpenCLIP's parameter inside text_model.
	d = modelfile.Dims{TextEncoder2: small().TextEncoder2}
	text := written(t, "x.safetensors", synth.Options{Dims: &d, Layout: modelfile.LayoutDiffusers})
	gguf := tableOf(t, backend.Files{TextEncoder2: renamed(t, text, func(n string) string {
		return "cond_stage_model.1.transformer." + strings.Replace(n, "text_projection.weight", "text_model.text_projection", 1)
	})})
	for _, w := range gguf.Weights {
		if w.Name == "text_encoder_2.text_projection.weight" {
			assert.Equal(t, []int64{1, 16}, w.Strides, "transposed")
		}
	}
	assert.ElementsMatch(t, weightNames(tableOf(t, backend.Files{TextEncoder2: text})), weightNames(gguf))
}

func TestTableOfReplacedComponents(t *testing.T) {
	base := written(t, "m.safetensors", synth.Options{Dims: small(), Layout: modelfile.LayoutOriginal})
	d := modelfile.Dims{VAE: small().VAE}
	d.VAE.QuantConv, d.VAE.PostQuantConv = false, false
	vae := written(t, "v.safetensors", synth.Options{Dims: &d, Layout: modelfile.LayoutDiffusers, Seed: 9})
	table := tableOf(t, backend.Files{Model: base, VAE: vae})
	require.Len(t, table.Files, 2)
	assert.Equal(t, "mixed", table.Layout)
	for _, w := range table.Weights {
		want := base
		if strings.HasPrefix(w.Name, "vae.") {
			want = vae
		}
		require.Equal(t, want, table.Files[w.File].Path, w.Name)
		require.NotContains(t, w.Name, "vae.quant_conv")
	}
	// A whole checkpoint gives one component; a text encoder by itself takes either place.
	whole := tableOf(t, backend.Files{VAE: base})
	assert.True(t, slices.ContainsFunc(whole.Weights, func(w backend.Weight) bool { return w.Component == "vae_decoder" }))
	assert.False(t, slices.ContainsFunc(whole.Weights, func(w backend.Weight) bool { return w.Component == "unet" }))
	assert.Empty(t, whole.Unused)
	one := modelfile.Dims{TextEncoder2: small().TextEncoder2}
	text := written(t, "t.safetensors", synth.Options{Dims: &one, Layout: modelfile.LayoutDiffusers})
	for component, files := range map[string]backend.Files{"text_encoder": {TextEncoder: text}, "text_encoder_2": {TextEncoder2: text}} {
		for _, w := range tableOf(t, files).Weights {
			require.Equal(t, component, w.Component)
		}
	}

	m, err := modelfile.ReadModel(backend.Files{Model: base, UNet: vae})
	require.NoError(t, err)
	_, err = m.Table()
	require.ErrorIs(t, err, modelfile.ErrTensor)
	assert.ErrorContains(t, err, "v.safetensors: unet: the file is of kind vae")
}

// A missing tensor is an error of the component that is used, and of no other.
func TestTableRefusesWhatIsMissing(t *testing.T) {
	base := written(t, "m.safetensors", synth.Options{Dims: small(), Layout: modelfile.LayoutOriginal})
	path := renamed(t, base, func(n string) string {
		if n == "first_stage_model.decoder.conv_out.bias" {
			return ""
		}
		return n
	})
	m, err := modelfile.ReadModel(backend.Files{Model: path})
	require.NoError(t, err)
	_, err = m.Table()
	require.ErrorIs(t, err, modelfile.ErrTensor)
	assert.ErrorContains(t, err, `tensor "first_stage_model.decoder.conv_out.bias": missing`)
	tableOf(t, backend.Files{Model: path, VAE: base})
}
