package pipeline

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// The fake's modules that the adapters of these tests change, and their widths.
const (
	unetKey = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
	textKey = "lora_te1_text_model_encoder_layers_0_self_attn_q_proj"
)

// writeAdapter writes a LoRA of rank 2 for modules, given as key and width; seed makes it one of its own.
func writeAdapter(t *testing.T, path string, seed byte, modules map[string]int) {
	t.Helper()
	header, data := map[string]any{}, []byte{}
	add := func(name string, shape ...int) {
		begin := len(data)
		for i := range backend.Count(shape...) {
			data = binary.LittleEndian.AppendUint32(data, 0x3c000000|uint32(seed)<<16|uint32(i*2654435761)>>16)
		}
		header[name] = map[string]any{"dtype": "F32", "shape": shape, "data_offsets": []int{begin, len(data)}}
	}
	for key, width := range modules {
		add(key+".lora_down.weight", 2, width)
		add(key+".lora_up.weight", width, 2)
	}
	text, err := json.Marshal(header)
	require.NoError(t, err)
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	require.NoError(t, os.WriteFile(path, append(append(file, text...), data...), 0o644))
}

// loraBench is a pipeline on the fake with a folder of adapters: "unet" and "both" change what they are called after, "text" the
// first text encoder.
func loraBench(t *testing.T) (*Pipeline, *fake.Backend, string) {
	t.Helper()
	dir := t.TempDir()
	writeAdapter(t, filepath.Join(dir, "unet.safetensors"), 1, map[string]int{unetKey: 16})
	writeAdapter(t, filepath.Join(dir, "text.safetensors"), 2, map[string]int{textKey: 8})
	writeAdapter(t, filepath.Join(dir, "both.safetensors"), 3, map[string]int{unetKey: 16, textKey: 8})
	b := &fake.Backend{}
	p, err := Open(t.Context(), Config{LoRADirectories: []string{dir}}, WithBackend(b))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.Close())
		n, bytes := b.LiveLoRAs()
		assert.Zero(t, n+bytes, "closing the pipeline frees the adapters")
	})
	return p, b, dir
}

func withLoRA(r request.Request, loras ...lora.Adapter) request.Request {
	r.LoRAs = loras
	return r
}

func latentsOf(t *testing.T, p *Pipeline, r request.Request, opts ...GenerateOption) []float32 {
	t.Helper()
	return generate(t, p, r, opts...).Images[0].Latents.Data
}

func TestLoRAChangesThePicture(t *testing.T) {
	p, b, dir := loraBench(t)
	base := latentsOf(t, p, small("a circle"))
	for _, name := range []string{"unet", "text", "both"} {
		with := latentsOf(t, p, withLoRA(small("a circle"), lora.Adapter{Name: name}))
		assert.NotEqual(t, base, with, name)
		assert.Equal(t, with, latentsOf(t, p, small(fmt.Sprintf("a circle <lora:%s>", name))), "a tag is the same")
		assert.Equal(t, with, latentsOf(t, p, withLoRA(small("a circle"), lora.Adapter{Path: filepath.Join(dir, name)})), "a path is the same")
		for what, l := range map[string]lora.Adapter{"weight 0": {Name: name, Weight: new(0.0)}, "disabled": {Name: name, Enabled: new(false)},
			"scaled to nothing": {Name: name, ScalingFactor: new(0.0)}} {
			assert.Equal(t, base, latentsOf(t, p, withLoRA(small("a circle"), l)), "%s of %s", what, name)
		}
	}
	assert.Equal(t, base, latentsOf(t, p, small("a circle")), "and gone without a trace")
	assert.Equal(t, 3, b.Count(fake.OpLoadLoRA), "each file is loaded once")
	assert.Equal(t, 3, p.LoRAStats().Loads)
	half := latentsOf(t, p, withLoRA(small("a circle"), lora.Adapter{Name: "unet", Weight: new(0.5)}))
	for what, r := range map[string]request.Request{
		"globals":  {LoRAs: []lora.Adapter{{Name: "unet"}}, LoRAStack: lora.Options{GlobalWeight: new(0.25), GlobalScalingFactor: new(2.0)}},
		"a tag":    {LoRAs: []lora.Adapter{{Name: "unet", Weight: new(7.0)}}, Prompt: "a circle <lora:unet:0.5>"},
		"a block":  {LoRAs: []lora.Adapter{{Name: "unet", BlockWeights: map[string]float64{"M00": 0.5}}}},
		"negative": {LoRAs: nil, NegativePrompt: "<lora:unet:0.5>"},
	} {
		one := small("a circle")
		one.LoRAs, one.LoRAStack, one.NegativePrompt = r.LoRAs, r.LoRAStack, r.NegativePrompt
		if r.Prompt != "" {
			one.Prompt = r.Prompt
		}
		assert.Equal(t, half, latentsOf(t, p, one), what)
	}
}

