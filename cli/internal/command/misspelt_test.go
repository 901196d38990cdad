//go:build !race

package command

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestMisspellings: a name that does not exist is answered with the one that was meant.
func TestMisspellings(t *testing.T) {
	b := newBench(t)
	b.write("portrait.png", "")
	b.write("sd_xl_base_1.0.safetensors", "")
	require.NoError(t, os.Mkdir(b.path("loras"), 0o700))
	for _, name := range []string{"ink-wash", "film_grain", "PixelArt"} {
		b.write("loras/"+name+".safetensors", "")
	}
	flag := func(typed string, want string) []string { return []string{want, "generate", typed} }
	key := func(toml, want string) []string {
		return []string{`did you mean "` + want + `"?`, "generate", "-c", b.write("k"+regexp.MustCompile(`\W`).ReplaceAllString(toml, "")+".toml",
			strings.ReplaceAll(toml, ";", "\n"))}
	}
	adapter := func(typed, want string) []string {
		return []string{`did you mean "` + want + `"?`, "generate", "--model", "nano", "-p", "x", "--lora-dir", b.path("loras"), "--lora", typed}
	}
	cases := [][]string{
		// commands
		{`"generate"`, "genrate"}, {`"generate"`, "gen"}, {`"upscale"`, "upscle"}, {`"schedulers"`, "scheduler"}, {`"doctor"`, "docter"},
		{`"convert"`, "models", "covnert", "x", "y"}, {`"inspect"`, "lora", "inspct", "x"}, {`"preprocess"`, "control", "preproces", "x"},
		// flags
		flag("--promt", "--prompt"), flag("--negative_prompt", "--negative-prompt"), flag("--negativ-prompt", "--negative-prompt"),
		flag("--widht", "--width"), flag("--hieght", "--height"), flag("--sede", "--seed"), flag("--stpes", "--steps"),
		flag("--guidence-scale", "--guidance-scale"), flag("--schedular", "--scheduler"), flag("--nun-images", "--num-images"),
		flag("--lora-dirs", "--lora-dir"), flag("--memory-limits", "--memory-limit"), flag("--refinr", "--refiner"),
		flag("--vae-tilling", "--vae-tiling"), flag("--strenght", "--strength"), flag("--clipskip", "--clip-skip"), flag("--ouput", "--output"),
		flag("--overwite", "--overwrite"), flag("--quite", "--quiet"), flag("--confg", "--config"), flag("--help-me", "--help"),
		{"--tile-size", "upscale", "x.png", "--tile-sise", "3"}, {"--json", "devices", "--jsno"}, {"--deep", "doctor", "--dep"},
		// keys
		key("promt = 'x'", "prompt"), key("guidence_scale = 3", "guidance_scale"), key("num_infernce_steps = 3", "num_inference_steps"),
		key("[model];precison = 'f16'", "precision"), key("[model];text_encodr = 'x'", "text_encoder"), key("[hires];scal = 2", "scale"),
		key("[[lora]];nmae = 'x'", "name"), key("[[controlnet]];imgae = 'x'", "image"), key("[lora_stack];stict = true", "strict"),
		key("stpes = 3", "steps"),
		// files
		{`portrait.png"?`, "generate", "--model", "nano", "-p", "x", "--image", b.path("potrait.png")},
		{`portrait.png"?`, "upscale", b.path("portrait.pgn"), "--model", "x.pth", "-o", b.path("o.png")},
		{`sd_xl_base_1.0.safetensors"?`, "generate", "-p", "x", "--model", b.path("sdxl_base_1.0.safetensors")},
		{`sd_xl_base_1.0.safetensors"?`, "models", "inspect", b.path("sd_xl_base_1.0.safetensor")},
		// adapters
		adapter("inkwash", "ink-wash"), adapter("ink_wsh:0.8", "ink-wash"), adapter("filmgrain", "film_grain"), adapter("pixle-art", "PixelArt"),
		// values
		{`mean EulerDiscrete`, "schedulers", "show", "EulerDiscret"}, {`mean "fast"`, "schedulers", "recommend", "fastest"},
		{`"q8_0"`, "generate", "-m", "nano", "-p", "x", "--type", "q80"},
		{`"separate"`, "generate", "-m", "nano", "-p", "x", "--guidance-batch", "seperate"},
		{`"canny"`, "control", "preprocess", "x.png", "-p", "cany", "-o", "y.png"}, {`"hires"`, "generate", "--help=hirse"},
	}
	assert.GreaterOrEqual(t, len(cases), 40)
	for _, c := range cases {
		code := b.run(c[1:]...)
		assert.Contains(t, []int{ExitUsage, ExitFile}, code, "%v: %s", c[1:], b.stderr)
		assert.Contains(t, b.stderr, c[0], "%v", c[1:])
	}
}

