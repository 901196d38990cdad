package request

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

const runTOML = `
model = "nano"
negative_prompt = "blurry"
width = 128
guidance_scale = 7

[scheduler_options]
use_karras_sigmas = true
s_churn = 0.5

[[job]]
prompt = "a red circle"
seed = 7
original_size = [768, 1024]
crops_coords_top_left = [1, -2]
init_image = "in.png"
mask_image = "mask.png"
noise = "n.npy"
metadata = false

[[job]]
prompt = "a blue square"
width = 256
guidance_scale = 0
strength = 0.5
`

func TestDecodeTOML(t *testing.T) {
	run, err := DecodeTOML([]byte(runTOML))
	require.NoError(t, err)
	assert.Equal(t, Model{Model: "nano"}, run.Model)
	require.Len(t, run.Jobs, 2)
	options := map[string]any{"use_karras_sigmas": true, "s_churn": 0.5}
	assert.Equal(t, Request{Prompt: "a red circle", NegativePrompt: "blurry", Width: 128, GuidanceScale: 7, Seed: 7,
		SchedulerOptions: options, OriginalSize: Size{Height: 768, Width: 1024}, CropsCoordsTopLeft: Point{Top: 1, Left: -2},
		InitImage: Picture{
			Path: "in.png",
		}, MaskImage: Picture{Path: "mask.png"}, Noise: Array{Path: "n.npy"}, Metadata: new(false)}, run.Jobs[0])
	assert.Equal(t, Request{Prompt: "a blue square", NegativePrompt: "blurry", Width: 256, GuidanceScale: NoGuidance, Seed: RandomSeed,
		SchedulerOptions: options, Strength: 0.5}, run.Jobs[1], "an explicit 0 turns guidance off")
}

func TestDecodeWithoutJobsOrAsJSON(t *testing.T) {
	run, err := DecodeTOML([]byte("prompt = 'x'\n[model]\nmodel = 'm.safetensors'\nthreads = 3\nembeddings = ['a.pt']\n"))
	require.NoError(t, err)
	assert.Equal(t, Model{Model: "m.safetensors", Threads: 3, Embeddings: []string{"a.pt"}}, run.Model)
	assert.Equal(t, []Request{{Prompt: "x", Seed: RandomSeed}}, run.Jobs)

	same, err := DecodeJSON([]byte(`{"prompt": "x", "model": {"model": "m.safetensors", "threads": 3, "embeddings": ["a.pt"]}}`))
	require.NoError(t, err)
	assert.Equal(t, run, same)
	jobs, err := DecodeJSON(
		[]byte(`{"seed": 9007199254740993, "jobs": [{"guidance_scale": 3, "scheduler_options": {"eta": 0.5, "solver_order": 3}}]}`),
	)
	require.NoError(t, err)
	assert.Equal(
		t,
		[]Request{{Seed: 9007199254740993, GuidanceScale: 3, SchedulerOptions: map[string]any{"eta": 0.5, "solver_order": int64(3)}}},
		jobs.Jobs,
	)
}

func TestDecodeReportsEverythingAtOnce(t *testing.T) {
	_, err := DecodeTOML([]byte(`
promt = "x"
threads = 2
seed = "seven"
[model]
precison = "f16"
width = 3
device = 1
[[lora]]
name = "x"
wieght = 1
[lora_stack]
strict = "yes"
[[job]]
widht = 64
height = 1.5
original_size = [1, 2, 3]
scheduler_options = 3
[[job]]
qqqqqqqqqqq = 1
`))
	require.ErrorIs(t, err, ErrInvalid)
	var errs Errors
	require.True(t, errors.As(err, &errs))
	var lines []string
	for _, e := range errs {
		lines = append(lines, e.Error())
	}
	assert.ElementsMatch(t, []string{
		`model.device: is 1; expected a string`,
		`model.precison: unknown key; did you mean "precision"?`,
		`model.width: unknown key; it belongs to the top level or a [[job]]`,
		`lora[0].wieght: unknown key; did you mean "weight"?`,
		`lora_stack.strict: is the string "yes"; expected a boolean`,
		`promt: unknown key; did you mean "prompt"?`,
		`seed: is the string "seven"; expected an integer`,
		`threads: unknown key; it belongs to [model]`,
		`jobs[0].height: is 1.5; expected an integer`,
		`jobs[0].original_size: is an array; expected [height, width]`,
		`jobs[0].scheduler_options: is 3; expected a table`,
		`jobs[0].widht: unknown key; did you mean "width"?`,
		`jobs[1].qqqqqqqqqqq: unknown key; see docs/configuration.md for the known ones`,
	}, lines)
	assert.NotContains(t, err.Error(), "\n\n")
}