// TestLoRARange: an adapter takes part in its steps only, and the text encoders follow.
func TestLoRARange(t *testing.T) {
	p, b, _ := loraBench(t)
	r := withLoRA(small("a circle"), lora.Adapter{Name: "both", Start: 0.25, End: 0.75})
	r.NumInferenceSteps, r.NumImages, r.MaxBatch = 8, 2, 1
	latentsOf2 := generate(t, p, r)
	var unet []int
	text := 0
	for _, c := range b.Calls() {
		switch c.Op {
		case fake.OpUNet:
			unet = append(unet, len(c.LoRAs))
		case fake.OpEncodeText:
			text++
		}
	}
	assert.Equal(t, []int{0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0}, unet)
	assert.Equal(t, 3, text, "two encoders, and the one that the adapter changes with it; the second batch knows them all")
	alone := r
	alone.NumImages, alone.Seed = 1, r.Seed+1
	assert.Equal(t, latentsOf(t, p, alone), latentsOf2.Images[1].Latents.Data, "the second batch is as alone")
}

// TestLoRAHandle changes weights between steps: as often as there are steps, and no file is read for it.
func TestLoRAHandle(t *testing.T) {
	p, b, dir := loraBench(t)
	r := withLoRA(small("a circle"), lora.Adapter{Name: "unet", Weight: new(0.0)}, lora.Adapter{Name: "text", Weight: new(0.0)})
	r.NumInferenceSteps = 100
	base := latentsOf(t, p, r)
	var h LoRAHandle
	require.ErrorIs(t, h.SetWeight("unet", 1), ErrNotRunning)
	calls := len(b.Calls())
	changed := latentsOf(t, p, r, WithLoRAs(&h), WithProgress(func(at Progress) {
		if at.Stage == StageDenoise && at.Step == 1 {
			require.NoError(t, os.RemoveAll(dir)) // whoever reads a file from now on fails
		}
		if at.Stage == StageDenoise && at.Step < at.Steps {
			require.NoError(t, h.SetUNetWeight("UNet", float64(at.Step)/100))
		}
		if at.Stage == StageDenoise && at.Step == 50 {
			require.NoError(t, h.SetWeight("text", 1))
			assert.Equal(t, 1.0, *h.Stack().Adapters[1].Weight)
			require.ErrorIs(t, h.SetWeight("other", 1), lora.ErrNotFound)
		}
	}))
	assert.NotEqual(t, base, changed)
	var weights []float32
	text := 0
	for _, c := range b.Calls()[calls:] {
		switch {
		case c.Op == fake.OpUNet && len(c.LoRAs) > 0:
			weights = append(weights, c.LoRAs[0])
		case c.Op == fake.OpEncodeText:
			text++
		}
	}
	require.Len(t, weights, 99)
	for i, w := range weights {
		assert.InDelta(t, float64(i+1)/100, w, 1e-6)
	}
	assert.Equal(t, 1, text, "the prompt is encoded again once, by the encoder whose weight changed; the rest is known from the first run")
	assert.Equal(t, 2, b.Count(fake.OpLoadLoRA))
	require.ErrorIs(t, h.SetWeight("unet", 1), ErrNotRunning)
	assert.Empty(t, h.Stack().Adapters)
}

