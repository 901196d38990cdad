//go:build !race

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestGoldenRegionAttention compares runs in mode attention with a processor of diffusers' attention that is written out in
// tools/goldens/regions.py: boxes that cover the picture; boxes that overlap, with weights, on a size that no level halves evenly; a soft
// mask and pixels, without guidance; and beside a ControlNet, whose attention sees the regions, too.
func TestGoldenRegionAttention(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	files := map[string]string{"one": synthNet(t, synth.KindNanoControl, goldenSeeds["one"], modelfile.LayoutDiffusers)}
	for name, rows := range map[string]int{"region_attention": 2, "region_attention_overlap": 2, "region_attention_mask": 1,
		"region_attention_control": 2} {
		r := readRegions(t, name)
		r.ControlNets = readControlRun(t, name, files).ControlNets
		for _, out := range bothHalves(t, p, name, r) {
			assert.Equal(t, 8*rows, out.Timings.Evaluations, "%s: as many as without regions", name)
		}
	}
}

// TestRegionAttentionBeside: what changes or leaves out a part of the UNet's work sees the regions, and with one prompt in all of them
// makes the plain picture, bit for bit.
func TestRegionAttentionBeside(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	for name, edit := range map[string]func(r *request.Request){
		"PAG":       func(r *request.Request) { r.PAG.Scale = 2 },
		"SEG":       func(r *request.Request) { r.SEG.Scale = 2 },
		"T-GATE":    func(r *request.Request) { r.Reuse.TGate = 3 },
		"DeepCache": func(r *request.Request) { r.Reuse.DeepCache = 2 },
		"separate":  func(r *request.Request) { r.GuidanceBatch = request.GuidanceSeparate },
		"interval":  func(r *request.Request) { r.GuidanceStop = new(0.5) },
		"edits":     func(r *request.Request) { r.Prompt = "[a red:a blue:0.5] circle on a white background" },
		"tiles": func(r *request.Request) {
			r.TiledDiffusion = request.TiledDiffusion{Method: "multidiffusion", TileWidth: 96, TileHeight: 96, Overlap: 32}
		},
	} {
		r := readRegions(t, "region_attention_overlap")
		r.NumInferenceSteps, r.NumImages = 4, 2
		edit(&r)
		want := generate(t, p, withoutRegions(r)).Images[1]
		sameLatents(t, want, generate(t, p, ofOnePrompt(r)).Images[1], name+", one prompt")
		out := generate(t, p, r).Images[1]
		assert.Greater(t, relativeL2(t, want.Latents.Data, out.Latents.Data), 1e-3, name)
		one := r
		one.NumImages, one.Seed = 1, r.Seed+1
		assert.Less(t, relativeL2(t, out.Latents.Data, generate(t, p, one).Images[0].Latents.Data), 1e-2, "%s: alone", name)
	}
}
