package synth

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

func small() *modelfile.Dims {
	d := modelfile.Preset("nano")
	d.UNet.Channels, d.UNet.TimeDim, d.UNet.ContextDim, d.UNet.LabelDim = []int{16, 32, 32}, 64, 32, 16+6*256
	d.TextEncoder = &modelfile.TextDims{VocabSize: 64, MaxTokens: 77, Width: 16, Layers: 2, Intermediate: 64}
	d.TextEncoder2 = &modelfile.TextDims{VocabSize: 64, MaxTokens: 77, Width: 16, Layers: 2, Intermediate: 64, ProjectionDim: 16}
	return &d
}

// The counts of the published checkpoints, from the architecture alone.
func TestFullSizeTensors(t *testing.T) {
	for _, c := range []struct {
		kind      Kind
		tensors   int
		gigabytes float64
	}{
		{KindSDXLBase, 2515, 6.94}, {KindSDXLInpaint, 2515, 6.94}, {KindSDXLRefiner, 1858, 6.08}, {KindVAE, 248, 0.17},
		{KindUNet, 1680, 5.14}, {KindTextEncoder, 197, 0.25}, {KindTextEncoder2, 390, 1.39},
		{KindControlNet, 844, 2.50}, {KindTAESD, 134, 0.005}, {KindESRGAN, 702, 0.033}, {KindYOLOv8, 355, 0.006},
	} {
		p, err := newPlan(Options{Kind: c.kind})
		require.NoError(t, err)
		assert.Len(t, p.all(), c.tensors, c.kind)
		n, err := Size(Options{Kind: c.kind})
		require.NoError(t, err)
		assert.InDelta(t, c.gigabytes, float64(n)/1e9, 0.01, c.kind)
	}
	p, err := newPlan(Options{Kind: KindSDXLBase, Layout: modelfile.LayoutDiffusers})
	require.NoError(t, err)
	assert.Len(t, p.all(), 2641, "with q, k and v by themselves")
	all := map[string]bool{}
	for _, it := range p.all() {
		assert.False(t, all[it.full], it.full)
		all[it.full] = true
	}
}

func digest(t *testing.T, path string) [32]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return sha256.Sum256(b)
}

func TestDeterministic(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, seed uint64) [32]byte {
		path := filepath.Join(dir, name)
		require.NoError(t, Write(context.Background(), path, Options{Kind: KindNano, Dims: small(), Seed: seed}))
		return digest(t, path)
	}
	assert.Equal(t, write("a.safetensors", 1), write("b.safetensors", 1))
	assert.NotEqual(t, write("a.safetensors", 1), write("c.safetensors", 2))
	st, err := os.Stat(filepath.Join(dir, "a.safetensors"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o644), st.Mode())
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func values(t *testing.T, path, name string) []float32 {
	t.Helper()
	f, err := modelfile.Open(path)
	require.NoError(t, err)
	defer f.Close()
	v, err := f.ReadFloat32(name)
	require.NoError(t, err)
	return v
}

// Every layout, format and type holds the same weights.
func TestLayoutsAgree(t *testing.T) {
	dir := t.TempDir()
	path := func(name string, opt Options) string {
		opt.Kind, opt.Dims, opt.Seed = KindNano, small(), 9
		p := filepath.Join(dir, name)
		require.NoError(t, Write(context.Background(), p, opt))
		return p
	}
	original := path("o.safetensors", Options{Type: modelfile.F32})
	diffusers := path("d.safetensors", Options{Type: modelfile.F32, Layout: modelfile.LayoutDiffusers})
	folder := filepath.Join(dir, "folder")
	require.NoError(t, WriteFolder(context.Background(), folder, Options{Kind: KindNano, Dims: small(), Seed: 9, Type: modelfile.F32}))
	for o, d := range map[string]string{
		"model.diffusion_model.time_embed.0.weight":                                      "unet.time_embedding.linear_1.weight",
		"model.diffusion_model.output_blocks.8.0.skip_connection.weight":                 "unet.up_blocks.2.resnets.2.conv_shortcut.weight",
		"model.diffusion_model.middle_block.1.proj_out.bias":                             "unet.mid_block.attentions.0.proj_out.bias",
		"first_stage_model.decoder.up.0.block.1.conv2.weight":                            "vae.decoder.up_blocks.3.resnets.1.conv2.weight",
		"first_stage_model.encoder.mid.attn_1.q.weight":                                  "vae.encoder.mid_block.attentions.0.to_q.weight",
		"conditioner.embedders.0.transformer.text_model.encoder.layers.1.mlp.fc2.weight": "text_encoder.text_model.encoder.layers.1.mlp.fc2.weight",
		"conditioner.embedders.1.model.token_embedding.weight":                           "text_encoder_2.text_model.embeddings.token_embedding.weight",
		"conditioner.embedders.1.model.positional_embedding":                             "text_encoder_2.text_model.embeddings.position_embedding.weight",
		"conditioner.embedders.1.model.ln_final.bias":                                    "text_encoder_2.text_model.final_layer_norm.bias",
		"conditioner.embedders.1.model.transformer.resblocks.1.mlp.c_fc.weight":          "text_encoder_2.text_model.encoder.layers.1.mlp.fc1.weight",
	} {
		assert.Equal(t, values(t, original, o), values(t, diffusers, d), o)
	}
	for _, part := range []string{"weight", "bias"} {
		var joined []float32
		for _, p := range []string{"q", "k", "v"} {
			joined = append(joined, values(t, filepath.Join(folder, "text_encoder_2/model.safetensors"),
				"text_model.encoder.layers.1.self_attn."+p+"_proj."+part)...)
		}
		assert.Equal(t, values(t, original, "conditioner.embedders.1.model.transformer.resblocks.1.attn.in_proj_"+part), joined)
	}
	right := values(t, original, "conditioner.embedders.1.model.text_projection")
	left := values(t, diffusers, "text_encoder_2.text_projection.weight")
	for r := range 16 {
		for c := range 16 {
			assert.Equal(t, right[r*16+c], left[c*16+r])
		}
	}
	assert.Equal(t, float32(76), values(t, original, "conditioner.embedders.0.transformer.text_model.embeddings.position_ids")[76])

	const name = "model.diffusion_model.input_blocks.1.0.in_layers.2.weight"
	want := values(t, original, name)
	for file, opt := range map[string]Options{"g.gguf": {}, "t.ckpt": {}, "b.safetensors": {Type: modelfile.BF16},
		"x.bin": {Format: FormatSafetensors}} {
		got := values(t, path(file, opt), name)
		for i := range want {
			require.InDelta(t, want[i], got[i], 0.004*math.Abs(float64(want[i]))+1e-7)
		}
	}
}

