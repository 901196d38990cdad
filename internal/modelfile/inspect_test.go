package modelfile_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// small is the nano model's structure with even smaller dimensions, for speed.
func small() *modelfile.Dims {
	d := modelfile.Preset("nano")
	d.UNet.Channels, d.UNet.TimeDim, d.UNet.ContextDim, d.UNet.LabelDim = []int{16, 32, 32}, 64, 32, 16+6*256
	d.VAE.EncoderChannels, d.VAE.DecoderChannels = []int{8, 16, 16, 24}, []int{8, 16, 16, 24}
	d.TextEncoder = &modelfile.TextDims{VocabSize: 64, MaxTokens: 77, Width: 16, Layers: 2, Intermediate: 64}
	d.TextEncoder2 = &modelfile.TextDims{VocabSize: 64, MaxTokens: 77, Width: 16, Layers: 2, Intermediate: 64, ProjectionDim: 16}
	return &d
}

// smallRefiner has the refiner's structure: no attention at the ends, one text encoder, five size ids.
func smallRefiner() *modelfile.Dims {
	d := modelfile.Preset("sdxl-refiner")
	d.UNet.Channels, d.UNet.TimeDim, d.UNet.ContextDim, d.UNet.LabelDim = []int{16, 32, 32, 48}, 64, 16, 16+5*256
	d.UNet.DownDepth, d.UNet.UpDepth = [][]int{{0, 0}, {1, 1}, {2, 2}, {0, 0}}, [][]int{{0, 0, 0}, {1, 1, 1}, {2, 2, 2}, {0, 0, 0}}
	d.UNet.MiddleDepth = 1
	d.VAE, d.TextEncoder2 = small().VAE, small().TextEncoder2
	return &d
}

// uneven is like SSD-1B: depths differ within a level, no attention and one resnet in the middle.
func uneven() *modelfile.Dims {
	d := small()
	d.UNet.DownDepth, d.UNet.UpDepth = [][]int{{0, 0}, {2, 1}, {1, 3}}, [][]int{{0, 0, 0}, {2, 1, 1}, {3, 1, 2}}
	d.UNet.MiddleDepth, d.UNet.MiddleResnets = 0, 1
	return d
}

func written(t *testing.T, name string, opt synth.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if opt.Kind == "" {
		opt.Kind = synth.KindNano
	}
	require.NoError(t, synth.Write(context.Background(), path, opt))
	return path
}

func TestInspectInfersEveryDimension(t *testing.T) {
	for name, dims := range map[string]*modelfile.Dims{"nano": small(), "refiner": smallRefiner(), "uneven": uneven()} {
		for _, layout := range []modelfile.Layout{modelfile.LayoutOriginal, modelfile.LayoutDiffusers} {
			for _, file := range []string{"m.safetensors", "m.gguf", "m.ckpt"} {
				path := written(t, file, synth.Options{Dims: dims, Layout: layout})
				kind := modelfile.KindSDXLBase
				if name == "refiner" {
					kind = modelfile.KindSDXLRefiner
				}
				r, err := modelfile.Check(path, kind)
				require.NoError(t, err, "%s %s %s", name, layout, file)
				assert.Equal(t, *dims, r.Dims, "%s %s %s", name, layout, file)
				assert.Equal(t, kind, r.Kind)
				assert.Equal(t, layout, r.Layout)
				assert.True(t, r.Supported())
				assert.Empty(t, r.Warnings)
				assert.Equal(t, 4, r.Config.UNet.NormNumGroups, "every format carries the configuration")
			}
		}
	}
}

