package request

import "math"

// The limits of the tables about LoRA.
const (
	maxAdapters          = 64
	maxLoRAWeight        = 100
	maxLoRABlocks        = 256
	maxLoRAMemoryLimitMB = 1 << 24
	maxLoRACacheSize     = 10_000
	maxLoRAIdleSeconds   = 365 * 24 * 3600
)

// Stack is what the [[lora]] and [lora_stack] tables say. Tags in prompts are not looked at.
func (r Request) Stack() lora.Stack {
	return lora.Stack{Adapters: slices.Clone(r.LoRAs), Options: r.LoRAStack}
}

// LoRAStack is what the adapters of a job have in common: the [lora_stack] table.
type LoRAStack struct {
	MaxAdapters         int      `key:"max_adapters" default:"8" doc:"most adapters that may be enabled at once, 1 to 64"`
	GlobalWeight        *float64 `key:"global_weight" default:"1.0" doc:"multiplies every adapter's weight"`
	GlobalScalingFactor *float64 `key:"global_scaling_factor" default:"1.0" doc:"multiplies it once more"`
	Strict              bool     `key:"strict" default:"false" doc:"an adapter of which some tensors match nothing is an error"`
}

// LoRACache limits the adapters that stay in memory: the [model.lora_cache] table.
type LoRACache struct {
	MemoryLimitMB    int     `key:"memory_limit_mb" default:"4096" doc:"most memory of all adapters together, in MiB"`
	CacheSize        int     `key:"cache_size" default:"8" doc:"adapters kept that are not in use"`
	CleanupThreshold float64 `key:"cache_cleanup_threshold" default:"0.8" doc:"where memory runs out, the least recently used go until this fraction of the limit is kept"`
	IdleSeconds      int     `key:"idle_seconds" default:"300" doc:"an adapter that was not used for so long goes; negative: never"`
}

func (l LoRA) validate(c checker) {
	if l.Name == "" && l.Path == "" {
		c.fail("name", "is missing; give the adapter's name or path")
	}
	c.path("name", l.Name)
	c.path("path", l.Path)
	c.weight("weight", l.Weight)
	c.weight("scaling_factor", l.ScalingFactor)
	c.weight("unet_weight", l.UNetWeight)
	c.weight("text_encoder_weight", l.TextEncoderWeight)
	if len(l.BlockWeights) > maxLoRABlocks {
		c.fail("block_weights", "has %d entries; at most %d are possible", len(l.BlockWeights), maxLoRABlocks)
	}
	for _, key := range sortedKeys(l.BlockWeights) {
		w := l.BlockWeights[key]
		c.weight("block_weights."+key, &w)
	}
	c.real("start", l.Start, 0, 1)
	c.real("end", l.End, 0, 1)
	if l.End != 0 && l.Start >= l.End {
		c.fail("start", "is %v, not before end, which is %v: the adapter would never act", l.Start, l.End)
	}
}
