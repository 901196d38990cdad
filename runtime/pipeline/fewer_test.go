package pipeline

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// uses tells what a run's evaluations of the UNet did with features, one letter for each: s store, m mean, r reuse, - nothing.
func uses(b *fake.Backend, from int) string {
	letters := map[backend.FeaturesUse]string{"": "-", backend.FeaturesStore: "s", backend.FeaturesMean: "m", backend.FeaturesReuse: "r"}
	out := ""
	for _, c := range b.Calls()[from:] {
		if c.Op == fake.OpUNet {
			out += letters[c.Kept]
		}
	}
	return out
}

// TestFewerWhatIsKept: when features are stored and reused, and what makes them be stored again.
func TestFewerWhatIsKept(t *testing.T) {
	deep, gate := request.Reuse{DeepCache: 3}, request.Reuse{TGate: 4}
	for name, c := range map[string]struct {
		edit func(r *request.Request)
		want string
	}{
		"deepcache":                {func(r *request.Request) { r.Reuse = deep }, "srrsrrsrrs"},
		"deepcache, both halves":   {func(r *request.Request) { r.Reuse, r.GuidanceBatch = deep, "separate" }, "ssrrrrssrrrrssrrrrss"},
		"deepcache, interval":      {func(r *request.Request) { r.Reuse, r.GuidanceStop = deep, new(0.5) }, "srrsrsrrsr"},
		"deepcache, no guidance":   {func(r *request.Request) { r.Reuse, r.GuidanceScale = deep, 1 }, "srrsrrsrrs"},
		"tgate":                    {func(r *request.Request) { r.Reuse = gate }, "---smrrrrrr"},
		"tgate, separate":          {func(r *request.Request) { r.Reuse, r.GuidanceBatch = gate, "separate" }, "------smrrrrrr"},
		"tgate, no guidance":       {func(r *request.Request) { r.Reuse, r.GuidanceScale = gate, 1 }, "---srrrrrr"},
		"tgate after the interval": {func(r *request.Request) { r.Reuse, r.GuidanceStop = gate, new(0.2) }, "---srrrrrr"},
		"tgate at once":            {func(r *request.Request) { r.Reuse.TGate = 1 }, "smrrrrrrrrr"},
		"prompt editing": {func(r *request.Request) { r.Prompt, r.Reuse = "a [red:green:0.5] circle", deep },
			"srrsrsrrsr"},
		"prompt editing after the gate": {func(r *request.Request) { r.Prompt, r.Reuse = "a [red:green:0.5] circle", gate },
			"---smrsmrrrr"},
		"a net that ends": {func(r *request.Request) {
			n := controlOf("net")
			n.End = 0.5
			r.ControlNets, r.Reuse = []request.ControlNet{n}, deep
		}, "srrsrsrrsr"},
		"second pass": {func(r *request.Request) { r.Reuse, r.Hires = deep, request.Hires{Scale: 2, Strength: 0.4} },
			"srrsrrsrrssrrs"},
	} {
		b := &fake.Backend{}
		p := openFake(t, b)
		r := small("a red circle")
		r.NumInferenceSteps = 10
		c.edit(&r)
		generate(t, p, r)
		assert.Equal(t, c.want, uses(b, 0), name)
		assert.Zero(t, b.LiveFeatures(), name)
		assert.Zero(t, p.models.Base.MemoryStats().Adapters, name)
		require.NoError(t, p.Close())
	}
}

// TestFewerAdaptersThatChange: an adapter whose weight changes makes features be stored again; one that stays does not.
func TestFewerAdaptersThatChange(t *testing.T) {
	p, b, _ := loraBench(t)
	for name, c := range map[string]struct {
		adapter lora.Adapter
		want    string
	}{
		"stays":     {lora.Adapter{Name: "unet"}, "srrsrrsrrs"},
		"begins":    {lora.Adapter{Name: "unet", Start: 0.5}, "srrsrsrrsr"},
		"text only": {lora.Adapter{Name: "text"}, "srrsrrsrrs"},
	} {
		from := len(b.Calls())
		r := small("a red circle")
		r.NumInferenceSteps, r.LoRAs, r.Reuse.DeepCache = 10, []lora.Adapter{c.adapter}, 3
		generate(t, p, r)
		assert.Equal(t, c.want, uses(b, from), name)
	}
}

