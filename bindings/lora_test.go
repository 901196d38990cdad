package bindings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoRA(t *testing.T) {
	lib := fake(t)
	m := openFake(t, lib)
	modules, err := m.Modules()
	require.NoError(t, err)
	require.Len(t, modules, 2)
	require.Equal(t, "unet.m1", modules[1].Name.String())
	require.EqualValues(t, 3, modules[1].Out)

	tensor := func(typ string, bytes int, shape ...int) LoRATensor {
		x, err := NewLoRATensor("a", typ, shape, make([]byte, bytes))
		require.NoError(t, err)
		return x
	}
	target := LoRATarget{Module: Text("unet.m0"), Scale: 0.5, A: tensor("f32", 8, 1, 2), B: tensor("f16", 6, 3, 1)}
	live := lib.LiveHandles()
	l, err := m.LoadLoRA([]LoRATarget{target, target})
	require.NoError(t, err)
	require.Equal(t, live+1, lib.LiveHandles())
	bytes, err := l.Bytes()
	require.NoError(t, err)
	require.EqualValues(t, 28, bytes)

	in, out := unetInputs(1, 2, 2, 1)
	in.loras = []LoRAUse{{l, []float32{1, 0}}}
	require.NoError(t, in.eval(m, out))
	in.loras = []LoRAUse{{l, []float32{1}}}
	require.ErrorContains(t, in.eval(m, out), "2 targets, not 1")
	in.loras = []LoRAUse{{}}
	require.ErrorContains(t, in.eval(m, out), "closed")

	require.NoError(t, l.Free())
	require.NoError(t, l.Free())
	require.Equal(t, live, lib.LiveHandles())
	in.loras = []LoRAUse{{l, []float32{1, 0}}}
	require.ErrorContains(t, in.eval(m, out), "closed")

	for says, c := range map[string]struct {
		typ   string
		bytes int
		shape []int
	}{
		"a has shape [1 2] and 10 bytes, not 8": {"f32", 10, []int{1, 2}},
		"a has shape [1 2] and 4 bytes":         {"f32", 4, []int{1, 2}},
		"a has shape [-1 2] and 8 bytes":        {"f32", 8, []int{-1, 2}},
		"a has 0 dimensions of type f16":        {"f16", 0, nil},
		"a has 2 dimensions of type q8_0":       {"q8_0", 34, []int{1, 32}},
	} {
		_, err := NewLoRATensor("a", c.typ, c.shape, make([]byte, c.bytes))
		require.ErrorIs(t, err, ErrArgument)
		require.ErrorContains(t, err, says)
	}
	elsewhere := target
	elsewhere.Module = Text("elsewhere")
	_, err = m.LoadLoRA([]LoRATarget{elsewhere})
	require.ErrorContains(t, err, "elsewhere")
	_, err = m.LoadLoRA(nil)
	require.ErrorIs(t, err, ErrArgument)

	w := []float32{1, 2, 3}
	require.NoError(t, lib.MergeLoRA(target, 2, w, []int{3}))
	require.Equal(t, []float32{2, 3, 4}, w)
	require.ErrorIs(t, lib.MergeLoRA(target, 2, w, []int{4}), ErrArgument)
	require.ErrorIs(t, lib.MergeLoRA(target, 2, w, []int{-3}), ErrArgument)
	require.ErrorIs(t, lib.MergeLoRA(target, 2, w, []int{1 << 62, 4}), ErrArgument)
	graphs, stacks, err := m.Builds()
	require.NoError(t, err)
	require.EqualValues(t, 3, graphs)
	require.EqualValues(t, 2, stacks)
}
