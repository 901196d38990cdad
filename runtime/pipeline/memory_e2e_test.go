//go:build !race

package pipeline

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// twoPictures is a quick job of two pictures.
func twoPictures() request.Request {
	return request.Request{Prompt: "a red circle on a blue background", Seed: 3, NumImages: 2, NumInferenceSteps: 2, Width: 128, Height: 128}
}

func openWith(t *testing.T, m request.Memory) *Pipeline {
	t.Helper()
	p, err := Open(t.Context(), Config{Model: NanoModel, Device: "cpu", Precision: backend.PrecisionF16, Memory: m})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// TestStrategiesMakeTheSamePictures runs every strategy on the nano model: pixels are equal, and what the strategy does not hold is gone.
func TestStrategiesMakeTheSamePictures(t *testing.T) {
	all := []string{memory.TextEncoder, memory.TextEncoder2, memory.UNet, memory.VAEEncoder, memory.VAEDecoder}
	var want *Result
	for _, c := range []struct {
		strategy    string
		open, after []string // components in memory after Open and after Generate
	}{
		{memory.Resident, all, all},
		{memory.Release, []string{memory.UNet}, []string{memory.UNet}},
		{memory.Stage, nil, nil},
		{memory.Stream, nil, nil},
		{memory.Mmap, nil, nil},
	} {
		t.Run(c.strategy, func(t *testing.T) {
			p := openWith(t, request.Memory{Strategy: c.strategy})
			assert.Equal(t, c.open, loaded(p))
			got, err := p.Generate(t.Context(), twoPictures())
			require.NoError(t, err)
			assert.Equal(t, c.after, loaded(p))
			assert.Equal(t, c.strategy, got.Memory.Strategy.Name)
			assert.NotEmpty(t, got.Memory.Reason)
			assert.Positive(t, got.Memory.Peaks[memory.HostID])
			if want == nil {
				want = got
			}
			for i := range want.Images {
				assert.Equal(t, want.Images[i].Pix, got.Images[i].Pix, "picture %d", i)
			}
			said := got.Manifest(got.Images[0]).Memory
			assert.Equal(t, c.strategy == memory.Resident, said == "", "the manifest says %q", said)
		})
	}
}

func TestResidentIsWhatAmpleMemoryGives(t *testing.T) {
	p := openWith(t, request.Memory{})
	assert.Len(t, loaded(p), 5, "all weights are there when Open returns")
	got, err := p.Generate(t.Context(), twoPictures())
	require.NoError(t, err)
	assert.Equal(t, memory.Strategy{Name: memory.Resident}, got.Memory.Strategy)
	assert.Equal(t, 2, got.Memory.Batch)
	assert.Empty(t, got.Manifest(got.Images[0]).Memory)
}

// TestOverBudgetIsRefusedBeforeLoading: the error says the smallest limit, and with that limit the run is done.
func TestOverBudgetIsRefusedBeforeLoading(t *testing.T) {
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	before := b.LiveModels()
	cfg := Config{Model: NanoModel, Device: "cpu", Precision: backend.PrecisionF16, Memory: request.Memory{MemoryLimit: "20MiB"}}
	_, err = Open(t.Context(), cfg, WithBackend(b), WithJobs(twoPictures()))
	require.ErrorIs(t, err, memory.ErrOverBudget)
	require.Equal(t, before, b.LiveModels(), "nothing stays open")
	var over *memory.OverBudgetError
	require.ErrorAs(t, err, &over)
	assert.Contains(t, err.Error(), "memory_limit = ")

	plan, err := Plan(t.Context(), cfg, []request.Request{twoPictures()}, WithBackend(b))
	require.ErrorIs(t, err, memory.ErrOverBudget)
	assert.Len(t, plan.Parts, 5)

	// The test's own heap may have grown since, which counts: a little more than the smallest.
	cfg.Memory.MemoryLimit = sizeText(over.Smallest + 24<<20)
	p, err := Open(t.Context(), cfg, WithBackend(b), WithJobs(twoPictures()))
	require.NoError(t, err)
	got, err := p.Generate(t.Context(), twoPictures())
	require.NoError(t, err)
	assert.Len(t, got.Images, 2)
	require.NoError(t, p.Close())
}

func sizeText(n int64) string { return (&memory.OverBudgetError{Smallest: n}).Advice() }

// TestPlanIsWhatTheLibraryTakes compares the plan's parts and buffers with what the open model holds.
func TestPlanIsWhatTheLibraryTakes(t *testing.T) {
	cfg := Config{Model: NanoModel, Device: "cpu", Precision: backend.PrecisionF16, Type: backend.TypeQ8_0}
	job := twoPictures()
	plan, err := Plan(t.Context(), cfg, []request.Request{job})
	require.NoError(t, err)
	require.True(t, plan.Measured)
	p, err := Open(t.Context(), cfg, WithJobs(job))
	require.NoError(t, err)
	defer p.Close()
	stats := p.MemoryStats()[0]
	require.Len(t, plan.Parts, len(stats.Components))
	for i, c := range stats.Components {
		assert.Equal(t, c.Name, plan.Parts[i].Component)
		assert.Equal(t, c.Weights, plan.Parts[i].Bytes, "%s: the buffer, alignment included", c.Name)
	}
	_, err = p.Generate(t.Context(), job)
	require.NoError(t, err)
	peak := int64(0)
	for _, s := range plan.Jobs[0].Breakdown.Stages {
		for _, item := range s.Items {
			if item.Use == memory.UseCompute {
				peak = max(peak, item.Bytes)
			}
		}
	}
	assert.Equal(t, p.MemoryStats()[0].ComputePeak, peak, "compute buffers are exact")
}

// TestPlanOfAdapters compares what is planned for adapters with what the open model holds of them.
func TestPlanOfAdapters(t *testing.T) {
	for _, c := range []struct {
		precision backend.Precision
		files     []string
	}{
		{backend.PrecisionExact, []string{"../../models/nano/nano-lora-outline.safetensors"}},
		{backend.PrecisionF16, []string{"../../models/nano/nano-lora-outline.safetensors", "../../models/nano/nano-lora-stripes.safetensors"}},
		{backend.PrecisionF16, []string{"../../testdata/goldens/lora_dora.safetensors", "../../testdata/goldens/lora_lokr.safetensors"}},
		{backend.PrecisionF16, []string{"../../testdata/goldens/algo_oft_rescaled.safetensors", "../../testdata/goldens/algo_glora.safetensors"}},
		{backend.PrecisionExact, []string{"../../testdata/goldens/algo_boft.safetensors", "../../testdata/goldens/algo_peft_boft.safetensors"}},
	} {
		cfg, job := Config{Model: NanoModel, Device: "cpu", Precision: c.precision}, twoPictures()
		for _, file := range c.files {
			job.LoRAs = append(job.LoRAs, lora.Adapter{Path: file})
		}
		plan, err := Plan(t.Context(), cfg, []request.Request{job})
		require.NoError(t, err)
		p, err := Open(t.Context(), cfg, WithJobs(job))
		require.NoError(t, err)
		_, err = p.Generate(t.Context(), job)
		require.NoError(t, err)
		held := p.MemoryStats()[0].Adapters
		require.NoError(t, p.Close())
		planned := plan.Sizes[0].Adapters
		assert.InDelta(t, held, planned.Kept+planned.Applied, 2<<10, "%v: exact but for zeros in place of biases", c.files)
	}
}

// TestRunJobsShareBatches: a plan of several jobs has room for what a Batcher puts together.
func TestRunJobsShareBatches(t *testing.T) {
	alone, other := twoPictures(), twoPictures()
	other.Width *= 2
	with, like := twoPictures(), twoPictures()
	with.Prompt = "something else"
	plan, err := Plan(t.Context(), Config{Model: NanoModel, Device: "cpu"}, []request.Request{alone, with, other, like})
	require.NoError(t, err)
	var shared, earlier []int
	for i, j := range plan.Sizes {
		shared, earlier = append(shared, j.Shared), append(earlier, j.Earlier)
		assert.Equal(t, 3, j.Jobs)
		assert.Equal(t, 2, plan.Jobs[i].Batch, "of its own")
	}
	assert.Equal(t, []int{4, 4, 0, 4}, shared)
	assert.Equal(t, []int{0, 2, 4, 6}, earlier)
	unet := func(p MemoryPlan) int64 {
		return p.Jobs[0].Breakdown.Of(memory.StageDenoise, memory.OwnerModel, memory.UNet, memory.UseCompute)
	}
	single, err := Plan(t.Context(), Config{Model: NanoModel, Device: "cpu"}, []request.Request{alone})
	require.NoError(t, err)
	assert.Greater(t, unet(plan), 2*unet(single), "six pictures, not two")
}

// TestPlanOfAFullSizeModelReadsHeadersOnly plans for a file of 7 GB that is a hole.
func TestPlanOfAFullSizeModelReadsHeadersOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sdxl.safetensors")
	require.NoError(t, synth.WriteHollow(path, synth.Options{Kind: synth.KindSDXLBase}))
	cfg := Config{Model: path, Device: "cpu", Precision: backend.PrecisionF16, Memory: request.Memory{MemoryLimit: "5GiB"}}
	job := request.Request{Prompt: "x", Width: 1024, Height: 1024, NumImages: 4}
	plan, err := Plan(t.Context(), cfg, []request.Request{job})
	if err != nil { // other programs of this machine leave less
		require.ErrorIs(t, err, memory.ErrOverBudget)
		return
	}
	assert.NotEqual(t, memory.Resident, plan.Strategy.Name, "6.5 GiB of weights do not fit into 5")
	exact := map[string]int64{}
	for _, s := range plan.Jobs[0].Breakdown.Stages {
		for _, i := range s.Items {
			if i.Use == memory.UseCompute {
				exact[s.Name] = i.Bytes
			}
		}
	}
	assert.Positive(t, exact[memory.StageDenoise])

	log := slog.New(slog.DiscardHandler)
	opening, err := readConfig(t.Context(), cfg, false, log)
	require.NoError(t, err)
	fitted, err := opening.planner(t.Context(), nil, log)
	require.NoError(t, err)
	got, err := opening.report(t.Context(), fitted, []request.Request{job})
	require.NoError(t, err)
	assert.False(t, got.Measured)
	assert.Equal(t, plan.Strategy, got.Strategy, "formulas come to the same decision")
	for i, p := range plan.Parts {
		p.Device, p.Type = got.Parts[i].Device, got.Parts[i].Type
		assert.Equal(t, got.Parts[i], p)
	}
	for _, s := range got.Jobs[0].Breakdown.Stages {
		for _, i := range s.Items {
			if i.Use == memory.UseCompute && s.Name != memory.StageText {
				assert.InEpsilon(t, exact[s.Name], i.Bytes, memory.FitError, "%s", s.Name)
			}
		}
	}
}

func TestNanoPathOfPlans(t *testing.T) {
	path, err := nano.Path(t.Context())
	require.NoError(t, err)
	plan, err := Plan(t.Context(), Config{Model: path, Device: "cpu"}, nil)
	require.NoError(t, err)
	require.Len(t, plan.Jobs, 1, "without jobs one picture of the model's own size is planned")
	assert.Equal(t, 128, plan.Sizes[0].Width)
}
