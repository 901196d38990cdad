package lora

import (
	"errors"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestValidateStack(t *testing.T) {
	require.NoError(t, NewStack().Validate())
	require.NoError(t, NewStack(NewAdapter("a"), NewAdapter("b")).Validate())
	edit := func(f func(*Adapter)) Stack {
		a := NewAdapter("a")
		f(&a)
		return NewStack(a)
	}
	many := func(n int) (s Stack) {
		s = NewStack()
		for i := range n {
			s.Adapters = append(s.Adapters, NewAdapter(string(rune('a'+i))))
		}
		return s
	}
	for name, c := range map[string]struct {
		stack Stack
		field string
		kind  error
	}{
		"no name":             {edit(func(a *Adapter) { a.Name = " " }), "lora[0].name", ErrConfig},
		"NaN":                 {edit(func(a *Adapter) { a.Weight = math.NaN() }), "lora[0].weight", ErrConfig},
		"infinite":            {edit(func(a *Adapter) { a.ScalingFactor = math.Inf(1) }), "lora[0].scaling_factor", ErrConfig},
		"too heavy":           {edit(func(a *Adapter) { a.Weight = -101 }), "lora[0].weight", ErrConfig},
		"unet":                {edit(func(a *Adapter) { a.UNetWeight = new(math.NaN()) }), "lora[0].unet_weight", ErrConfig},
		"text":                {edit(func(a *Adapter) { a.TextEncoderWeight = new(1e9) }), "lora[0].text_encoder_weight", ErrConfig},
		"no block":            {edit(func(a *Adapter) { a.BlockWeights = map[string]float64{"IN4": 1} }), "lora[0].block_weights.IN4", ErrConfig},
		"block's weight":      {edit(func(a *Adapter) { a.BlockWeights = map[string]float64{"M00": math.Inf(1)} }), "lora[0].block_weights.M00", ErrConfig},
		"start":               {edit(func(a *Adapter) { a.Start = -0.1 }), "lora[0].start", ErrConfig},
		"end":                 {edit(func(a *Adapter) { a.End = 1.1 }), "lora[0].end", ErrConfig},
		"never":               {edit(func(a *Adapter) { a.Start, a.End = 0.5, 0.5 }), "lora[0].start", ErrConfig},
		"NUL":                 {edit(func(a *Adapter) { a.Path = "a\x00b" }), "lora[0].path", ErrConfig},
		"twice":               {NewStack(NewAdapter("a"), NewAdapter("A")), "lora[1].name", ErrConfig},
		"same by path":        {NewStack(NewAdapter("a"), Adapter{Path: "x/a.pt", Weight: 1, End: 1}), "lora[1].name", ErrConfig},
		"global weight":       {Stack{GlobalWeight: math.NaN(), GlobalScalingFactor: 1}, "lora_stack.global_weight", ErrConfig},
		"global scaling":      {Stack{GlobalWeight: 1, GlobalScalingFactor: 1e6}, "lora_stack.global_scaling_factor", ErrConfig},
		"negative limit":      {Stack{MaxAdapters: -1, GlobalWeight: 1, GlobalScalingFactor: 1}, "lora_stack.max_adapters", ErrConfig},
		"more than the limit": {many(9), "lora_stack.max_adapters", ErrLimit},
	} {
		err := c.stack.Validate()
		require.ErrorIs(t, err, c.kind, name)
		var errs FieldErrors
		require.True(t, errors.As(err, &errs), name)
		assert.Equal(t, c.field, errs[0].Field, name)
		assert.Len(t, errs, 1, name)
	}
	nine := many(9)
	nine.Adapters[4].Enabled = false
	require.NoError(t, nine.Validate(), "a disabled one does not count")
	nine.MaxAdapters = 3
	require.ErrorIs(t, nine.Validate(), ErrLimit)
	all := edit(func(a *Adapter) { a.Weight, a.Start, a.End, a.ScalingFactor = math.NaN(), 2, 3, math.Inf(-1) })
	assert.Len(t, all.Validate(), 4, "all at once")
}

func TestEffectiveWeights(t *testing.T) {
	targets := []TargetInfo{{"unet.down_blocks.1.attentions.0.proj_in", "IN04"}, {"unet.mid_block.resnets.0.conv1", "M00"},
		{"text_encoder.text_model.encoder.layers.0.mlp.fc1", "BASE"}, {"text_encoder_2.text_model.encoder.layers.0.mlp.fc1", "BASE"}}
	a := NewAdapter("a")
	a.Weight, a.ScalingFactor = 0.5, 2
	a.TextEncoderWeight = new(0.25)
	a.BlockWeights = map[string]float64{"IN04": 0.5, "base": 0, "text_model.encoder.layers.0": 3}
	s := NewStack(a)
	s.GlobalWeight, s.GlobalScalingFactor = 0.5, 4
	w, applies := s.Weights(a, targets, 0, 20)
	assert.True(t, applies)
	assert.Equal(t, []float32{1, 2, 3, 3}, w)
	a.Enabled = false
	w, applies = s.Weights(a, targets, 0, 20)
	assert.False(t, applies)
	assert.Equal(t, make([]float32, 4), w)

	a = NewAdapter("a")
	a.Start, a.End = 0.25, 0.5
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
	c := newCache(t, m, CacheConfig{})
	paths := adapters(t, 3)
	stack := NewStack()
	for i, p := range paths {
		a := NewAdapter("")
		a.Path, a.Enabled = p, i != 1
		stack.Adapters = append(stack.Adapters, a)
	}
	active, err := c.Activate(t.Context(), stack, func(a Adapter) (string, error) { return a.Path, nil })
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
		require.NoError(t, active.Update("A00", func(a *Adapter) { a.Weight = w }))
		uses := active.Uses(i%20, 20)
		if i == 0 {
			assert.Len(t, uses, 1, "weight 0 takes no part")
			continue
		}
		assert.Equal(t, []float32{float32(w)}, uses[0].Weights)
	}
	assert.NotEqual(t, key, active.TextKey(0, 20))
	assert.Equal(t, 2, c.Stats().Misses)
	require.ErrorIs(t, active.Update("a01", func(*Adapter) {}), ErrNotFound)
	require.ErrorIs(t, active.Update("a00", func(a *Adapter) { a.Weight = math.NaN() }), ErrConfig)
	assert.Equal(t, 0.99, active.Stack().Adapters[0].Weight, "a refused change changes nothing")
}

