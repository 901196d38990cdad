package adapters

import (
	"maps"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// TargetInfo says what one target of an adapter changes, for its weight.
type TargetInfo struct {
	Module string // canonical name
	Block  string // "BASE", "IN04", "M00", "OUT02" or ""
}

// weightsAt returns the effective weight of each of an adapter's targets at a step of so many, and whether any is not zero.
func weightsAt(s lora.Stack, a lora.Adapter, targets []TargetInfo, step, steps int) (weights []float32, active bool) {
	weights = make([]float32, len(targets))
	if !a.ActiveAt(step, steps) {
		return weights, false
	}
	unet, text := s.EffectiveWeight(a, lora.UNet), s.EffectiveWeight(a, lora.TextEncoder)
	for i, t := range targets {
		w := text
		if strings.HasPrefix(t.Module, lora.UNet+".") {
			w = unet
		}
		weights[i] = float32(w * a.BlockWeight(t.Module, t.Block))
		active = active || weights[i] != 0
	}
	return weights, active
}

// checkBlocks refuses block weights that match none of the model's modules.
func checkBlocks(a lora.Adapter, m *Model) error {
	for _, key := range slices.Sorted(maps.Keys(a.BlockWeights)) {
		one := lora.Adapter{BlockWeights: map[string]float64{key: 2}}
		used := false
		for name, block := range m.index.blocks {
			used = used || one.BlockWeight(name, block) == 2
		}
		if !used {
			return &lora.Error{Kind: lora.ErrConfig, Adapter: a.Label(), Field: "block_weights." + key, Message: "the model has no such block"}
		}
	}
	return nil
}
