package request

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const controlTOML = `
model = "nano"
prompt = "x"
[[controlnet]]
model = "canny.safetensors"
image = "house.png"
weight = 0
end = 0.5
control_mode = "prompt"
preprocessor = "canny"
preprocessor_options = { low = 50, high = 0.5 }
[[controlnet]]
model = "union.safetensors"
image = "depth.png"
union_type = "depth"
`

const controlJSON = `{"model": "nano", "prompt": "x", "controlnets": [
 {"model": "canny.safetensors", "image": "house.png", "weight": 0, "end": 0.5, "control_mode": "prompt", "preprocessor": "canny",
  "preprocessor_options": {"low": 50, "high": 0.5}},
 {"model": "union.safetensors", "image": "depth.png", "union_type": "depth"}]}`

func TestControlNets(t *testing.T) {
	run, err := DecodeTOML([]byte(controlTOML))
	require.NoError(t, err)
	require.NoError(t, run.Validate())
	assert.Equal(t, []ControlNet{
		{
			Model:               "canny.safetensors",
			Image:               Picture{Path: "house.png"},
			Weight:              new(0.0),
			End:                 0.5,
			ControlMode:         controlPrompt,
			Preprocessor:        "canny",
			PreprocessorOptions: map[string]any{"low": int64(50), "high": 0.5},
		},
		{Model: "union.safetensors", Image: Picture{Path: "depth.png"}, UnionType: "depth"}}, run.Jobs[0].ControlNets)
	same, err := DecodeJSON([]byte(controlJSON))
	require.NoError(t, err)
	assert.Equal(t, run.Jobs, same.Jobs)
	assert.Equal(t, run.Model, same.Model)
}

func TestControlNetMistakes(t *testing.T) {
	r := Request{Prompt: "x", ControlNets: []ControlNet{{}, {Model: "m", Image: Picture{Path: "p"}, Weight: new(math.NaN()), Start: 0.7,
		End: 0.2, ControlMode: "ballanced", ResizeMode: "fill", UnionType: "dept", PreprocessorOptions: map[string]any{"low": "much"}}}}
	var errs Errors
	require.ErrorAs(t, r.Validate(), &errs)
	var lines []string
	for _, e := range errs {
		lines = append(lines, e.Error())
	}
	assert.Equal(t, []string{
		"controlnet[0].model: is missing; give the net's file or name",
		"controlnet[0].image: is missing; give the picture that controls",
		"controlnet[1].weight: is NaN; it must be a number between -10 and 10",
		"controlnet[1].start: is 0.7, not before end, which is 0.2: the net would never act",
		`controlnet[1].control_mode: "ballanced" is unknown; did you mean "balanced"?; expected one of balanced, prompt, control`,
		`controlnet[1].resize_mode: "fill" is unknown; expected one of stretch, crop, pad`,
		`controlnet[1].preprocessor_options.low: is the string "much"; expected a number or a boolean`,
		`controlnet[1].union_type: "dept" is unknown; did you mean "depth"?; expected one of ` +
			`openpose, depth, scribble, canny, normal, segment, tile, repaint`,
	}, lines)
}

func TestMemory(t *testing.T) {
	run, err := DecodeTOML(
		[]byte(
			"prompt = 'x'\n[model]\nmodel = 'nano'\n[model.memory]\nmemory_limit = '75%'\n" +
				"strategy = 'strem'\nreserve = 'lots'\nmax_batch = -1\n",
		),
	)
	require.NoError(t, err)
	assert.EqualError(t, run.Validate(), `model.memory.reserve: is no amount of memory: "lots"; write it as 6GiB, 800MB or 75%
model.memory.strategy: "strem" is unknown; did you mean "stream"?; expected one of auto, resident, release, stage, stream, mmap
model.memory.max_batch: is -1; it must be between 1 and 10000`)
}

func TestParseAmount(t *testing.T) {
	for text, want := range map[string]Amount{
		"": {}, "0": {}, "6GiB": {Bytes: 6 << 30}, "800 mb": {Bytes: 800e6}, "1.5 KiB": {Bytes: 1536}, "42": {Bytes: 42},
		"7b": {Bytes: 7}, "75%": {Fraction: 0.75}, "100 %": {Fraction: 1},
	} {
		got, err := ParseAmount(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{"x", "-1", "0%", "101%", "NaN", "%", "GiB", "1e30", "6 apples", "inf"} {
		_, err := ParseAmount(text)
		require.ErrorIs(t, err, errAmount, text)
	}
	assert.Equal(t, int64(75), Amount{Fraction: 0.75}.Of(100))
	assert.Equal(t, int64(8), Amount{Bytes: 8}.Of(100))
}
