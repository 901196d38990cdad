package backendtest

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// raw is a tensor, as files have it, of small values that differ.
func raw(seed int, shape ...int) backend.RawTensor {
	x := backend.RawTensor{Shape: shape, Type: backend.TypeF32}
	for _, v := range values(seed, shape...).Data {
		x.Data = binary.LittleEndian.AppendUint32(x.Data, math.Float32bits(v/10))
	}
	return x
}

// linears makes a low-rank target of every linear layer of a component.
func linears(m backend.LoRAModel, component string, seed int) (targets []backend.LoRATarget) {
	for _, x := range m.Modules() {
		if x.Component == component && x.Kind == backend.ModuleLinear {
			targets = append(targets, backend.LoRATarget{Module: x.Name, Form: backend.LoRALowRank,
				A: raw(seed, 2, x.In), B: raw(seed+1, x.Out, 2), Scale: 1})
		}
	}
	return targets
}

// use applies an adapter with one weight for all of its targets.
func use(l backend.LoRA, weight float32) backend.LoRAUse {
	return backend.LoRAUse{LoRA: l, Weights: slices.Repeat([]float32{weight}, l.Targets())}
}

// lora: adapters change their own component only, sum up, and are gone with a weight of 0.
func lora(t tester, m Models) {
	opened := open(t, m.Backend, m.Base)
	model, ok := opened.(backend.LoRAModel)
	if !ok {
		return
	}
	load := func(targets []backend.LoRATarget) backend.LoRA {
		require.NotEmpty(t, targets)
		l, err := model.LoadLoRA(t.Context(), targets)
		require.NoError(t, err)
		require.Positive(t, l.Bytes())
		require.Equal(t, len(targets), l.Targets())
		t.Cleanup(func() { require.NoError(t, l.Close()) })
		return l
	}
	before := opened.MemoryStats().Adapters
	style, other := load(linears(model, "unet", 1)), load(linears(model, "unet", 5))
	require.GreaterOrEqual(t, opened.MemoryStats().Adapters-before, style.Bytes()+other.Bytes())

	base, one := evaluate(t, opened), evaluate(t, opened, use(style, 1))
	require.NotEqual(t, base, one)
	require.Equal(t, base, evaluate(t, opened, use(style, 0)), "a weight of 0")
	require.Equal(t, base, evaluate(t, opened), "no adapter after one")
	requireNear(t, one, evaluate(t, opened, use(style, 0.5), use(style, 0.5)), "two halves")
	both := evaluate(t, opened, use(style, 1), use(other, 0.7))
	require.NotEqual(t, one, both)
	requireNear(t, both, evaluate(t, opened, use(other, 0.7), use(style, 1)), "in the other order")
	require.Equal(t, one, evaluate(t, opened, use(style, 1), use(other, 0)), "the other with a weight of 0")

	texts := func(loras ...backend.LoRAUse) []float32 {
		out, err := opened.EncodeText(t.Context(), backend.TextInput{IDs: [][]int32{chunk(320, 1125)}, LoRAs: loras})
		require.NoError(t, err)
		return out.Hidden.Data
	}
	words := load(linears(model, "text_encoder", 9))
	require.Equal(t, texts(), texts(use(style, 1)), "targets of another component")
	require.NotEqual(t, texts(), texts(use(words, 1)))
	require.Equal(t, base, evaluate(t, opened, use(words, 1)), "targets of another component")

	require.NoError(t, style.Close())
	require.NoError(t, style.Close())
	require.Equal(t, base, evaluate(t, opened))
}

// loraRefuses: adapters that do not fit the model, or the call.
func loraRefuses(t tester, m Models) {
	opened := open(t, m.Backend, m.Base)
	model, ok := opened.(backend.LoRAModel)
	if !ok {
		return
	}
	targets := linears(model, "unet", 1)
	load := func(target backend.LoRATarget) error {
		l, err := model.LoadLoRA(t.Context(), []backend.LoRATarget{target})
		if err == nil {
			err = l.Close()
		}
		return err
	}
	formless, short := targets[0], targets[0]
	formless.Form, short.A.Data = "knot", short.A.Data[4:]
	require.ErrorIs(t, load(formless), backend.ErrArgument)
	require.ErrorIs(t, load(short), backend.ErrArgument)
	for name, edit := range map[string]func(*backend.LoRATarget){
		"module": func(target *backend.LoRATarget) { target.Module = "unet.nowhere" },
		"A":      func(target *backend.LoRATarget) { target.A = raw(1, 2, target.A.Shape[1]+1) },
		"B":      func(target *backend.LoRATarget) { target.B = raw(1, target.B.Shape[0], 3) },
	} {
		target := targets[0]
		edit(&target)
		require.ErrorIs(t, load(target), backend.ErrModel, name)
	}
	require.NoError(t, load(targets[0]))
	l, err := model.LoadLoRA(t.Context(), targets)
	require.NoError(t, err)
	second := open(t, m.Backend, m.Base)
	in, out := unetInput(opened.Info(), 1, 8, 8)
	in.LoRAs = []backend.LoRAUse{use(l, 1)}
	require.NoError(t, opened.UNet(t.Context(), in, out))
	require.ErrorIs(t, second.UNet(t.Context(), in, out), backend.ErrArgument, "another model's")
	in.LoRAs[0].Weights = in.LoRAs[0].Weights[1:]
	require.ErrorIs(t, opened.UNet(t.Context(), in, out), backend.ErrArgument, "weights")
	require.NoError(t, l.Close())
	in.LoRAs = []backend.LoRAUse{use(l, 1)}
	require.ErrorIs(t, opened.UNet(t.Context(), in, out), backend.ErrArgument, "closed")
	in.LoRAs = nil
	require.NoError(t, opened.UNet(t.Context(), in, out))
}