func TestInspectReport(t *testing.T) {
	path := written(t, "m.safetensors", synth.Options{Dims: small(), Seed: 5})
	r, err := modelfile.Inspect(path)
	require.NoError(t, err)
	assert.Equal(t, 749, r.Tensors)
	unet, ok := r.Component("unet")
	require.True(t, ok)
	assert.Equal(t, 498, unet.Tensors)
	assert.Equal(t, map[modelfile.DType]int64{modelfile.F16: 498}, unet.DTypes)
	assert.Equal(t, unet.Parameters*2, unet.Bytes)
	_, ok = r.Component("other")
	assert.False(t, ok)
	assert.Contains(t, r.Metadata["daguerre.synthetic"], "seed 5")
	assert.Equal(t, 4, r.Config.UNet.NormNumGroups)

	var last int64
	require.NoError(t, r.Hash(context.Background(), func(done, total int64) { last = done; assert.Equal(t, r.Size, total) }))
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := sha256.Sum256(b)
	assert.Equal(t, hex.EncodeToString(sum[:]), r.Files[0].SHA256)
	assert.Equal(t, r.Size, last)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, r.Hash(cancelled, nil), context.Canceled)
	_, err = json.Marshal(r)
	require.NoError(t, err)
}

func TestInspectFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, synth.WriteFolder(context.Background(), dir, synth.Options{Kind: synth.KindNano, Dims: small(), Variant: "fp16"}))
	r, err := modelfile.Check(dir, modelfile.KindSDXLBase)
	require.NoError(t, err)
	assert.Equal(t, modelfile.LayoutDiffusers, r.Layout)
	assert.Equal(t, *small(), r.Dims)
	assert.Len(t, r.Files, 4)
	assert.Equal(t, 4, r.Config.UNet.NormNumGroups)
	assert.Equal(t, 32, r.Config.UNet.HeadDim)
	assert.Equal(t, 2, r.Config.VAE.NormNumGroups)
	assert.True(t, *r.Config.ForceZerosForEmptyPrompt)
	assert.True(t, modelfile.IsFolder(dir))
	assert.False(t, modelfile.IsFolder(t.TempDir()))

	one, err := modelfile.Inspect(filepath.Join(dir, "vae"))
	require.NoError(t, err)
	assert.Equal(t, modelfile.KindVAE, one.Kind)
	require.NoError(t, os.Rename(filepath.Join(dir, "vae", "diffusion_pytorch_model.fp16.safetensors"),
		filepath.Join(dir, "unet", "diffusion_pytorch_model.safetensors")))
	_, err = modelfile.Inspect(dir)
	require.Error(t, err, "the VAE has no weights, the UNet has the VAE's")
}

// Shards: the tensors of one component in two files.
func TestInspectShards(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "vae")
	require.NoError(t, os.Mkdir(dir, 0o755))
	d := modelfile.Dims{VAE: small().VAE}
	whole := written(t, "m.safetensors", synth.Options{Dims: &d, Layout: modelfile.LayoutDiffusers})
	f, err := modelfile.Open(whole)
	require.NoError(t, err)
	defer f.Close()
	weightMap := map[string]string{}
	for shard := range 2 {
		name := fmt.Sprintf("diffusion_pytorch_model-%05d-of-00002.safetensors", shard+1)
		half := f.Tensors[:100]
		if shard == 1 {
			half = f.Tensors[100:]
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), subset(t, f, half, nil), 0o644))
		for _, x := range half {
			weightMap[x.Name] = name
		}
	}
	text, _ := json.Marshal(map[string]any{"weight_map": weightMap})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "diffusion_pytorch_model.safetensors.index.json"), text, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"_class_name":"AutoencoderKL"}`), 0o644))
	r, err := modelfile.Check(dir, modelfile.KindVAE)
	require.NoError(t, err)
	assert.Len(t, r.Files, 2)
	assert.Equal(t, len(f.Tensors), r.Tensors)
}

// subset writes some of a file's tensors, after edit has changed one's name, type or shape (nil: none).
func subset(t *testing.T, f *modelfile.File, tensors []modelfile.Tensor, edit func(*modelfile.Tensor) bool) []byte {
	t.Helper()
	var head, data bytes.Buffer
	head.WriteString(`{"__metadata__":{}`)
	for _, x := range tensors {
		raw, err := f.ReadRaw(x.Name)
		require.NoError(t, err)
		if edit != nil && !edit(&x) {
			continue
		}
		if n, _ := x.DType.Bytes(x.Elements(), 1); int(n) < len(raw) {
			raw = raw[:n]
		} else {
			raw = append(raw, make([]byte, int(n)-len(raw))...)
		}
		shape, _ := json.Marshal(x.Shape)
		fmt.Fprintf(&head, `,%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, x.Name, x.DType, shape, data.Len(), data.Len()+len(raw))
		data.Write(raw)
	}
	head.WriteByte('}')
	out := binary.LittleEndian.AppendUint64(nil, uint64(head.Len()))
	return append(append(out, head.Bytes()...), data.Bytes()...)
}

