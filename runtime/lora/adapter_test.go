package lora

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func stackOf(adapters ...Adapter) Stack { return Stack{Adapters: adapters} }

func TestValidateStack(t *testing.T) {
	require.NoError(t, Stack{}.Validate())
	require.NoError(t, stackOf(Adapter{Name: "a"}, Adapter{Name: "b"}).Validate())
	edit := func(f func(*Adapter)) Stack {
		a := Adapter{Name: "a"}
		f(&a)
		return stackOf(a)
	}
	many := func(n int) (s Stack) {
		s = Stack{}
		for i := range n {
			s.Adapters = append(s.Adapters, Adapter{Name: string(rune('a' + i))})
		}
		return s
	}
	for name, c := range map[string]struct {
		stack Stack
		field string
		kind  error
	}{
		"no name":   {edit(func(a *Adapter) { a.Name = " " }), "lora[0].name", ErrConfig},
		"NaN":       {edit(func(a *Adapter) { a.Weight = new(math.NaN()) }), "lora[0].weight", ErrConfig},
		"infinite":  {edit(func(a *Adapter) { a.ScalingFactor = new(math.Inf(1)) }), "lora[0].scaling_factor", ErrConfig},
		"too heavy": {edit(func(a *Adapter) { a.Weight = new(-101.0) }), "lora[0].weight", ErrConfig},
		"unet":      {edit(func(a *Adapter) { a.UNetWeight = new(math.NaN()) }), "lora[0].unet_weight", ErrConfig},
		"text":      {edit(func(a *Adapter) { a.TextEncoderWeight = new(1e9) }), "lora[0].text_encoder_weight", ErrConfig},
		"no block":  {edit(func(a *Adapter) { a.BlockWeights = map[string]float64{"IN4": 1} }), "lora[0].block_weights.IN4", ErrConfig},
		"block's weight": {edit(func(a *Adapter) { a.BlockWeights = map[string]float64{"M00": math.Inf(1)} }), "lora[0].block_weights.M00",
			ErrConfig},
		"start":               {edit(func(a *Adapter) { a.Start = -0.1 }), "lora[0].start", ErrConfig},
		"end":                 {edit(func(a *Adapter) { a.End = 1.1 }), "lora[0].end", ErrConfig},
		"never":               {edit(func(a *Adapter) { a.Start, a.End = 0.5, 0.5 }), "lora[0].start", ErrConfig},
		"NUL":                 {edit(func(a *Adapter) { a.Path = "a\x00b" }), "lora[0].path", ErrConfig},
		"twice":               {stackOf(Adapter{Name: "a"}, Adapter{Name: "A"}), "lora[1].name", ErrConfig},
		"same by path":        {stackOf(Adapter{Name: "a"}, Adapter{Path: "x/a.pt"}), "lora[1].name", ErrConfig},
		"global weight":       {Stack{Options: Options{GlobalWeight: new(math.NaN())}}, "lora_stack.global_weight", ErrConfig},
		"global scaling":      {Stack{Options: Options{GlobalScalingFactor: new(1e6)}}, "lora_stack.global_scaling_factor", ErrConfig},
		"negative limit":      {Stack{Options: Options{MaxAdapters: -1}}, "lora_stack.max_adapters", ErrConfig},
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
	nine.Adapters[4].Enabled = new(false)
	require.NoError(t, nine.Validate(), "a disabled one does not count")
	nine.MaxAdapters = 3
	require.ErrorIs(t, nine.Validate(), ErrLimit)
	all := edit(func(a *Adapter) { a.Weight, a.Start, a.End, a.ScalingFactor = new(math.NaN()), 2, 3, new(math.Inf(-1)) })
	assert.Len(t, all.Validate(), 4, "all at once")
}

// TestZeroValues: what is not said is the default.
func TestZeroValues(t *testing.T) {
	a := Adapter{Name: "x"}
	s := stackOf(a)
	require.NoError(t, s.Validate())
	assert.Len(t, s.Enabled(), 1)
	assert.Equal(t, 1.0, s.EffectiveWeight(a, UNet))
	assert.Equal(t, 1.0, s.EffectiveWeight(a, TextEncoder2))
	assert.True(t, a.ActiveAt(0, 20))
	assert.True(t, a.ActiveAt(19, 20))
	assert.Equal(t, Adapter{Name: "x", Weight: new(1.0), ScalingFactor: new(1.0), Enabled: new(true), UNetWeight: new(1.0),
		TextEncoderWeight: new(1.0), End: 1}, a.Filled())
	assert.Equal(t, 0.0, s.EffectiveWeight(Adapter{Name: "x", Weight: new(0.0)}, UNet), "a weight of 0 is meant")
	assert.Equal(t, CacheConfig{MemoryLimitMB: 4096, CacheSize: 8, CleanupThreshold: 0.8, IdleSeconds: 300}, CacheConfig{}.Filled())
}

// TestUpdate: neither a change nor a refused one reaches copies of the stack.
func TestUpdate(t *testing.T) {
	s := stackOf(Adapter{Name: "x", Weight: new(0.5), BlockWeights: map[string]float64{"M00": 1}})
	before := s
	require.NoError(t, s.Update("X", func(a *Adapter) {
		*a.Weight = 0.75
		a.BlockWeights["M00"] = 2
		a.Name = "y"
	}))
	assert.Equal(t, Adapter{Name: "x", Weight: new(0.75), BlockWeights: map[string]float64{"M00": 2}}, s.Adapters[0])
	assert.Equal(t, Adapter{Name: "x", Weight: new(0.5), BlockWeights: map[string]float64{"M00": 1}}, before.Adapters[0])
	require.ErrorIs(t, s.Update("x", func(a *Adapter) { *a.Weight = math.NaN() }), ErrConfig)
	assert.Equal(t, 0.75, *s.Adapters[0].Weight)
	require.ErrorIs(t, s.Update("z", func(*Adapter) {}), ErrNotFound)
}

func TestCacheConfig(t *testing.T) {
	require.NoError(t, CacheConfig{}.Validate())
	err := CacheConfig{MemoryLimitMB: -1, CacheSize: -1, CleanupThreshold: 2, IdleSeconds: MaxIdleSeconds + 1}.Validate()
	require.ErrorIs(t, err, ErrConfig)
	for _, field := range []string{"memory_limit_mb: is -1; it must be between 1 and 16777216", "cache_size", "cache_cleanup_threshold",
		"idle_seconds"} {
		assert.ErrorContains(t, err, field)
	}
}
