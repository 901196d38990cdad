package command

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestRegionFlag takes places, weights and prompts apart. Prompts may hold what places are written with.
func TestRegionFlag(t *testing.T) {
	for text, want := range map[string]request.Region{
		"0,0,0.5,1=a cat":                   {Prompt: "a cat", Box: &[4]float64{0, 0, 0.5, 1}},
		" 0, 0 ,512, 1024 : 1.5=a=b, (c:2)": {Prompt: "a=b, (c:2)", Box: &[4]float64{0, 0, 512, 1024}, Weight: new(1.5)},
		"left.png=a cat":                    {Prompt: "a cat", Mask: request.Picture{Path: "left.png"}},
		`C:\left=1.PNG:0.5=a x.png=b`:       {Prompt: "a x.png=b", Mask: request.Picture{Path: `C:\left=1.PNG`}, Weight: new(0.5)},
	} {
		var errs request.Errors
		list := addRegions([]request.Region{{Prompt: "first"}}, "region", []string{text}, &errs)
		require.NoError(t, errs.Err(), text)
		require.Len(t, list, 2)
		assert.Equal(t, want, list[1], text)
	}
	for text, says := range map[string]string{
		"a cat":            "names no place",
		"0,0,1=a cat":      "names no place",
		"0,0,0.5.5,1=a":    "has the number 0.5.5",
		"0,0,1,1:1.2.3=a":  "has the weight 1.2.3",
		"left.tiff=a cat":  "names no place",
		"0;0;0.5;1=a cat":  "names no place",
		"-0.5,0,0.5,1=cat": "names no place",
	} {
		var errs request.Errors
		addRegions(nil, "region", []string{text}, &errs)
		assert.ErrorContains(t, errs.Err(), says, text)
	}
}

// TestRegionFlagRuns: flags make regions of a job, behind those of a run file, and mistakes name the flag.
func TestRegionFlagRuns(t *testing.T) {
	b := newBench(t)
	file := b.write("run.toml", "prompt = 'x'\nmodel = 'nano'\n[[region]]\nprompt = 'first'\nbox = [0, 0, 0.5, 1]\n")
	require.Equal(t, ExitUsage, b.run("generate", "-c", file, "--region", "0.5,0,0.2,1=a cat", "-o", "x.png"), b.stderr)
	assert.Contains(t, b.stderr, "--region 0.5,0,0.2,1=a cat: box is [0.5 0 0.2 1]: it holds nothing")
}
