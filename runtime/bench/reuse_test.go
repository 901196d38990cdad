package bench

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

func TestReadReuse(t *testing.T) {
	for text, want := range map[string]request.Request{
		"":                           {},
		"deepcache=3":                {Reuse: request.Reuse{DeepCache: 3}},
		"deepcache=3:1":              {Reuse: request.Reuse{DeepCache: 3, Branch: 1}},
		"easycache=0.2":              {Reuse: request.Reuse{EasyCache: 0.2}},
		"ucache=1":                   {Reuse: request.Reuse{UCache: 1}},
		"spectrum=2":                 {Reuse: request.Reuse{Spectrum: 2}},
		"tgate=15":                   {Reuse: request.Reuse{TGate: 15}},
		"interval=0.2:0.8":           {GuidanceStart: 0.2, GuidanceStop: new(0.8)},
		"interval=0:0.7+deepcache=2": {GuidanceStop: new(0.7), Reuse: request.Reuse{DeepCache: 2}},
	} {
		var got request.Request
		require.NoError(t, ReadReuse(text, &got), text)
		assert.Equal(t, want, got, text)
	}
	for text, says := range map[string]string{
		"deepcache":               "deepcache is no way to leave something out",
		"deepcache=x":             "no way",
		"ucache=1:2":              "no way",
		"interval=0.5":            "no way",
		"deepcash=3":              `did you mean "deepcache"?`,
		"deepcache=1":             "deepcache=1 leaves nothing out",
		"deepcache=3+ucache=1":    "has both deepcache and ucache",
		"interval=0.8:0.2":        "not before guidance_stop",
		"easycache=-1":            "leaves nothing out",
		"deepcache=2+":            "no way",
		"tgate=100000+deepcache=": "no way",
	} {
		assert.ErrorContains(t, ReadReuse(text, &request.Request{}), says, text)
	}
}

// TestReuseIsHeldAgainstThePlainRun: the reference leaves nothing out, also where another case has better weights.
func TestReuseIsHeldAgainstThePlainRun(t *testing.T) {
	cases, err := Axes{Models: []Model{{Label: "base", Types: []string{"q8_0", "f16"}}}, Sizes: []Size{{64, 64}}, Batches: []int{1},
		Devices: []string{"cpu"}, Schedulers: []string{"Euler"}, Reuse: []string{"deepcache=3", ""}}.Cases()
	require.NoError(t, err)
	require.Len(t, cases, 4)
	assert.Equal(t, "base q8_0 64x64 batch 1 cpu Euler deepcache=3", cases[0].Key())
	assert.Equal(t, "base f16 64x64 batch 1 cpu Euler", cases[3].Key())
	assert.Equal(t, []int{3, 3, 3, 3}, reference(cases, false))
	assert.Equal(t, "f16 deepcache=3", cases[2].name())
}