// TestFlagsOfOtherPrograms: each is answered with what does the same here, and every flag that an answer names exists.
func TestFlagsOfOtherPrograms(t *testing.T) {
	b := newBench(t)
	for typed, want := range map[string]string{
		"--sampler": "--scheduler", "--cfg-scale": "--guidance-scale", "--control-net": "--control",
		"--lora-model-dir": "--lora-dir", "--n_iter": "--num-images", "--sampling-method": "--scheduler", "--ckpt": "--model",
		"--denoising_strength": "--strength", "--medvram": "--memory-limit", "--init-img": "--image", "--vae-on-cpu": "--vae-device cpu",
		"--num_images_per_prompt": "--num-images", "--torch_dtype": "--precision", "--enable_model_cpu_offload": "--memory-limit",
		"--fp16": "--precision f16", "--ddim_steps": "--steps", "--outdir": "--output", "--enable_hr": "--hires", "--lowvram": "--memory-limit",
		"--size": "--width", "--out": "--output",
	} {
		assert.Equal(t, ExitUsage, b.run("generate", "--model", "nano", "-p", "x", typed, "value"))
		assert.Contains(t, b.stderr, "unknown flag "+typed)
		assert.Contains(t, b.stderr, want, typed)
		assert.NotContains(t, b.stderr, "mistakes", "the value of a flag that does not exist is no mistake of its own: %s", typed)
	}
	known := map[string]bool{}
	for _, f := range commandOf(t, "generate").Flags {
		for _, n := range f.Names() {
			known[n] = true
		}
	}
	require.Greater(t, len(foreignFlags), 150)
	for name, answer := range foreignFlags {
		for _, f := range regexp.MustCompile(`--[a-z0-9-]+`).FindAllString(answer, -1) {
			assert.True(t, known[strings.TrimPrefix(f, "--")], "%s: %s does not exist", name, f)
		}
		assert.Regexp(t, `^(A1111|stable-diffusion\.cpp|diffusers|ComfyUI|another program) has it; here \S`, answer, name)
	}
	for line := range strings.Lines(foreignText) {
		if names, _, ok := strings.Cut(line, ": "); ok {
			for name := range strings.FieldsSeq(names) {
				assert.False(t, known[name], "%s is a flag here", name)
			}
		}
	}
}

// TestOddValues: a flag in the place of a value, a value of a flag that does not exist, and a value that is empty, as "$PICTURE" can be.
func TestOddValues(t *testing.T) {
	b := newBench(t)
	nano := []string{"generate", "-m", "nano", "-p", "x"}
	for args, want := range map[string]string{
		"generate -m nano --negative-prompt --steps 3 -p x": "--negative-prompt needs a value before --steps",
		"generate -p x --model --steps 3":                   "--model needs a value before --steps",
		"bench --sizes 64":                                  "unknown flag --sizes; did you mean --size?",
		"schedulers recommend --use-case=no":                "unknown flag --use-case",
	} {
		assert.Equal(t, ExitUsage, b.run(strings.Fields(args)...), args)
		assert.Contains(t, b.stderr, want)
		assert.NotContains(t, b.stderr, "unknown command")
		assert.NotContains(t, b.stderr, "is missing")
	}
	for _, flag := range []string{"--image", "--mask", "--vae", "--scheduler", "--output", "--noise", "--device", "--type"} {
		assert.Equal(t, ExitUsage, b.run(append(nano, flag, "")...), flag)
		assert.Contains(t, b.stderr, flag+" is empty; give a value, or leave the flag out")
	}
	file := b.write("sized.toml", "model = 'nano'\nprompt = 'x'\nwidth = 64\nheight = 64\nsteps = 1\nscheduler = 'DDIM'\n")
	require.Equal(t, ExitOK, b.run("generate", "-c", file, "--scheduler", "", "-o", b.path("x.png")), b.stderr)
	assert.NotContains(t, manifestOf(t, b.path("x.png"))["scheduler"], "DDIM", "what the run file says can be taken away")
	require.Equal(t, ExitOK, b.run("demo", "", "-o", b.path("y.png")), b.stderr)
	assert.Equal(t, request.NoPrompt, manifestOf(t, b.path("y.png"))["prompt"], "an empty text is a choice")
}

