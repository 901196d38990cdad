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

	target := LoRATarget{Module: "unet.m0", Form: LoRALowRank, Scale: 0.5,
		A: LoRATensor{Data: make([]byte, 8), Type: TypeF32, Shape: []int64{1, 2}}, B: LoRATensor{Data: make([]byte, 6), Type: TypeF16, Shape: []int64{3, 1}}}
	live := lib.LiveHandles()
	l, err := m.LoadLoRA([]LoRATarget{target, target})
	require.NoError(t, err)
	require.Equal(t, live+1, lib.LiveHandles())
	bytes, err := l.Bytes()
	require.NoError(t, err)
	require.EqualValues(t, 28, bytes)

	in, out := unetInputs(1, 2, 2, 1)
	in.LoRAs = []LoRAUse{{l, []float32{1, 0}}}
	require.NoError(t, m.UNetEval(in, out))
	in.LoRAs = []LoRAUse{{l, []float32{1}}}
	require.ErrorContains(t, m.UNetEval(in, out), "2 targets, not 1")
	in.LoRAs = []LoRAUse{{}}
	require.ErrorContains(t, m.UNetEval(in, out), "closed")

	require.NoError(t, l.Free())
	require.NoError(t, l.Free())
	require.Equal(t, live, lib.LiveHandles())
	in.LoRAs = []LoRAUse{{l, []float32{1, 0}}}
	require.ErrorContains(t, m.UNetEval(in, out), "closed")

	for name, change := range map[string]func(*LoRATarget){
		"bytes, not":  func(t *LoRATarget) { t.A.Data = make([]byte, 10) },
		"and 4 bytes": func(t *LoRATarget) { t.A.Data = make([]byte, 4) },
		"dimensions":  func(t *LoRATarget) { t.B.Shape = nil },
		"of type":     func(t *LoRATarget) { t.B.Type = TypeQ8_0 },
		"elsewhere":   func(t *LoRATarget) { t.Module = "elsewhere" },
	} {
		bad := target
		change(&bad)
		_, err := m.LoadLoRA([]LoRATarget{bad})
		require.ErrorContains(t, err, name)
	}
	_, err = m.LoadLoRA(nil)
	require.ErrorIs(t, err, ErrArgument)

	w := []float32{1, 2, 3}
	require.NoError(t, lib.MergeLoRA(target, 2, w, []int64{3}))
	require.Equal(t, []float32{2, 3, 4}, w)
	require.ErrorIs(t, lib.MergeLoRA(target, 2, w, []int64{4}), ErrArgument)
	graphs, stacks, err := m.Builds()
	require.NoError(t, err)
	require.EqualValues(t, 3, graphs)
	require.EqualValues(t, 2, stacks)
}
