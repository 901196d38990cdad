package adapters

import (
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

func TestEffectiveWeights(t *testing.T) {
	targets := []TargetInfo{{"unet.down_blocks.1.attentions.0.proj_in", "IN04"}, {"unet.mid_block.resnets.0.conv1", "M00"},
		{"text_encoder.text_model.encoder.layers.0.mlp.fc1", "BASE"}, {"text_encoder_2.text_model.encoder.layers.0.mlp.fc1", "BASE"}}
	a := lora.Adapter{Weight: new(0.5), ScalingFactor: new(2.0), TextEncoderWeight: new(0.25),
		BlockWeights: map[string]float64{"IN04": 0.5, "base": 0, "text_model.encoder.layers.0": 3}}
	s := lora.Stack{Options: lora.Options{GlobalWeight: new(0.5), GlobalScalingFactor: new(4.0)}}
	w, applies := weightsAt(s, a, targets, 0, 20)
	assert.True(t, applies)
	assert.Equal(t, []float32{1, 2, 3, 3}, w)
	a.Enabled = new(false)
	w, applies = weightsAt(s, a, targets, 0, 20)
	assert.False(t, applies)
	assert.Equal(t, make([]float32, 4), w)

	a = lora.Adapter{Start: 0.25, End: 0.5}
	var active []int
	for step := range 20 {
		if a.ActiveAt(step, 20) {
			active = append(active, step)
		}
	}
	assert.Equal(t, []int{5, 6, 7, 8, 9}, active)
}

// TestActive: a stack of three of which one is disabled; weights change while it is in use, without reading a file.
func TestActive(t *testing.T) {
	m := &memory{}
	c := testCache(t, m, defaults)
	paths := adapters(t, 3)
	var stack lora.Stack
	for i, p := range paths {
		stack.Adapters = append(stack.Adapters, lora.Adapter{Path: p, Enabled: new(i != 1)})
	}
	active, err := c.Activate(t.Context(), stack, func(a lora.Adapter) (string, error) { return a.Path, nil })
	require.NoError(t, err)
	defer active.Release()
	assert.Equal(t, int64(2), m.loads.Load(), "disabled adapters are not read")
	require.Len(t, active.Uses(0, 20), 2)
	key := active.TextKey(0, 20)
	for _, p := range paths {
		require.NoError(t, os.Remove(p)) // whoever reads a file now fails
	}
	for i := range 100 {
		w := float64(i) / 100
		require.NoError(t, active.Update("A00", func(a *lora.Adapter) { a.Weight = &w }))
		uses := active.Uses(i%20, 20)
		if i == 0 {
			assert.Len(t, uses, 1, "weight 0 takes no part")
			continue
		}
		assert.Equal(t, []float32{float32(w)}, uses[0].Weights)
	}
	assert.NotEqual(t, key, active.TextKey(0, 20))
	assert.Equal(t, 2, c.Stats().Misses)
	require.ErrorIs(t, active.Update("a01", func(*lora.Adapter) {}), lora.ErrNotFound)
	require.ErrorIs(t, active.Update("a00", func(a *lora.Adapter) { a.Weight = new(math.NaN()) }), lora.ErrConfig)
	assert.Equal(t, 0.99, *active.Stack().Adapters[0].Weight, "a refused change changes nothing")
}

// TestOneBadAdapter: each is complained about, and the good ones stay.
func TestOneBadAdapter(t *testing.T) {
	c := testCache(t, &memory{}, defaults)
	paths := append(adapters(t, 2), write(t, "bad.safetensors", []byte("<html>")), "missing.safetensors")
	var stack lora.Stack
	for _, p := range paths {
		stack.Adapters = append(stack.Adapters, lora.Adapter{Path: p})
	}
	resolve := func(a lora.Adapter) (string, error) { return a.Path, nil }
	_, err := c.Activate(t.Context(), stack, resolve)
	require.ErrorIs(t, err, lora.ErrFormat)
	require.ErrorIs(t, err, lora.ErrNotFound)
	assert.ErrorContains(t, err, `lora "bad"`)
	assert.ErrorContains(t, err, `lora "missing"`)
	stack.Adapters = stack.Adapters[:2]
	active, err := c.Activate(t.Context(), stack, resolve)
	require.NoError(t, err)
	active.Release()
	assert.Equal(t, 2, c.Stats().Loads, "they were resident")

	stack.Adapters[0].BlockWeights = map[string]float64{"IN11": 0.5}
	_, err = c.Activate(t.Context(), stack, resolve)
	require.ErrorIs(t, err, lora.ErrConfig)
	assert.ErrorContains(t, err, "block_weights.IN11")
}

func TestStrict(t *testing.T) {
	c := testCache(t, &memory{}, defaults)
	path := write(t, "partial.safetensors", safetensors(t, nil, random(linearKey+".lora_down.weight", 4, 64),
		random(linearKey+".lora_up.weight", 64, 4), random("lora_unet_nothing_of_the_kind.lora_down.weight", 4, 64)))
	stack := lora.Stack{Adapters: []lora.Adapter{{Path: path}}}
	resolve := func(a lora.Adapter) (string, error) { return a.Path, nil }
	active, err := c.Activate(t.Context(), stack, resolve)
	require.NoError(t, err)
	r := active.Members()[0].Report
	assert.Equal(t, `2 of 3 tensors applied to 1 modules; not applied: "lora_unet_nothing_of_the_kind.lora_down.weight" (the model has no such module)`, r.Summary())
	active.Release()
	stack.Strict = true
	_, err = c.Activate(t.Context(), stack, resolve)
	require.ErrorIs(t, err, lora.ErrPartial)
	assert.ErrorContains(t, err, "2 of 3 tensors applied")
}