func TestCheckRefuses(t *testing.T) {
	src := written(t, "m.safetensors", synth.Options{Dims: small()})
	f, err := modelfile.Open(src)
	require.NoError(t, err)
	defer f.Close()
	base := modelfile.KindSDXLBase
	edited := func(name string, change func(*modelfile.Tensor) bool) error {
		path := filepath.Join(t.TempDir(), "m.safetensors")
		b := subset(t, f, f.Tensors, func(x *modelfile.Tensor) bool { return x.Name != name || change(x) })
		require.NoError(t, os.WriteFile(path, b, 0o644))
		_, err := modelfile.Check(path, base)
		return err
	}
	drop := func(*modelfile.Tensor) bool { return false }
	shape := func(s ...int64) func(*modelfile.Tensor) bool {
		return func(x *modelfile.Tensor) bool { x.Shape = s; return true }
	}
	for _, c := range []struct {
		tensor string
		change func(*modelfile.Tensor) bool
		says   []string
	}{
		{"model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight", drop, []string{"missing", "expected shape [32, 32]"}},
		{"model.diffusion_model.output_blocks.8.0.skip_connection.bias", drop, []string{"missing"}},
		{"model.diffusion_model.out.2.weight", drop, []string{"out.2.weight", "missing, expected shape [4, 16, 3, 3]"}},
		{"model.diffusion_model.input_blocks.4.0.emb_layers.1.weight", shape(64, 32), []string{"shape [64, 32], expected [32, 64]"}},
		{"model.diffusion_model.input_blocks.0.0.bias", shape(15), []string{"expected [16]"}},
		{"first_stage_model.decoder.mid.attn_1.q.weight", shape(24, 24), nil},
		{"first_stage_model.decoder.mid.attn_1.q.weight", shape(24, 16), []string{"expected [24, 24, 1, 1]"}},
		{"first_stage_model.quant_conv.bias", drop, []string{"quant_conv.bias", "missing"}},
		{"conditioner.embedders.0.transformer.text_model.encoder.layers.1.mlp.fc1.bias", drop, []string{"fc1.bias", "missing"}},
		{"conditioner.embedders.0.transformer.text_model.embeddings.position_ids", drop, nil},
		{"conditioner.embedders.1.model.logit_scale", drop, nil},
		{"conditioner.embedders.1.model.text_projection", shape(16, 8), []string{"label embedding", "yields 8"}},
		{"conditioner.embedders.1.model.transformer.resblocks.1.attn.in_proj_weight", shape(16, 16),
			[]string{"in_proj_weight", "expected [48, 16]"}},
		{"model.diffusion_model.time_embed.0.weight", func(x *modelfile.Tensor) bool { x.DType = modelfile.I16; return true },
			[]string{"type I16"}},
	} {
		err := edited(c.tensor, c.change)
		if c.says == nil {
			require.NoError(t, err, c.tensor)
			continue
		}
		require.ErrorIs(t, err, modelfile.ErrTensor, c.tensor)
		for _, s := range append(c.says, "m.safetensors") {
			assert.Contains(t, err.Error(), s)
		}
	}
	_, err = modelfile.Check(src, modelfile.KindSDXLRefiner)
	require.ErrorIs(t, err, modelfile.ErrUnsupported)
	assert.Contains(t, err.Error(), "sdxl-base where sdxl-refiner is needed")
	vae := modelfile.Dims{VAE: small().VAE}
	lone := written(t, "v.safetensors", synth.Options{Dims: &vae})
	_, err = modelfile.Check(lone, modelfile.KindVAE)
	require.NoError(t, err)
}

