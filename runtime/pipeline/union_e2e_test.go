//go:build !race

package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// readUnionRun is readRun for run_union_*.json: pictures that one Union net sees at once.
func readUnionRun(t *testing.T, name, file string) request.Request {
	t.Helper()
	var g struct {
		Nets    []string  `json:"nets"`
		Kinds   []int     `json:"kinds"`
		Weights []float64 `json:"weights"`
		Mode    string    `json:"control_mode"`
	}
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	_, r := readRun(t, name)
	for i, net := range g.Nets {
		r.ControlNets = append(r.ControlNets, request.ControlNet{Model: file, Weight: &g.Weights[i], ControlMode: g.Mode, UnionJoined: true,
			UnionType: request.ControlUnionTypes[g.Kinds[i]],
			Image:     request.Picture{Path: filepath.Join(goldens, "input_control_"+net+".png")}})
	}
	return r
}

// TestGoldenUnionKinds compares the residuals of two pictures that a Union net sees at once with ControlNetUnionModel's, on the host.
func TestGoldenUnionKinds(t *testing.T) {
	m := openNet(t, backend.Files{ControlNet: synthNet(t, synth.KindNanoUnion, goldenSeeds["union"], modelfile.LayoutDiffusers)})
	two, err := m.EncodeHint(t.Context(), controlPixels(t, "two"))
	require.NoError(t, err)
	one, err := m.EncodeHint(t.Context(), controlPixels(t, "one"))
	require.NoError(t, err)
	u := goldenUNetInput(t)
	h, w := u.Sample.Shape[2], u.Sample.Shape[3]
	in := backend.ControlInput{Sample: u.Sample, Timesteps: u.Timesteps, Context: u.Context, Pooled: u.Pooled, SizeIDs: u.SizeIDs,
		Hint:  backend.Tensor{Shape: []int{2, two.Shape[1], h, w}, Data: slices.Concat(two.Data, one.Data)},
		Kinds: []backend.HintKind{{Type: goldenControlType, Weight: 0.8}, {Type: 1, Weight: 1.3}}}
	for range m.Info().UNet.ResidualShapes(h, w) {
		in.Scales = append(in.Scales, 1)
	}
	residuals := make([]float32, m.Info().UNet.ResidualCount(1, h, w))
	require.NoError(t, m.ControlNet(t.Context(), in, residuals))
	l2 := relativeL2(t, residuals, golden(t, "control_union_two_residuals").Data)
	t.Logf("residuals of two kinds %.2g relative L2", l2)
	assert.Less(t, l2, 5e-5)

	for name, edit := range map[string]func(in *backend.ControlInput){
		"one kind":          func(in *backend.ControlInput) { in.Kinds = in.Kinds[:1] },
		"a kind beyond":     func(in *backend.ControlInput) { in.Kinds = []backend.HintKind{{Type: 6}, {Type: 1}} },
		"a type as well":    func(in *backend.ControlInput) { in.Type = 1 },
		"hints and no kind": func(in *backend.ControlInput) { in.Kinds = nil },
	} {
		bad := in
		edit(&bad)
		assert.ErrorIs(t, m.ControlNet(t.Context(), bad, residuals), backend.ErrArgument, name)
	}
}

// TestGoldenUnionRuns compares whole runs with StableDiffusionXLControlNetUnionPipeline and its list of pictures, also in guess mode. Two
// runs of the net are something else.
func TestGoldenUnionRuns(t *testing.T) {
	file := synthNet(t, synth.KindNanoUnion, goldenSeeds["union"], modelfile.LayoutDiffusers)
	p := openNano(t, backend.PrecisionExact)
	for _, name := range []string{"union_two", "union_guess"} {
		for _, halves := range []string{request.GuidanceJoint, request.GuidanceSeparate} {
			r := readUnionRun(t, name, file)
			r.GuidanceBatch = halves
			l2 := relativeL2(t, generate(t, p, r).Images[0].Latents.Data, golden(t, "run_"+name+"_latents").Data)
			t.Logf("%-12s %-8s latents %.2g relative L2", name, halves, l2)
			assert.Less(t, l2, 1e-3, name)
		}
	}
	r := readUnionRun(t, "union_two", file)
	for i := range r.ControlNets {
		r.ControlNets[i].UnionJoined = false
	}
	apart := generate(t, p, r).Images[0].Latents.Data
	assert.Greater(t, relativeL2(t, apart, golden(t, "run_union_two_latents").Data), 1e-3, "two runs of the net")
}

// TestUnionPrecisions: F16, BF16 and Q8_0 are within 40 dB of exact.
func TestUnionPrecisions(t *testing.T) {
	r := readUnionRun(t, "union_two", synthNet(t, synth.KindNanoUnion, goldenSeeds["union"], modelfile.LayoutDiffusers))
	r.NumInferenceSteps = 3
	want := generate(t, openNano(t, backend.PrecisionExact), r).Images[0]
	eachPrecision(t, func(name string, p *Pipeline) {
		db := psnr(t, want.NRGBA, generate(t, p, r).Images[0].NRGBA)
		t.Logf("%-5s %.1f dB", name, db)
		assert.Greater(t, db, 40.0, name)
	})
}

// TestUnionWays: pictures of a batch are those of batches of one, also by tiles and in a second pass; a plan counts what is computed.
func TestUnionWays(t *testing.T) {
	t.Parallel()
	file := synthNet(t, synth.KindNanoUnion, goldenSeeds["union"], modelfile.LayoutDiffusers)
	p := openNano(t, backend.PrecisionExact)
	for name, edit := range map[string]func(r *request.Request){
		"hires": func(r *request.Request) { r.Hires = request.Hires{Scale: 1.5, Strength: 0.6} },
		"tiles": func(r *request.Request) {
			r.TiledDiffusion = request.TiledDiffusion{Method: "multidiffusion", TileWidth: 96, TileHeight: 96}
		},
		"beside another net": func(r *request.Request) {
			r.ControlNets = slices.Insert(r.ControlNets, 1, request.ControlNet{Image: r.ControlNets[0].Image,
				Model: synthNet(t, synth.KindNanoControl, goldenSeeds["one"], modelfile.LayoutDiffusers)})
		},
	} {
		r := readUnionRun(t, "union_two", file)
		r.NumInferenceSteps, r.NumImages = 2, 2
		edit(&r)
		both := generate(t, p, r).Images
		r.NumImages = 1
		r.Seed++
		alone := generate(t, p, r).Images[0]
		assert.Less(t, relativeL2(t, both[1].Latents.Data, alone.Latents.Data), 1e-5, name)
		r.ControlNets = slices.DeleteFunc(r.ControlNets, func(n request.ControlNet) bool { return n.UnionJoined })
		assert.Greater(t, relativeL2(t, generate(t, p, r).Images[0].Latents.Data, alone.Latents.Data), 1e-4, name)
	}
}
