//go:build !race

package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// goldenRefinerSeed is SEED of tools/goldens/refiner.py, which computed with the same random weights.
const goldenRefinerSeed = 5

// nanoRefiner writes the synthetic refiner of the goldens: a file in the original layout, or a diffusers folder.
func nanoRefiner(t *testing.T, folder bool) string {
	t.Helper()
	o := synth.Options{Kind: synth.KindNanoRefiner, Seed: goldenRefinerSeed}
	if folder {
		path := filepath.Join(t.TempDir(), "refiner")
		require.NoError(t, synth.WriteFolder(t.Context(), path, o))
		return path
	}
	path := filepath.Join(t.TempDir(), "refiner.safetensors")
	require.NoError(t, synth.Write(t.Context(), path, o))
	return path
}

// readRefinerRun is readRun for run_refiner*.json.
func readRefinerRun(t *testing.T, name string) (refinerEvaluations int, r request.Request) {
	t.Helper()
	var g struct {
		goldenRun
		RefinerEvaluations     int     `json:"refiner_evaluations"`
		RefinerMode            string  `json:"refiner_mode"`
		RefinerStart           float64 `json:"refiner_start"`
		RefinerStrength        float64 `json:"refiner_strength"`
		AestheticScore         float64 `json:"aesthetic_score"`
		NegativeAestheticScore float64 `json:"negative_aesthetic_score"`
	}
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	_, r = readRun(t, name)
	r.RefinerMode, r.RefinerStart, r.RefinerStrength = g.RefinerMode, g.RefinerStart, g.RefinerStrength
	r.AestheticScore, r.NegativeAestheticScore = g.AestheticScore, g.NegativeAestheticScore
	return g.RefinerEvaluations, r
}

// TestGoldenRefiner compares base and refiner with diffusers: as an ensemble, handed over at 0.8 of 30 steps, and the
// refiner as image-to-image. The refiner is read from one file, from a folder, and kept open or not.
func TestGoldenRefiner(t *testing.T) {
	for name, cfg := range map[string]Config{
		"file":   {Refiner: nanoRefiner(t, false), RefinerOnDemand: true},
		"folder": {Refiner: nanoRefiner(t, true)},
	} {
		cfg.Model, cfg.Precision, cfg.Threads = NanoModel, backend.PrecisionExact, 1
		p, err := Open(t.Context(), cfg)
		require.NoError(t, err)
		for _, run := range []string{"refiner", "refiner_img2img"} {
			evaluations, r := readRefinerRun(t, run)
			out := generate(t, p, r)
			l2 := relativeL2(t, out.Images[0].Latents.Data, golden(t, "run_"+run+"_latents").Data)
			t.Logf("%-6s %-15s latents %.2g relative L2", name, run, l2)
			assert.Less(t, l2, 1e-3, run)
			baseSteps := r.NumInferenceSteps
			if run == "refiner" {
				baseSteps -= evaluations
			}
			assert.Equal(t, baseSteps+evaluations, out.Timings.Steps, run)

			alone := r
			alone.RefinerMode, alone.RefinerStart, alone.RefinerStrength = request.RefinerNone, 0, 0
			if run == "refiner" {
				alone.DenoisingEnd = r.RefinerStart
			}
			handed := generate(t, p, alone)
			assert.Less(t, relativeL2(t, handed.Images[0].Latents.Data, golden(t, "run_"+run+"_handed").Data), 1e-3, "%s: what the base hands over",
				run)
		}
		require.NoError(t, p.Close())
	}
}

// TestRefinerRoles gives files in the wrong place.
func TestRefinerRoles(t *testing.T) {
	refiner := nanoRefiner(t, false)
	_, err := Open(t.Context(), Config{Model: refiner, Threads: 1})
	require.ErrorIs(t, err, ErrUnsupportedModel)
	require.ErrorContains(t, err, "this is an SDXL refiner")

	vae := filepath.Join(t.TempDir(), "vae.safetensors")
	require.NoError(t, synth.Write(t.Context(), vae, synth.Options{Kind: synth.KindVAE, Seed: 1}))
	_, err = Open(t.Context(), Config{Model: NanoModel, Refiner: vae, Threads: 1})
	require.ErrorContains(t, err, "refiner: ")
	require.ErrorContains(t, err, "vae")
}