// names makes a file of U8 tensors with these names and shapes.
func names(t *testing.T, tensors map[string][]int64) string {
	t.Helper()
	head, at := `{"__metadata__":{}`, int64(0)
	for n, s := range tensors {
		size := int64(2)
		for _, d := range s {
			size *= d
		}
		shape, _ := json.Marshal(s)
		head += fmt.Sprintf(`,%q:{"dtype":"F16","shape":%s,"data_offsets":[%d,%d]}`, n, shape, at, at+size)
		at += size
	}
	head += "}"
	path := filepath.Join(t.TempDir(), "m.safetensors")
	b := append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)
	require.NoError(t, os.WriteFile(path, append(b, make([]byte, at)...), 0o644))
	return path
}

func TestInspectKinds(t *testing.T) {
	const u = "model.diffusion_model."
	attn := u + "input_blocks.1.1.transformer_blocks.0."
	unet := func(context, in, label int64) map[string][]int64 {
		m := map[string][]int64{u + "input_blocks.0.0.weight": {4, in, 3, 3}, u + "input_blocks.1.0.in_layers.2.weight": {4, 4, 3, 3},
			attn + "norm1.weight": {4}, attn + "attn2.to_k.weight": {4, context}}
		if label > 0 {
			m[u+"label_emb.0.0.weight"] = []int64{4, label}
		}
		return m
	}
	for _, c := range []struct {
		tensors map[string][]int64
		kind    modelfile.Kind
		reason  string
	}{
		{unet(768, 4, 0), modelfile.KindSD1, "Stable Diffusion 1.x"},
		{unet(1024, 4, 0), modelfile.KindSD2, "Stable Diffusion 2.x"},
		{unet(2048, 8, 2816), modelfile.KindUnknown, "8 input channels"},
		{unet(2048, 4, 2816), modelfile.KindUNet, ""},
		{map[string][]int64{"double_blocks.0.img_attn.qkv.weight": {2}}, modelfile.KindFlux, "Flux"},
		{map[string][]int64{"model.diffusion_model.joint_blocks.0.x.weight": {2}}, modelfile.KindSD3, "Stable Diffusion 3"},
		{map[string][]int64{"lora_unet_x.lora_down.weight": {2}, "lora_unet_x.alpha": {}}, modelfile.KindLoRA, ""},
		{map[string][]int64{"unet.x.lora_A.weight": {2}}, modelfile.KindLoRA, ""},
		{map[string][]int64{"lora_unet_x.hada_w1_a": {2}}, modelfile.KindLoRA, ""},
		{map[string][]int64{"controlnet_cond_embedding.conv_in.weight": {2}}, modelfile.KindControlNet, ""},
		{map[string][]int64{"clip_l": {1, 768}, "clip_g": {1, 1280}}, modelfile.KindTextualInversion, ""},
		{map[string][]int64{"emb_params": {3, 1280}}, modelfile.KindTextualInversion, ""},
		{map[string][]int64{"emb_params": {3, 768}}, modelfile.KindTextualInversion, "Stable Diffusion 1.x"},
		{map[string][]int64{"text_encoders_0": {2, 768}, "text_encoders_1": {2, 1280}}, modelfile.KindTextualInversion, ""},
		{map[string][]int64{"clip_l_out": {2, 768}, "clip_g_out": {2, 1280}}, modelfile.KindTextualInversion, "output embedding"},
		{map[string][]int64{"<hat>": {768}}, modelfile.KindTextualInversion, ""},
		{map[string][]int64{"something.else": {4}}, modelfile.KindUnknown, `"something.else"`},
		{nil, modelfile.KindUnknown, "no tensors"},
		{map[string][]int64{"text_model.embeddings.token_embedding.weight": {8, 768}}, modelfile.KindTextEncoder, ""},
		{map[string][]int64{"decoder.mid.block_1.conv1.weight": {4}, "decoder.conv_in.weight": {4, 16, 3, 3}}, modelfile.KindVAE,
			"16 latent channels"},
	} {
		r, err := modelfile.Inspect(names(t, c.tensors))
		require.NoError(t, err)
		assert.Equal(t, c.kind, r.Kind, "%v", c.tensors)
		if c.reason == "" {
			assert.Empty(t, r.Reason, "%v", c.tensors)
		} else {
			assert.Contains(t, r.Reason, c.reason)
		}
		if c.kind == modelfile.KindLoRA || c.kind == modelfile.KindControlNet {
			_, err := modelfile.Check(names(t, c.tensors))
			require.ErrorIs(t, err, modelfile.ErrUnsupported)
		}
	}
	refiner, err := modelfile.Inspect(names(t, unet(1280, 4, 2560)))
	require.NoError(t, err)
	assert.Equal(t, modelfile.KindSDXLRefiner, refiner.UNetKind)
	inpaint, err := modelfile.Inspect(names(t, unet(2048, 9, 2816)))
	require.NoError(t, err)
	assert.Equal(t, modelfile.KindSDXLInpaint, inpaint.UNetKind)
}

