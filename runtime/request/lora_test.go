package request

import (
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

func TestDecodeLoRA(t *testing.T) {
	run, err := DecodeTOML([]byte(`
prompt = "x"
lora_stack = {max_adapters = 3, strict = true, global_weight = 0}
[model]
model = "nano"
lora_directories = ["a", "b"]
lora_cache = {memory_limit_mb = 512, idle_seconds = -1}
[[lora]]
name = "ink"
weight = 0
block_weights = {IN04 = 0.5, "down_blocks.1" = 2, up_blocks.0.attentions.1 = 3}
[[loras]]
`))
	require.ErrorContains(t, err, "loras: is given twice, also as lora")
	assert.Len(t, run.Jobs, 1)

	run, err = DecodeTOML([]byte(`
prompt = "x"
lora_stack = {max_adapters = 3, strict = true, global_weight = 0}
[model]
model = "nano"
lora_directories = ["a", "b"]
lora_cache = {memory_limit_mb = 512, idle_seconds = -1}
[[lora]]
name = "ink"
weight = 0
block_weights = {IN04 = 0.5, "down_blocks.1" = 2, up_blocks.0.attentions.1 = 3}
[[job]]
[[job]]
loras = [{path = "b.pt", enabled = false, unet_weight = 0.5, text_encoder_weight = 1, start = 0.25, end = 0.5}]
`))
	require.NoError(t, err)
	require.NoError(t, run.Validate())
	assert.Equal(t, []string{"a", "b"}, run.Model.LoRADirectories)
	assert.Equal(t, lora.CacheConfig{MemoryLimitMB: 512, IdleSeconds: -1}, run.Model.LoRACache)
	assert.Equal(t, lora.Options{MaxAdapters: 3, Strict: true, GlobalWeight: new(0.0)}, run.Jobs[0].LoRAStack)
	assert.Equal(t, []lora.Adapter{{Name: "ink", Weight: new(0.0),
		BlockWeights: map[string]float64{"IN04": 0.5, "down_blocks.1": 2, "up_blocks.0.attentions.1": 3}}}, run.Jobs[0].LoRAs)
	assert.Equal(t, []lora.Adapter{{Path: "b.pt", Enabled: new(false), UNetWeight: new(0.5), TextEncoderWeight: new(1.0), Start: 0.25,
		End: 0.5}}, run.Jobs[1].LoRAs)

	same, err := DecodeJSON([]byte(`{"lora": [{"name": "ink", "weight": 0.5}], "lora_stack": {"strict": true}}`))
	require.NoError(t, err)
	assert.Equal(t, []lora.Adapter{{Name: "ink", Weight: new(0.5)}}, same.Jobs[0].LoRAs)

	for text, says := range map[string]string{
		`lora = "ink"`:                           `lora: is the string "ink"; write [[lora]] above each`,
		`lora = [1]`:                             `lora[0]: is 1; expected a table`,
		`lora_stack = 1`:                         `lora_stack: is 1; expected a table`,
		`lora = [{block_weights = {IN04 = ""}}]`: `lora[0].block_weights: IN04 is the string ""; expected a number`,
		`lora = [{weight = "1"}]`:                `lora[0].weight: is the string "1"; expected a number`,
	} {
		_, err := DecodeTOML([]byte(text))
		require.ErrorContains(t, err, says)
	}
}

func TestValidateLoRA(t *testing.T) {
	r := Request{Prompt: "x", LoRAs: []lora.Adapter{{}, {Name: "a", Weight: new(math.NaN()), ScalingFactor: new(101.0),
		UNetWeight: new(math.Inf(1)), TextEncoderWeight: new(-200.0), BlockWeights: map[string]float64{"IN04": math.NaN()}, Start: 0.5, End: 0.5},
		{Path: "b", Start: -1, End: 2}},
		LoRAStack: lora.Options{MaxAdapters: -1, GlobalWeight: new(1e9), GlobalScalingFactor: new(math.NaN())}}
	var errs Errors
	require.True(t, errors.As(Run{Model: Model{Model: "nano", LoRACache: lora.CacheConfig{MemoryLimitMB: -1, CacheSize: -1,
		CleanupThreshold: 2}}, Jobs: []Request{r}}.Validate(), &errs))
	var paths []string
	for _, e := range errs {
		paths = append(paths, e.Path)
	}
	assert.Equal(t, []string{"model.lora_cache.memory_limit_mb", "model.lora_cache.cache_size", "model.lora_cache.cache_cleanup_threshold",
		"lora[0].name", "lora[1].weight", "lora[1].scaling_factor", "lora[1].unet_weight", "lora[1].text_encoder_weight",
		"lora[1].block_weights.IN04", "lora[1].start",
		"lora[2].start", "lora[2].end", "lora_stack.max_adapters", "lora_stack.global_weight", "lora_stack.global_scaling_factor"}, paths)

	run, err := DecodeTOML(
		[]byte("model = \"nano\"\nlora = [{name = \"a\", weight = 200}]\n[[job]]\n[[job]]\nlora = [{name = \"b\", weight = 300}]"),
	)
	require.NoError(t, err)
	err = run.Validate()
	require.ErrorContains(t, err, "lora[0].weight: is 200")
	require.ErrorContains(t, err, "jobs[1].lora[0].weight: is 300")
}