// The fast path of draw equals drawing one by one, wherever it begins.
func TestDrawAgreesWithIndex(t *testing.T) {
	for _, width := range []int{2, 4} {
		f := &filler{table: make([]byte, 4*levels)}
		for i := range levels {
			binary.LittleEndian.PutUint16(f.table[width*i:], uint16(i))
		}
		for start := int64(0); start < 9; start++ {
			out := make([]byte, 103*width)
			f.draw(out, 42, start, width)
			for i := range 103 {
				require.Equal(t, index(42, start+int64(i)), binary.LittleEndian.Uint16(out[i*width:]), "width %d, start %d, element %d", width, start,
					i)
			}
		}
	}
}

// A large matrix has the variance its role asks for, and finite values.
func TestDistribution(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.safetensors")
	d := modelfile.Dims{TextEncoder: &modelfile.TextDims{VocabSize: 8, MaxTokens: 77, Width: 256, Layers: 1, Intermediate: 1024}}
	require.NoError(t, Write(context.Background(), path, Options{Kind: KindTextEncoder, Dims: &d}))
	for name, want := range map[string][2]float64{
		"text_model.encoder.layers.0.mlp.fc1.weight":            {0, 1 / 16.0},
		"text_model.encoder.layers.0.mlp.fc2.weight":            {0, 0.3 / 32},
		"text_model.encoder.layers.0.layer_norm1.weight":        {1, 0.05},
		"text_model.embeddings.position_embedding.weight":       {0, 0.02},
		"text_model.encoder.layers.0.self_attn.out_proj.weight": {0, 0.3 / 16},
	} {
		v := values(t, path, name)
		var sum, square float64
		for _, x := range v {
			sum += float64(x)
			square += float64(x) * float64(x)
		}
		n := float64(len(v))
		std := math.Sqrt(square/n - sum/n*sum/n)
		assert.InDelta(t, want[0], sum/n, 5*want[1]/math.Sqrt(n), name)
		assert.InEpsilon(t, want[1], std, 0.15, name)
	}
}

func TestCancelLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	for name, write := range map[string]func(context.Context, string,
		Options) error{"f.safetensors": Write, "f.gguf": Write, "f.ckpt": Write, "folder": WriteFolder} {
		ctx, cancel := context.WithCancel(context.Background())
		err := write(ctx, filepath.Join(dir, name), Options{Kind: KindNano, Dims: small(), Progress: func(done, total int64) {
			assert.Positive(t, total)
			if done > total/2 {
				cancel()
			}
		}})
		cancel()
		require.ErrorIs(t, err, context.Canceled, name)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestProgressEndsAtTheTotal(t *testing.T) {
	for _, name := range []string{"a.safetensors", "a.gguf", "a.ckpt"} {
		var done, total int64
		require.NoError(t, Write(context.Background(), filepath.Join(t.TempDir(), name), Options{Kind: KindNano, Dims: small(),
			Progress: func(d, n int64) { assert.GreaterOrEqual(t, d, done); done, total = d, n }}))
		assert.Equal(t, total, done)
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	try := func(opt Options) error { return Write(context.Background(), filepath.Join(dir, "x.safetensors"), opt) }
	require.ErrorIs(t, try(Options{Kind: "flux"}), ErrOptions)
	require.ErrorIs(t, try(Options{Kind: KindNano, Type: "Q8_0"}), ErrOptions)
	require.ErrorIs(t, try(Options{Kind: KindNano, Layout: "kohya"}), ErrOptions)
	require.ErrorIs(t, try(Options{Kind: KindNano, Format: "zip"}), ErrOptions)
	require.ErrorIs(t, WriteFolder(context.Background(), dir, Options{Kind: KindNano}), ErrOptions, "the folder exists")
	require.ErrorIs(t, Write(context.Background(), filepath.Join(dir, "absent", "x"), Options{Kind: KindNano}), os.ErrNotExist)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

// BenchmarkFill reports the rate of weights alone, without a disk.
func BenchmarkFill(b *testing.B) {
	d := modelfile.Dims{TextEncoder: &modelfile.TextDims{VocabSize: 49408, MaxTokens: 77, Width: 768, Layers: 1, Intermediate: 3072}}
	p, err := newPlan(Options{Kind: KindTextEncoder, Dims: &d})
	if err != nil {
		b.Fatal(err)
	}
	items := p.all()
	b.SetBytes(total(items))
	for b.Loop() {
		if err := writeFile(io.Discard, modelfile.FormatSafetensors, items, nil, &filler{ctx: context.Background()}); err != nil {
			b.Fatal(err)
		}
	}
}
