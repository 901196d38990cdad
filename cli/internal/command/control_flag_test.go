package command

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestControlFlag: --control says what a [[controlnet]] says, by the same rules.
func TestControlFlag(t *testing.T) {
	file := []request.ControlNet{{Model: "depth", Image: request.Picture{Path: "d.png"}, Weight: new(0.5), End: 0.5, ResizeMode: "pad"}}
	for flag, want := range map[string]request.ControlNet{
		"canny=a.png":                     {Model: "canny", Image: request.Picture{Path: "a.png"}},
		"canny=a.png:0.8":                 {Model: "canny", Image: request.Picture{Path: "a.png"}, Weight: new(0.8)},
		"x/c.safetensors=a:b":             {Model: "x/c.safetensors", Image: request.Picture{Path: "a:b"}},
		"x=1/a=b.safetensors=c=d.png:0.5": {Model: "x=1/a=b.safetensors", Image: request.Picture{Path: "c=d.png"}, Weight: new(0.5)},
		`C:\c.gguf=D:\p.png`:              {Model: `C:\c.gguf`, Image: request.Picture{Path: `D:\p.png`}},
		"canny=a=b.png":                   {Model: "canny", Image: request.Picture{Path: "a=b.png"}},
		"canny=a,b.png:1,preprocessor=canny,start=0.25,end=0.5": {Model: "canny", Image: request.Picture{Path: "a,b.png"}, Weight: new(1.0),
			Preprocessor: "canny", Start: 0.25, End: 0.5},
	} {
		var errs request.Errors
		list := addControls(file, "control", []string{flag}, &errs)
		require.Empty(t, errs, flag)
		require.Len(t, list, 2, flag)
		assert.Equal(t, want, list[1], flag)
	}
	var errs request.Errors
	list := addControls(file, "control", []string{"depth=e.png:0.9", "tile=f.png", "tile=g.png"}, &errs)
	require.Empty(t, errs)
	require.Len(t, list, 3)
	assert.Equal(t, request.ControlNet{Model: "depth", Image: request.Picture{Path: "e.png"}, Weight: new(0.9), End: 0.5, ResizeMode: "pad"},
		list[0], "what the flag does not say stays")
	assert.Equal(t, "d.png", file[0].Image.Path, "the list given is as it was")

	b := newBench(t)
	b.write("p.png", "")
	for args, want := range map[[2]string]string{
		{"--control", "canny"}:                               "--control canny: names no net with its picture",
		{"--control", "canny=p.png,wieght=1"}:                `wieght: unknown key; did you mean "weight"?`,
		{"--control", "canny=p.png,weight=much"}:             `weight: is the string "much"; expected a number`,
		{"--control", "canny=p.png:99"}:                      "--control canny: weight is 99",
		{"--control", "canny=" + b.path("q.png")}:            "--control canny: ",
		{"--control", "canny=p.png,start=0.8,end=0.2"}:       "start is 0.8, not before end",
		{"--control", "canny=p.png,preprocessor=no-such"}:    "no-such",
		{"--controlnet", "canny=p.png,control_mode=balance"}: `did you mean "balanced"?`,
	} {
		assert.NotEqual(t, ExitOK, b.run("generate", "-m", "nano", "-p", "x", args[0], args[1]), args)
		assert.Contains(t, b.stderr, want, args)
	}
}

// TestHiresFlag: --hires is the scale of [hires].
func TestHiresFlag(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run(small("--hires", "2", "--hires-steps", "2", "-o", b.path("x.png"))...), b.stderr)
	img, _ := readPNG(t, b.path("x.png"))
	assert.Equal(t, 128, img.Bounds().Dx())
	require.Equal(t, ExitOK, b.run(small("--hires-scale", "2", "--hires-steps", "2", "-o", filepath.Join(b.dir, "y.png"))...), b.stderr)
	for value, want := range map[string]string{"0.5": "--hires is 0.5; it must be a number above 1",
		"0":   "--hires is 0; give more, or leave the flag out",
		"big": `--hires is "big"; it must be a number`} {
		assert.Equal(t, ExitUsage, b.run(small("--hires", value)...))
		assert.Contains(t, b.stderr, want)
	}
}
