package command

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestDetailFlag takes places, strengths and prompts apart.
func TestDetailFlag(t *testing.T) {
	for text, want := range map[string]request.Detail{
		"0.4,0.1,0.6,0.3":                {Box: &[4]float64{0.4, 0.1, 0.6, 0.3}},
		" 10, 20 ,300, 400 : 0.5=a=b, c": {Prompt: "a=b, c", Box: &[4]float64{10, 20, 300, 400}, Strength: 0.5},
		"face.safetensors":               {Detector: "face.safetensors"},
		"a/f.safetensors:0.5=a=b":        {Detector: "a/f.safetensors", Strength: 0.5, Prompt: "a=b"},
		"face.png":                       {Mask: request.Picture{Path: "face.png"}},
		`C:\f=1.PNG:0.3=a x.png=b`:       {Prompt: "a x.png=b", Mask: request.Picture{Path: `C:\f=1.PNG`}, Strength: 0.3},
	} {
		var errs request.Errors
		list := addDetails([]request.Detail{{Prompt: "first"}}, "detail", []string{text}, &errs)
		require.NoError(t, errs.Err(), text)
		require.Len(t, list, 2)
		assert.Equal(t, want, list[1], text)
	}
	for text, says := range map[string]string{
		"a face": "names no place", "0,0,1=a": "names no place", "0,0,0.5.5,1=a": "has the number 0.5.5", "0,0,1,1:1.2.3=a": "has the strength 1.2.3",
	} {
		var errs request.Errors
		addDetails(nil, "detail", []string{text}, &errs)
		assert.ErrorContains(t, errs.Err(), says, text)
	}
}
