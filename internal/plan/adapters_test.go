package plan

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

func TestAdapterBytes(t *testing.T) {
	linear := backend.Module{Name: "unet.a", Component: memory.UNet, Kind: backend.ModuleLinear, In: 64, Out: 128}
	conv := backend.Module{Name: "unet.b", Component: memory.UNet, Kind: backend.ModuleConv2D, In: 64, Out: 100, Kernel: 3}
	low := func(m backend.Module, rank int) adapters.Change {
		kernel := max(m.Kernel, 1)
		return adapters.Change{Module: m, Form: backend.LoRALowRank, Rank: rank, Elements: int64(rank * (m.In*kernel*kernel + m.Out))}
	}
	half := map[string]memory.TypePolicy{memory.UNet: memory.PolicyFor(backend.PrecisionF16, "", backend.DeviceCPU, false)}
	exact := map[string]memory.TypePolicy{memory.UNet: memory.PolicyFor(backend.PrecisionExact, "", backend.DeviceCPU, false)}
	for name, c := range map[string]struct {
		changes  []adapters.Change
		policies map[string]memory.TypePolicy
		want     memory.Adapters
	}{
		"none":                    {nil, half, memory.Adapters{}},
		"rank 4 is applied as 32": {[]adapters.Change{low(linear, 4)}, half, memory.Adapters{Kept: 2 * 4 * 192, Applied: 2 * 32 * 192, Changes: 1}},
		"two fill one another up": {[]adapters.Change{low(linear, 4), low(linear, 8)}, half, memory.Adapters{Kept: 2 * 12 * 192, Applied: 2 * 32 * 192, Changes: 1}},
		"above 32":                {[]adapters.Change{low(linear, 33)}, half, memory.Adapters{Kept: 2 * 33 * 192, Applied: 2 * 64 * 192, Changes: 1}},
		"exact is twice as large": {[]adapters.Change{low(linear, 32)}, exact, memory.Adapters{Kept: 4 * 32 * 192, Applied: 4 * 32 * 192, Changes: 1}},
		"kernels are packed, 16 outputs at a time": {[]adapters.Change{low(conv, 32)}, half,
			memory.Adapters{Kept: 2 * 32 * (576 + 100), Applied: 2 * 32 * (576 + 112), Changes: 1}},
		"vectors are float32": {[]adapters.Change{{Module: linear, Form: backend.LoRAInScale, Elements: 64}}, half,
			memory.Adapters{Kept: 256, Applied: 256, Changes: 1}},
		"a dense change": {[]adapters.Change{{Module: linear, Form: backend.LoRADense, Elements: 64 * 128}}, half,
			memory.Adapters{Kept: 2 * 64 * 128, Applied: 2 * 64 * 128, Changes: 1}},
	} {
		assert.Equal(t, c.want, adapterBytes(c.changes, c.policies), name)
	}
}
