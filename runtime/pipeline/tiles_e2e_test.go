//go:build !race

package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// readTilesRun is readRun for runs by tiles; net is the ControlNet's file.
func readTilesRun(t *testing.T, name, net string) request.Request {
	t.Helper()
	var g struct {
		Method  string   `json:"method"`
		Tile    [2]int   `json:"tile"`
		Overlap int      `json:"overlap"`
		Nets    []string `json:"nets"`
		Mask    bool     `json:"mask"`
	}
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	_, r := readRun(t, name)
	r.TiledDiffusion = request.TiledDiffusion{Method: g.Method, TileHeight: g.Tile[0], TileWidth: g.Tile[1], Overlap: g.Overlap}
	if g.Mask {
		r.MaskImage.Path = filepath.Join(goldens, "input_mask.png")
	}
	for _, n := range g.Nets {
		r.ControlNets = append(r.ControlNets, request.ControlNet{Model: net, Weight: new(0.8), ResizeMode: "stretch",
			Image: request.Picture{Path: filepath.Join(goldens, "input_control_"+n+".png")}})
	}
	return r
}

var tilesRuns = []string{"tiles_multi", "tiles_mixture", "tiles_row", "tiles_control", "tiles_img2img", "tiles_inpaint"}

// TestGoldenTiles compares the UNet on tiles with diffusers' pipelines, whose UNet and ControlNet are asked tile by tile in
// tools/goldens/tiles.py: both halves of guidance in one evaluation, and one after the other.
func TestGoldenTiles(t *testing.T) {
	t.Parallel()
	net := synthNet(t, synth.KindNanoControl, goldenSeeds["one"], modelfile.LayoutOriginal)
	p := openNano(t, backend.PrecisionExact)
	for _, name := range tilesRuns {
		bothHalves(t, p, name, readTilesRun(t, name, net))
	}
}

// TestTilesBatches: a picture does not depend on its batch, and the UNet is asked for each tile.
func TestTilesBatches(t *testing.T) {
	t.Parallel()
	net := synthNet(t, synth.KindNanoControl, goldenSeeds["one"], modelfile.LayoutOriginal)
	p := openNano(t, backend.PrecisionExact)
	for name, tiles := range map[string]int{"tiles_multi": 4 * 2, "tiles_control": 2 * 2, "tiles_inpaint": 3 * 2} {
		r := readTilesRun(t, name, net)
		r.NumInferenceSteps, r.Strength = 3, min(r.Strength, 0.7)
		r.NumImages, r.MaxBatch = 3, 1
		single := generate(t, p, r)
		steps := map[bool]int{true: 2, false: 3}[r.Strength > 0]
		assert.Equal(t, 3*2*steps*tiles, single.Timings.Evaluations, name)
		r.MaxBatch = 3
		out := generate(t, p, r)
		for i, img := range out.Images {
			l2 := relativeL2(t, img.Latents.Data, single.Images[i].Latents.Data)
			assert.Less(t, l2, 1e-4, "%s: picture %d", name, i)
		}
	}
}

// TestOneTile: a pass that is not larger than a tile is the plain pass, bit for bit; so a second pass alone may be by tiles.
func TestOneTile(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	plain := shortRed(t, 4)
	r := plain
	r.TiledDiffusion = request.TiledDiffusion{Method: "mixture"}
	sameLatents(t, generate(t, p, plain).Images[0], generate(t, p, r).Images[0], "a tile as large as the picture")

	plain.Hires = request.Hires{Scale: 2, Strength: 0.5}
	whole := generate(t, p, plain)
	r.Hires = plain.Hires
	tiled := generate(t, p, r)
	assert.Equal(t, 4*2+2*2, whole.Timings.Evaluations)
	assert.Equal(t, 4*2+2*2*9, tiled.Timings.Evaluations, "9 tiles of 128 x 128 in 256 x 256, with an overlap of 32")
	assert.Greater(t, relativeL2(t, tiled.Images[0].Latents.Data, whole.Images[0].Latents.Data), 1e-3)
}