// TestFewerOutputs: easycache and ucache leave out whole evaluations, each picture its own, and no two pictures disturb each other.
func TestFewerOutputs(t *testing.T) {
	for name, u := range map[string]request.Reuse{"easycache": {EasyCache: 0.3}, "ucache": {UCache: 2}, "spectrum": {Spectrum: 2}} {
		b := &fake.Backend{}
		p := openFake(t, b)
		r := small("a red circle")
		r.NumInferenceSteps, r.Reuse, r.NumImages, r.MaxBatch = 20, u, 4, 1
		one := generate(t, p, r)
		r.MaxBatch = 4
		all := generate(t, p, r)
		for i := range one.Images {
			assert.InDeltaSlice(t, one.Images[i].Latents.Data, all.Images[i].Latents.Data, 1e-4, name)
		}
		assert.Less(t, one.Timings.Evaluations, 2*20*4, name)
		assert.Equal(t, one.Timings.Evaluations, all.Timings.Evaluations, name)
	}
}

// TestFewerMistakes: what cannot be, and what does nothing.
func TestFewerMistakes(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	told := openFake(t, &fake.Backend{GuidanceDim: 256})
	for says, edit := range map[string]func(r *request.Request){
		"reuse: has both deepcache and tgate":           func(r *request.Request) { r.Reuse = request.Reuse{DeepCache: 2, TGate: 3} },
		"reuse.deepcache_branch: there is no deepcache": func(r *request.Request) { r.Reuse.Branch = 1 },
		"reuse.deepcache_branch: is 60; this UNet has":  func(r *request.Request) { r.Reuse = request.Reuse{DeepCache: 2, Branch: 60} },
		"reuse.deepcache: is -1; it must be between 1":  func(r *request.Request) { r.Reuse.DeepCache = -1 },
		"reuse: has start or stop": func(r *request.Request) {
			r.Reuse = request.Reuse{DeepCache: 2, Start: new(0.1)}
		},
		"reuse.start: is 0.9, not before stop": func(r *request.Request) {
			r.Reuse = request.Reuse{UCache: 1, Start: new(0.9), Stop: new(0.5)}
		},
		"reuse.ucache: is -1; it must be a number between":     func(r *request.Request) { r.Reuse.UCache = -1 },
		"guidance_start: is 0.6, not before guidance_stop":     func(r *request.Request) { r.GuidanceStart, r.GuidanceStop = 0.6, new(0.5) },
		"guidance_stop: is 2; it must be a number between 0":   func(r *request.Request) { r.GuidanceStop = new(2.0) },
		"prompt: AND needs guidance in every step; leave AND ": func(r *request.Request) { r.Prompt, r.GuidanceStop = "a AND b", new(0.5) },
		"prompt: AND needs guidance in every step":             func(r *request.Request) { r.Prompt, r.Reuse.TGate = "a AND b", 3 },
		"guidance.method: CFG++ needs both halves": func(r *request.Request) {
			r.Scheduler, r.GuidanceStop = "euler_cfg_pp", new(0.5)
		},
	} {
		r := small("a red circle")
		edit(&r)
		_, err := p.Generate(t.Context(), r)
		var errs request.Errors
		require.ErrorAs(t, err, &errs, says)
		assert.ErrorContains(t, err, says)
	}
	warned := func(p *Pipeline, edit func(r *request.Request)) []string {
		r := small("a red circle")
		r.NumInferenceSteps = 5
		edit(&r)
		return generate(t, p, r).Warnings
	}
	assert.Contains(t, warned(p, func(r *request.Request) { r.GuidanceScale, r.GuidanceStop = 1, new(0.5) })[0], "do nothing without guidance")
	assert.Contains(t, warned(p, func(r *request.Request) { r.Reuse.TGate = 5 })[0], "there are 5 steps: it does nothing")
	assert.Contains(t, warned(told, func(r *request.Request) { r.GuidanceStop = new(0.5) }),
		"this UNet gets guidance_scale as an input and has no "+
			"negative half (LCM): guidance_start and guidance_stop do nothing")
}

// TestFewerManifest: the manifest says what was left out, and a picture that is made from it is the same.
func TestFewerManifest(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r := small("a red circle")
	r.GuidanceStart, r.GuidanceStop, r.Reuse.UCache = 0.2, new(0.8), 1
	out := generate(t, p, r)
	data, err := json.Marshal(out.Manifest(out.Images[0]))
	require.NoError(t, err)
	assert.Contains(t, string(data), `"guidance_start":0.2,"guidance_stop":0.8`)
	assert.Contains(t, string(data), `"reuse":{"ucache":1,"start":0.15,"stop":0.95}`)
	plain := generate(t, p, small("a red circle"))
	data, err = json.Marshal(plain.Manifest(plain.Images[0]))
	require.NoError(t, err)
	assert.NotContains(t, string(data), "reuse")
	assert.NotContains(t, string(data), "guidance_st")
}