func TestDecodeRefusesWhatIsNoRunFile(t *testing.T) {
	for text, want := range map[string]string{
		"= 3":                            "line 1: not TOML",
		"seed = 1\nprompt = a red fox\n": `; write texts in quotes: prompt = "a red fox"`,
		"model = nano":                   `; write texts in quotes: model = "nano"`,
		"prompt: a fox":                  "; this is YAML, and a run file is TOML: prompt = ...",
		"\n\nwidth = = 3":                "line 3: not TOML",
		"model = 3":                      "model: is 3; write a [model] table or a path",
		"job = 3":                        "job: is 3; write [[job]] above each job",
		"job = [1]":                      "jobs[0]: is 1; a job is a table",
		"prompt = '\xff'":                "not TOML",
		"seed = 2026-01-01":              "seed: is a ",
	} {
		_, err := DecodeTOML([]byte(text))
		require.ErrorIs(t, err, ErrInvalid, text)
		assert.ErrorContains(t, err, want, text)
	}
	for text, want := range map[string]string{"[]": "not a JSON object", "{} {}": "something follows", "": "not a JSON object",
		`{"seed": 1e99}`: "seed: is 1e99; expected an integer"} {
		_, err := DecodeJSON([]byte(text))
		require.ErrorIs(t, err, ErrInvalid, text)
		assert.ErrorContains(t, err, want, text)
	}
	_, err := DecodeTOML([]byte("prompt = '" + strings.Repeat("x", 60<<20) + "'"))
	assert.ErrorContains(t, err, "at most 8 MiB")
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"run.toml": "prompt = 'x'", "run.JSON": `{"prompt": "x"}`} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		run, err := ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, "x", run.Jobs[0].Prompt)
	}
	big := filepath.Join(dir, "big.toml")
	require.NoError(t, os.WriteFile(big, make([]byte, MaxFileBytes+1), 0o600))
	_, err := ReadFile(big)
	assert.ErrorContains(t, err, big)
	assert.ErrorContains(t, err, "at most 8 MiB")
	_, err = ReadFile(filepath.Join(dir, "none.toml"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = ReadFile(dir)
	assert.Error(t, err)
}

func TestValidate(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	picture := Picture{Image: image.NewGray(image.Rect(0, 0, 8, 8))}
	for want, r := range map[string]Request{
		"width: is 100, which is no multiple of 8; the nearest are 96 and 104": {Width: 100},
		"height: is -8; it must be between 8 and 16384":                        {Height: -8},
		"width: is 1048576; it must be between 8 and 16384":                    {Width: 1 << 20},
		"width: 16384 x 16384 is 256 million pixels; at most 64 are possible":  {Width: 16384, Height: 16384},
		"guidance_scale: is NaN; it must be a number between 0 and 1000":       {GuidanceScale: nan},
		"guidance_scale: is +Inf; it must be a number between 0 and 1000":      {GuidanceScale: inf},
		"guidance_rescale: is 1.5; it must be a number between 0 and 1":        {GuidanceRescale: 1.5},
		`guidance.momentum: there is nothing that it could change without method = "apg"; write that, or leave it out`: {
			Guidance: Guidance{Momentum: -0.5}},
		`guidance.zero_init_steps: there is nothing that it could change without method = "cfg_zero_star"; write that, or leave it out`: {
			Guidance: Guidance{Method: "apg", ZeroInitSteps: new(2)}},
		"guidance.eta: is 11; it must be a number between 0 and 10":                                                      {Guidance: Guidance{Method: "apg", Eta: new(11.0)}},
		"guidance.norm_threshold: is NaN; it must be a number between 0 and 10000":                                       {Guidance: Guidance{Method: "apg", NormThreshold: &nan}},
		`guidance.method: "pag" is unknown; did you mean "cfg"?; expected one of cfg, apg, cfg_zero_star, cfg_plus_plus`: {Guidance: Guidance{Method: "pag"}},
		"num_inference_steps: is 1000000000; it must be between 1 and 1000":                                              {NumInferenceSteps: 1e9},
		"prompt: has 62914560 bytes; at most 65536 are possible": {Prompt: strings.Repeat("x",
			60<<20)},
		"negative_prompt: byte 2 is not valid UTF-8 (0xff); save the text as UTF-8": {NegativePrompt: "ab\xffc"},
		"prompt_2: byte 0 is NUL; remove it":                                        {Prompt2: "\x00"},
		"num_images: is -1; it must be between 1 and 10000":                         {NumImages: -1},
		"seed: is 9223372036854775807, and the last of 2 pictures would have a seed beyond 2^63-1; use a smaller one": {Seed: math.MaxInt64,
			NumImages: 2},
		"clip_skip: is 99; it must be between 1 and 30":                            {ClipSkip: 99},
		"original_size: is [-1, 5]; [height, width] must be between 1 and 1000000": {OriginalSize: Size{-1, 5}},
		"mask_image: there is no init_image to mask; give one":                     {MaskImage: picture},
		"strength: is 1.01; it must be a number between 0 and 1": {InitImage: picture,
			Strength: 1.01},
		"strength: there is no init_image it could apply to; give one, or leave strength out": {Strength: 0.5},
		"noise: shape [2 3] has 6 values, not the 5 given": {
			Noise: Array{Shape: []int{2, 3}, Data: make([]float32, 5)}},
		"noise: shape [-2 -3] is impossible": {
			Noise: Array{Shape: []int{-2, -3}, Data: make([]float32, 6)}},
		"latents: value 2 is -3e+06; no noise or latents are above 1e+06: the file is damaged": {
			Latents: Array{Shape: []int{1, 4, 1, 1}, Data: []float32{0, 1e6, -3e6, 1}}, InitImage: Picture{}},
		"noise: value 1 is NaN; all must be finite": {
			Noise: Array{Shape: []int{2}, Data: []float32{0, float32(nan)}}},
		`guidance_batch: "jiont" is unknown; did you mean "joint"?; expected one of auto, joint, separate`: {GuidanceBatch: "jiont"},
		`rng: "cuda" is unknown; expected one of cpu, gpu`:                                                 {RNG: "cuda"},
	} {
		r.Prompt = cmp.Or(r.Prompt, NoPrompt)
		err := r.Validate()
		if assert.Error(t, err, want) {
			assert.Equal(t, want, err.Error())
			assert.ErrorIs(t, err, ErrInvalid)
		}
	}
	require.NoError(t, Request{Prompt: NoPrompt}.Validate())
	require.ErrorContains(t, Request{}.Validate(), "prompt: is missing")
	require.ErrorContains(t, Default().Validate(), "prompt: is missing")
	require.NoError(
		t,
		Request{
			Prompt:    "日本 \ufffd",
			Width:     8,
			Height:    16384,
			InitImage: picture,
			MaskImage: picture,
			Strength:  1,
			Seed:      math.MaxInt64 - 1,
		}.Validate(),
	)
	err := Request{Prompt: "x", Width: 7, Height: 9, GuidanceScale: nan}.Validate()
	assert.Len(t, err, 3, "all at once")
}

func TestValidateModel(t *testing.T) {
	for want, m := range map[string]Model{
		"model: is missing; give a checkpoint, a diffusers folder, or nano for the embedded demo model": {},
		`precision: "f64" is unknown; did you mean "f32"?; expected one of auto, exact, f32, f16, bf16`: {Model: "x", Precision: "f64"},
		"threads: is -1; it must be between 1 and 1024":                                                 {Model: "x", Threads: -1},
	} {
		assert.EqualError(t, m.Validate(), want)
	}
	assert.ErrorContains(t, Model{Model: "x", Device: "cuda 0"}.Validate(), `device: "cuda 0" is no device`)
	assert.ErrorContains(t, Model{Model: "x", UNetType: "q9"}.Validate(), `unet_type: "q9" is unknown`)
	for list, why := range map[string]string{"cuda:0,vulkan:0": "of one kind", "cuda:0,cuda:0": "names cuda:0 twice",
		"auto,auto": "name each device", "cuda:0,": "is no device", ",cuda:0": "is no device", "cuda:0, cuda:1": "is no device"} {
		assert.ErrorContains(t, Model{Model: "x", Device: list}.Validate(), why, list)
	}
	assert.ErrorContains(t, Model{Model: "x", TextDevice: "cuda:0,cuda:1"}.Validate(), "is no device", "one of them computes texts")
	for _, d := range []string{"auto", "cpu", "vulkan:0", "cuda:12", "cuda:0,cuda:1", "vulkan:0,vulkan:1,vulkan:2"} {
		assert.NoError(t, Model{Model: "x", Device: d}.Validate())
	}
}

func TestRunValidateNamesThePlace(t *testing.T) {
	run, err := DecodeTOML([]byte("prompt = ''\nwidth = 7\nmodel = ''\n[[job]]\nheight = 9\n[[job]]\nwidth = 11\n[[job]]\n"))
	require.NoError(t, err)
	var errs Errors
	require.True(t, errors.As(run.Validate(), &errs))
	var paths []string
	for _, e := range errs {
		paths = append(paths, e.Path)
	}
	assert.Equal(t, []string{"model", "width", "jobs[0].height", "jobs[1].width"}, paths, "a default's error is reported once")
	assert.ErrorContains(t, Run{Model: Model{Model: "x"}}.Validate(), "jobs: there are none")
	assert.ErrorContains(t, Run{Model: Model{Model: "x"}, Jobs: []Request{{Prompt: "x"}, {Width: 7}}}.Validate(), "jobs[1].width")
	single, err := DecodeTOML([]byte("prompt = 'x'\nwidth = 7"))
	require.NoError(t, err)
	assert.ErrorContains(t, single.Validate(), "\nwidth: is 7")
}

func TestKeys(t *testing.T) {
	keys := Keys()
	seen := map[string]bool{}
	for _, k := range keys {
		id := k.Table + "." + k.Name
		assert.False(t, seen[id], "%s occurs twice", id)
		seen[id] = true
		assert.NotEmpty(t, k.Doc, id)
		assert.NotEmpty(t, k.Type, id)
		assert.Equal(t, strings.ToLower(k.Name), k.Name)
	}
	fields := 0
	for _, typ := range []reflect.Type{reflect.TypeFor[Request](), reflect.TypeFor[Model](),
		reflect.TypeFor[lora.Adapter](), reflect.TypeFor[lora.Options](), reflect.TypeFor[lora.CacheConfig](), reflect.TypeFor[ControlNet](),
		reflect.TypeFor[Memory](), reflect.TypeFor[Hires](), reflect.TypeFor[Outpaint](), reflect.TypeFor[Inpaint](),
		reflect.TypeFor[Guidance](), reflect.TypeFor[PAG](), reflect.TypeFor[SEG](), reflect.TypeFor[FreeU](), reflect.TypeFor[Reuse](),
		reflect.TypeFor[IPAdapter](), reflect.TypeFor[TiledDiffusion](), reflect.TypeFor[Region](), reflect.TypeFor[Detail]()} {
		fields += typ.NumField()
	}
	assert.Len(t, keys, fields, "every field has a key")
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(runTOML), true)
	f.Add([]byte(`{"job": [{"prompt": "x", "width": 64}], "model": "nano"}`), false)
	f.Add([]byte("[[job]]\n[job.scheduler_options]\na.b = [[[]]]"), true)
	f.Fuzz(func(t *testing.T, data []byte, asTOML bool) {
		decode := DecodeJSON
		if asTOML {
			decode = DecodeTOML
		}
		run, err := decode(data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		_ = run.Validate()
		for i := range run.Jobs {
			_ = fmt.Sprint(run.Path(i, "width"))
		}
	})
}
