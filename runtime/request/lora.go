package request

import (
	"fmt"
	"math"
)

// The values that stand for zero fields of the tables about LoRA.
const (
	DefaultMaxAdapters          = 8
	DefaultLoRAMemoryLimitMB    = 4096
	DefaultLoRACacheSize        = 8
	DefaultLoRACleanupThreshold = 0.8
	DefaultLoRAIdleSeconds      = 300
	maxAdapters                 = 64
	maxLoRAWeight               = 100
	maxLoRABlocks               = 256
	maxLoRAMemoryLimitMB        = 1 << 24
	maxLoRACacheSize            = 10_000
	maxLoRAIdleSeconds          = 365 * 24 * 3600
)

// LoRA is one adapter of a job: a [[lora]] table.
type LoRA struct {
	Name string `key:"name" default:"path's" doc:"what it is called, and looked up by in lora_directories; also in <lora:name:weight>"`
	Path string `key:"path" doc:"file of the adapter (.safetensors, .pt, .pth, .ckpt, .bin), instead of looking up the name"`

	Weight            *float64           `key:"weight" default:"1.0" doc:"how strongly it acts, -100 to 100; 0 is as without it"`
	ScalingFactor     *float64           `key:"scaling_factor" default:"1.0" doc:"multiplies weight"`
	Enabled           *bool              `key:"enabled" default:"true" doc:"false keeps the entry and leaves it out"`
	UNetWeight        *float64           `key:"unet_weight" default:"weight" doc:"weight for the UNet"`
	TextEncoderWeight *float64           `key:"text_encoder_weight" default:"weight" doc:"weight for both text encoders"`
	BlockWeights      map[string]float64 `key:"block_weights" doc:"table of factors for blocks: BASE (text encoders), IN00 ... IN11, M00, OUT00 ... OUT11, or paths such as down_blocks.1.attentions.0"`

	Start float64 `key:"start" default:"0.0" doc:"the fraction of the steps at which it begins to act"`
	End   float64 `key:"end" default:"1.0" doc:"the fraction of the steps at which it ends"`
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

func (r Request) validateLoRAs(c checker) {
	for i, l := range r.LoRAs {
		l.validate(checker{c.errs, func(key string) string { return c.at(fmt.Sprintf("lora[%d].%s", i, key)) }})
	}
	s := checker{c.errs, func(key string) string { return c.at("lora_stack." + key) }}
	s.between("max_adapters", r.LoRAStack.MaxAdapters, 0, maxAdapters)
	s.weight("global_weight", r.LoRAStack.GlobalWeight)
	s.weight("global_scaling_factor", r.LoRAStack.GlobalScalingFactor)
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

func (c checker) weight(key string, w *float64) {
	if w != nil {
		c.real(key, *w, -maxLoRAWeight, maxLoRAWeight)
	}
}

func (l LoRACache) validate(c checker) {
	c.between("memory_limit_mb", l.MemoryLimitMB, 0, maxLoRAMemoryLimitMB)
	c.between("cache_size", l.CacheSize, 0, maxLoRACacheSize)
	c.real("cache_cleanup_threshold", l.CleanupThreshold, 0, 1)
	c.between("idle_seconds", l.IdleSeconds, math.MinInt32, maxLoRAIdleSeconds)
}