// TestOneBadAdapter: each is complained about, and the good ones stay.
func TestOneBadAdapter(t *testing.T) {
	c := newCache(t, &memory{}, CacheConfig{})
	paths := append(adapters(t, 2), write(t, "bad.safetensors", []byte("<html>")), "missing.safetensors")
	stack := NewStack()
	for _, p := range paths {
		a := NewAdapter("")
		a.Path = p
		stack.Adapters = append(stack.Adapters, a)
	}
	resolve := func(a Adapter) (string, error) { return a.Path, nil }
	_, err := c.Activate(t.Context(), stack, resolve)
	require.ErrorIs(t, err, ErrFormat)
	require.ErrorIs(t, err, ErrNotFound)
	assert.ErrorContains(t, err, `lora "bad"`)
	assert.ErrorContains(t, err, `lora "missing"`)
	stack.Adapters = stack.Adapters[:2]
	active, err := c.Activate(t.Context(), stack, resolve)
	require.NoError(t, err)
	active.Release()
	assert.Equal(t, 2, c.Stats().Loads, "they were resident")

	stack.Adapters[0].BlockWeights = map[string]float64{"IN11": 0.5}
	_, err = c.Activate(t.Context(), stack, resolve)
	require.ErrorIs(t, err, ErrConfig)
	assert.ErrorContains(t, err, "block_weights.IN11")
}

func TestStrict(t *testing.T) {
	c := newCache(t, &memory{}, CacheConfig{})
	path := write(t, "partial.safetensors", safetensors(t, nil, random(linearKey+".lora_down.weight", 4, 64), random(linearKey+".lora_up.weight", 64, 4),
		random("lora_unet_nothing_of_the_kind.lora_down.weight", 4, 64)))
	a := NewAdapter("")
	a.Path = path
	stack := NewStack(a)
	resolve := func(a Adapter) (string, error) { return a.Path, nil }
	active, err := c.Activate(t.Context(), stack, resolve)
	require.NoError(t, err)
	r := active.Members()[0].Report
	assert.Equal(t, `2 of 3 tensors applied to 1 modules; not applied: "lora_unet_nothing_of_the_kind.lora_down.weight" (the model has no such module)`, r.Summary())
	active.Release()
	stack.Strict = true
	_, err = c.Activate(t.Context(), stack, resolve)
	require.ErrorIs(t, err, ErrPartial)
	assert.ErrorContains(t, err, "2 of 3 tensors applied")
}