func TestLoRAMistakes(t *testing.T) {
	p, b, dir := loraBench(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.safetensors"), []byte("<html>"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "unet2.pt"), nil, 0o644))
	for says, r := range map[string]request.Request{
		"lora[0].name: nothing: no such file":    withLoRA(small("x"), lora.Adapter{Name: "nothing"}),
		"lora[1].path: " + dir:                   withLoRA(small("x"), lora.Adapter{Name: "unet"}, lora.Adapter{Path: dir + "/missing.pt"}),
		"lora[0].weight: is 1000":                withLoRA(small("x"), lora.Adapter{Name: "unet", Weight: new(1000.0)}),
		`prompt_2: names the LoRA "unet" again`:  {Prompt: "<lora:unet:1>", Prompt2: "<lora:unet:2>"},
		"lora[1].name: \"UNET\" is in the stack": withLoRA(small("x"), lora.Adapter{Name: "unet"}, lora.Adapter{Name: "UNET"}),
		`lora: "unet" and "un" are the same file`: withLoRA(small("x"), lora.Adapter{Name: "unet"},
			lora.Adapter{Name: "un", Path: dir + "/unet.safetensors"}),
		"prompt: " + dir + "/unet.safetensors: ": small("<lora:" + dir + "/unet.safetensors:1>"),
		"lora_stack.max_adapters: 2 adapters": {LoRAs: []lora.Adapter{{Name: "unet"}, {Name: "text"}},
			LoRAStack: lora.Options{MaxAdapters: 1}},
		"lora[0].name: une: 2 files answer":      withLoRA(small("x"), lora.Adapter{Name: "une"}),
		"lora[0].block_weights.IN4: is no block": withLoRA(small("x"), lora.Adapter{Name: "unet", BlockWeights: map[string]float64{"IN4": 1}}),
	} {
		_, err := p.Generate(t.Context(), r)
		require.ErrorIs(t, err, request.ErrInvalid, says)
		assert.ErrorContains(t, err, says)
		run := request.Run{Model: request.Model{Model: "nano", LoRADirectories: []string{dir}}, Jobs: []request.Request{r}}
		assert.ErrorContains(t, CheckRun(&run), says, "also before a model is open")
	}
	assert.Zero(t, b.Count(fake.OpLoadLoRA))
	for kind, l := range map[error]lora.Adapter{lora.ErrFormat: {Name: "bad"},
		lora.ErrConfig: {Name: "unet", BlockWeights: map[string]float64{"IN11": 1}}} {
		_, err := p.Generate(t.Context(), withLoRA(small("x"), lora.Adapter{Name: "text"}, l))
		require.ErrorIs(t, err, kind)
	}
	assert.Equal(t, 1, b.Count(fake.OpLoadLoRA), "the good one stays resident")
	generate(t, p, withLoRA(small("x"), lora.Adapter{Name: "text"}))
	assert.Equal(t, 1, b.Count(fake.OpLoadLoRA))
}

// TestLoRAPlainPrompt: with plain syntax a tag is text.
func TestLoRAPlainPrompt(t *testing.T) {
	p, b, _ := loraBench(t)
	r := small("a circle <lora:unet:1>")
	r.PromptSyntax = request.SyntaxPlain
	generate(t, p, r)
	assert.Zero(t, b.Count(fake.OpLoadLoRA))
}

// TestLoRALoadFails: what goes wrong while loading ends the run and is told with the adapter's name; the next run works.
func TestLoRALoadFails(t *testing.T) {
	p, b, _ := loraBench(t)
	broken := errors.New("out of memory")
	b.Hook = func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpLoadLoRA && c.Nth == 0 {
			return broken
		}
		return nil
	}
	_, err := p.Generate(t.Context(), withLoRA(small("x"), lora.Adapter{Name: "unet"}))
	require.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, `lora "unet"`)
	generate(t, p, withLoRA(small("x"), lora.Adapter{Name: "unet"}))
}

// TestLoRAConcurrently has several jobs share adapters; each gets what it would get alone.
func TestLoRAConcurrently(t *testing.T) {
	p, _, _ := loraBench(t)
	names := []string{"unet", "text", "both"}
	var want [3][]float32
	for i, name := range names {
		want[i] = latentsOf(t, p, withLoRA(small("a circle"), lora.Adapter{Name: name}))
	}
	var jobs sync.WaitGroup
	for i := range 12 {
		jobs.Go(func() {
			var h LoRAHandle
			out, err := p.Generate(t.Context(), withLoRA(small("a circle"), lora.Adapter{Name: names[i%3]}), WithLoRAs(&h))
			if assert.NoError(t, err) {
				assert.Equal(t, want[i%3], out.Images[0].Latents.Data)
			}
		})
	}
	jobs.Wait()
	for _, a := range p.LoRAStats().Adapters {
		assert.Zero(t, a.InUse)
	}
}

func TestLoRAInResultAndManifest(t *testing.T) {
	p, _, dir := loraBench(t)
	r := withLoRA(small("a circle <lora:text:0.5:0.25>"), lora.Adapter{Name: "unet", Weight: new(0.5), ScalingFactor: new(2.0), End: 0.5,
		BlockWeights: map[string]float64{"M00": 2}})
	out := generate(t, p, r)
	require.Len(t, out.LoRAs, 2)
	require.NoError(t, out.HashFiles(t.Context()))
	m := out.Manifest(out.Images[0])
	data, err := os.ReadFile(filepath.Join(dir, "unet.safetensors"))
	require.NoError(t, err)
	sums, err := adapters.Hash(t.Context(), filepath.Join(dir, "unet.safetensors"))
	require.NoError(t, err)
	require.NotEmpty(t, data)
	assert.Equal(t, "a circle <lora:text:0.5:0.25>", m.Prompt, "as it was written")
	first := m.LoRAs[0]
	assert.Equal(t, LoRAInfo{Name: "unet", File: "unet.safetensors", Weight: 0.5, UNetWeight: 1, TextEncoderWeight: 1,
		BlockWeights: map[string]float64{"M00": 2}, End: 0.5, SHA256: sums.SHA256, AutoV3: sums.AutoV3,
		file: first.file}, first)
	assert.Equal(t, filepath.Join(dir, "unet.safetensors"), first.file.path)
	assert.Equal(t, []float64{0.25, 0.5}, []float64{m.LoRAs[1].UNetWeight, m.LoRAs[1].TextEncoderWeight})
	text, err := json.Marshal(m)
	require.NoError(t, err)
	assert.False(t, strings.Contains(string(text), dir), "folders are nobody else's business")
}