// TestAllMistakesAtOnce: flags, keys, values and missing files are in one list, in the words of where they come from.
func TestAllMistakesAtOnce(t *testing.T) {
	b := newBench(t)
	b.write("good.png", "")
	file := b.write("run.toml", "promt = 'x'\nwidth = 100\nmodel = '"+b.path("no.safetensors")+"'\ninit_image = '"+b.path("none.png")+
		"'\n[[lora]]\nname = 'ink'\nwieght = 1\n")
	require.Equal(t, ExitUsage, b.run("generate", "-c", file, "--stepz", "3", "--steps", "many", "--seed", "1", "--seed=2", "--mask",
		b.path("goood.png"), "-o", "x.gif"))
	for _, want := range []string{"11 mistakes", "unknown flag --stepz; did you mean --steps?", `--steps is "many"; it must be a whole number`,
		"--seed is given twice; leave one out", "--output: unsupported picture format", "--mask: ", `good.png"?`, "run file " + file,
		`promt: unknown key; did you mean "prompt"?`, `lora[0].wieght: unknown key; did you mean "weight"?`, "width: is 100", "    model: ",
		"no.safetensors: no such file", "init_image: ", "See daguerre generate --help."} {
		assert.Contains(t, b.stderr, want)
	}
	assert.NotContains(t, b.stderr, "missing", "what was misspelt is not missing, too")

	require.Equal(t, ExitFile, b.run("generate", "--model", b.path("no.safetensors"), "-p", "x", "--image", b.path("none.png"), "--vae",
		b.path("novae.safetensors")), "nothing but files: exit code 3")
	for _, want := range []string{"3 mistakes", "--model: ", "--image: ", "--vae: "} {
		assert.Contains(t, b.stderr, want)
	}
	assert.NotContains(t, b.stderr, "--help", "which would not help")

	require.Equal(t, ExitUsage, b.run("generate"))
	assert.Contains(t, b.stderr, "--model is missing")
	assert.Contains(t, b.stderr, "--prompt is missing")
	empty := b.write("empty.toml", "")
	require.Equal(t, ExitUsage, b.run("generate", "-c", empty))
	assert.Contains(t, b.stderr, "    model.model: is missing", "the key where there is a run file")
	require.Equal(t, ExitUsage, b.run("request", "validate", file))
	assert.Contains(t, b.stderr, "promt: unknown key")
	assert.Contains(t, b.stderr, "width: is 100")
}

// TestFlagsAreGivenOnce: but for those that make a list.
func TestFlagsAreGivenOnce(t *testing.T) {
	b := newBench(t)
	for _, args := range [][]string{{"generate", "-m", "nano", "-p", "x", "-m", "nano"},
		{"generate", "--steps", "3", "--num-inference-steps", "4"},
		{"demo", "--quiet", "-q"}, {"devices", "--json", "--json"}, {"upscale", "x.png", "--model", "a", "-m", "b"}} {
		assert.Equal(t, ExitUsage, b.run(args...), "%v", args)
		assert.Contains(t, b.stderr, "is given twice", "%v", args)
	}
	assert.Equal(t, ExitFile, b.run(small("--lora", "a", "--lora", "b")...), "lists may repeat")
	assert.Contains(t, b.stderr, "--lora a: ")
	assert.Contains(t, b.stderr, "--lora b: ")
}

// TestNoPrompt: none at all is a mistake, an empty one a choice.
func TestNoPrompt(t *testing.T) {
	b := newBench(t)
	args := []string{"generate", "-m", "nano", "-W", "64", "-H", "64", "--steps", "1", "-o", b.path("x.png")}
	require.Equal(t, ExitUsage, b.run(args...))
	assert.Contains(t, b.stderr, "--prompt is missing")
	require.Equal(t, ExitOK, b.run(append(args, "--prompt", "")...), b.stderr)
	file := b.write("none.toml", "model = 'nano'\nwidth = 64\nheight = 64\n")
	require.Equal(t, ExitUsage, b.run("generate", "-c", file))
	assert.Contains(t, b.stderr, "prompt: is missing")
	file = b.write("chosen.toml", "model = 'nano'\nprompt = ''\nwidth = 64\nheight = 64\nnum_inference_steps = 1\noutput='"+b.path("y.png")+
		"'\n")
	require.Equal(t, ExitOK, b.run("generate", "-c", file), b.stderr)
	one, _ := readPNG(t, b.path("x.png"))
	two, _ := readPNG(t, b.path("y.png"))
	assert.Equal(t, one.Bounds(), two.Bounds())
	require.ErrorIs(t, request.Request{}.Validate(), request.ErrInvalid)
	require.NoError(t, request.Request{Prompt: request.NoPrompt}.Validate())
}