// TestTilesWithOutputs: ways that leave out whole evaluations work on the joined prediction.
func TestTilesWithOutputs(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	r := readTilesRun(t, "tiles_multi", "")
	r.NumImages, r.MaxBatch = 2, 2
	want := generate(t, p, r)
	for name, u := range map[string]request.Reuse{"easycache": {EasyCache: 0.2}, "ucache": {UCache: 1}, "spectrum": {Spectrum: 2}} {
		r.Reuse = u
		out := generate(t, p, r)
		assert.Less(t, out.Timings.Evaluations, want.Timings.Evaluations, name)
		for i, img := range out.Images {
			assert.Less(t, relativeL2(t, img.Latents.Data, want.Images[i].Latents.Data), 0.5, name)
		}
	}
}

// TestTilesPrecisions: F16, BF16 and Q8_0 are within 40 dB of exact.
func TestTilesPrecisions(t *testing.T) {
	t.Parallel()
	exact := openNano(t, backend.PrecisionExact)
	r := readTilesRun(t, "tiles_mixture", "")
	want := generate(t, exact, r).Images[0]
	eachPrecision(t, func(name string, p *Pipeline) {
		db := psnr(t, generate(t, p, r).Images[0].NRGBA, want.NRGBA)
		t.Logf("%s %.1f dB", name, db)
		assert.Greater(t, db, 40.0, name)
	})
}

// TestTilesPlan: the plan's buffers of the UNet are what the library takes, which is those of one tile.
func TestTilesPlan(t *testing.T) {
	r := shortRed(t, 1)
	r.Width, r.Height, r.NumImages = 320, 256, 2
	cfg := Config{Model: NanoModel, Device: "cpu", Threads: 1, Precision: backend.PrecisionF16}
	planned := map[string]int64{}
	for _, method := range []string{"", "mixture"} {
		r.TiledDiffusion.Method = method
		plan, err := Plan(t.Context(), cfg, []request.Request{r})
		require.NoError(t, err)
		p, err := Open(t.Context(), cfg, WithJobs(r))
		require.NoError(t, err)
		var taken int64
		generate(t, p, r, WithProgress(func(at Progress) {
			if at.Stage == StageDenoise && at.Step >= 1 {
				taken = max(taken, p.models.Base.MemoryStats().Compute)
			}
		}))
		require.NoError(t, p.Close())
		planned[method] = plan.Jobs[0].Breakdown.Of(memory.StageDenoise, memory.OwnerModel, memory.UNet, memory.UseCompute)
		assert.InEpsilon(t, taken, planned[method], 0.05, method)
		assert.GreaterOrEqual(t, planned[method], taken, method)
	}
	assert.Less(t, planned["mixture"], planned[""]/3)
}

// TestTilesWithRegions: the same prompt in all regions is the plain picture by tiles, too.
func TestTilesWithRegions(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	plain := readTilesRun(t, "tiles_multi", "")
	plain.NumInferenceSteps = 3
	r := plain
	for _, box := range [][4]float64{{0, 0, 0.5, 1}, {0.5, 0, 1, 1}} {
		r.Regions = append(r.Regions, request.Region{Prompt: plain.Prompt, Box: &box})
	}
	want := generate(t, p, plain).Images[0].Latents.Data
	assert.Less(t, relativeL2(t, generate(t, p, r).Images[0].Latents.Data, want), 1e-4)
	r.Regions[1].Prompt = "a green square on a yellow background"
	assert.Greater(t, relativeL2(t, generate(t, p, r).Images[0].Latents.Data, want), 1e-2)
}

// TestTilesWithT2I: each tile has its own part of a T2I-Adapter's features, and a picture does not depend on its batch.
func TestTilesWithT2I(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	r := readT2IRun(t, "t2i", t2iFiles(t))
	r.NumInferenceSteps, r.NumImages, r.MaxBatch = 3, 2, 2
	r.TiledDiffusion = request.TiledDiffusion{Method: "mixture", TileWidth: 80, TileHeight: 96, Overlap: 32}
	together := generate(t, p, r)
	r.MaxBatch = 1
	for i, img := range generate(t, p, r).Images {
		assert.Less(t, relativeL2(t, together.Images[i].Latents.Data, img.Latents.Data), 1e-4, "picture %d", i)
	}
	r.ControlNets = nil
	assert.Greater(t, relativeL2(t, generate(t, p, r).Images[0].Latents.Data, together.Images[0].Latents.Data), 1e-3)
}