func TestReadEmbedding(t *testing.T) {
	e, err := modelfile.ReadEmbedding("testdata/torch/ti.pt")
	require.NoError(t, err)
	assert.Equal(t, "ti", e.Name)
	require.Len(t, e.L, 2)
	assert.Len(t, e.L[0], 64)
	assert.Equal(t, float32(0.25), e.L[1][63])
	assert.Empty(t, e.G)

	e, err = modelfile.ReadEmbedding(names(t, map[string][]int64{"clip_l": {3, 768}, "clip_g": {3, 1280}}))
	require.NoError(t, err)
	assert.Len(t, e.L, 3)
	assert.Len(t, e.G[2], 1280)
	e, err = modelfile.ReadEmbedding(names(t, map[string][]int64{"<x>": {1280}}))
	require.NoError(t, err)
	assert.Len(t, e.G, 1)

	e, err = modelfile.ReadEmbedding(names(t, map[string][]int64{"text_encoders_0": {2, 768}, "text_encoders_1": {2, 1280}}))
	require.NoError(t, err)
	assert.Len(t, e.G, 2)
	assert.Len(t, e.L[0], 768)
	for says, tensors := range map[string]map[string][]int64{
		"clip_l_out is an output embedding": {"clip_l": {2, 768}, "clip_g": {2, 1280}, "clip_l_out": {2, 768}},
		"clip_g_out is an output embedding": {"clip_g_out": {1, 1280}},
		"Stable Diffusion 2.x":              {"<x>": {2, 1024}},
		"one tensor with vectors of 768":    {"emb_params": {8, 768}},
		"1.x, of one tensor":                {"string_to_param.*": {8, 768}},
		"vectors for T5":                    {"clip_l": {1, 768}, "clip_g": {1, 1280}, "t5xxl": {1, 4096}},
	} {
		_, err := modelfile.ReadEmbedding(names(t, tensors))
		require.ErrorIs(t, err, modelfile.ErrUnsupported, says)
		assert.ErrorContains(t, err, says)
	}

	for says, tensors := range map[string]map[string][]int64{
		"2 vectors, but clip_l has 1": {"clip_l": {1, 768}, "clip_g": {2, 1280}},
		"1 to 75 vectors":             {"clip_l": {76, 768}},
		"second embedding":            {"a": {768}, "b": {768}},
		"not an embedding":            {"a": {2, 2, 2}},
		"no embedding vectors":        {},
		"a lora":                      {"x.lora_down.weight": {2, 2}},
	} {
		_, err := modelfile.ReadEmbedding(names(t, tensors))
		require.Error(t, err)
		assert.Contains(t, err.Error(), says)
	}
}

func ExampleInspect() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "small.safetensors")
	d := modelfile.Preset("nano")
	d.TextEncoder.VocabSize, d.TextEncoder2.VocabSize = 64, 64
	if err := synth.Write(context.Background(), path, synth.Options{Kind: synth.KindNano, Dims: &d}); err != nil {
		fmt.Println(err)
		return
	}
	r, err := modelfile.Inspect(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Kind, r.Layout, r.Tensors, "tensors")
	fmt.Println("UNet channels", r.Dims.UNet.Channels, "context", r.Dims.UNet.ContextDim)
	// Output:
	// sdxl-base original 779 tensors
	// UNet channels [32 64 128] context 128
}
