package bench

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

func TestCases(t *testing.T) {
	a := Axes{
		Models:     []Model{{"m", []string{"f16", "q8_0"}}, {"n", []string{"file"}}},
		Sizes:      []Size{{64, 64}, {128, 64}},
		Batches:    []int{1, 4},
		Devices:    []string{"cpu", "vulkan:0"},
		Schedulers: []string{"EulerDiscrete", "DDIM"},
	}
	cases, err := a.Cases()
	require.NoError(t, err)
	assert.Len(t, cases, (2+1)*2*2*2*2)
	keys := map[string]bool{}
	for _, c := range cases {
		keys[c.Key()] = true
	}
	assert.Len(t, keys, len(cases))
	assert.Equal(t, "m f16 64x64 batch 1 cpu EulerDiscrete", cases[0].Key())
	assert.Equal(t, "q8_0", cases[1].Type, "types are next to each other")

	for name, bad := range map[string]func(*Axes){
		"no type":   func(a *Axes) { a.Models[0].Types, a.Models[1].Types = nil, nil },
		"no device": func(a *Axes) { a.Devices = nil },
		"batch 0":   func(a *Axes) { a.Batches = []int{0} },
		"twice":     func(a *Axes) { a.Models = []Model{{"m", []string{"f16", "f16"}}} },
	} {
		b := a
		b.Models = slices.Clone(a.Models)
		bad(&b)
		_, err := b.Cases()
		assert.ErrorIs(t, err, ErrPlan, name)
	}
}

// Every type that a model can be opened with has a place in the order.
func TestPrecisionOrder(t *testing.T) {
	for _, typ := range backend.Types {
		if typ != backend.TypeAuto {
			assert.Contains(t, precisionOrder, string(typ))
		}
	}
	assert.Negative(t, comparePrecision("f32", "f16"))
	assert.Negative(t, comparePrecision("q8_0", "q4_k"))
	assert.Positive(t, comparePrecision("unheard of", "q2_k"))
	assert.Equal(t, backend.PrecisionExact, PrecisionOf("f32"))
	assert.Equal(t, backend.PrecisionAuto, PrecisionOf("q8_0"))
}

func TestReference(t *testing.T) {
	c := func(model, typ, device string, width int) Case {
		return Case{Model: model, Type: typ, Width: width, Height: 64, Batch: 1, Device: device, Scheduler: "x"}
	}
	cases := []Case{
		c("a", "q8_0", "cpu", 64),
		c("a", "f16", "cpu", 64),
		c("a", "f32", "gpu", 64),
		c("a", "q8_0", "cpu", 128),
		c("b", "q4_0", "cpu", 64),
		c("b", "q8_0", "cpu", 64),
	}
	assert.Equal(t, []int{1, 1, 1, 3, 5, 5}, reference(cases, false), "of the same size, on the first device")
	assert.Equal(t, []int{1, 1, 1, 3, 1, 1}, reference(cases, true), "the first model's")
}
