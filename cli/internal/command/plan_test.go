package command

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// planned plans jobs of pictures of 512 px for a model of one GiB.
func planned(cfg pipeline.Config, jobs []request.Request) (pipeline.MemoryPlan, error) {
	limit, err := request.ParseAmount(cfg.Memory.MemoryLimit)
	if err != nil {
		return pipeline.MemoryPlan{}, err
	}
	out := pipeline.MemoryPlan{Device: "cpu", Measured: true, Parts: []memory.Part{
		{Component: memory.TextEncoder, Device: "cpu", Type: backend.TypeF16, Bytes: 256 << 20, Streamed: 100 << 20, Largest: 1 << 20},
		{Component: memory.UNet, Device: "cpu", Type: backend.TypeQ8_0, Bytes: 640 << 20, Streamed: 100 << 20, Largest: 1 << 20},
		{Component: memory.VAEDecoder, Device: "cpu", Type: backend.TypeF16, Bytes: 128 << 20, Streamed: 100 << 20, Largest: 1 << 20}}}
	for _, j := range jobs {
		out.Sizes = append(out.Sizes, memory.Job{Width: 512, Height: 512, Images: max(j.NumImages, 1), Guidance: true})
	}
	model := memory.Model{Parts: out.Parts, Shapes: map[string]memory.Shape{"": {Downscale: 8}}}
	out.Plan, err = memory.Choose(memory.Problem{Model: model, Jobs: out.Sizes, Budgets: []memory.Budget{{Device: "cpu",
		Bytes: limit.Of(1 << 30), Why: memory.WhyLimit}},
		Force: memory.Force{Strategy: cfg.Memory.Strategy}, Compute: func(q memory.Query) (int64, error) {
			return int64(q.Batch) * 50 << 20,
				nil
		}})
	return out, err
}

func TestPlanPrintsWhatIsTakenAndDecided(t *testing.T) {
	b := newBench(t)
	b.plan = planned
	require.Equal(t, ExitOK, b.run("plan", "--model", "m.safetensors", "--prompt", "x", "--memory-limit", "3GiB"), b.stderr)
	for _, part := range []string{"m\n", "text_encoder", "unet", "q8_0", "640 MiB", "resident", "together", "1.00 GiB", "JOB 1",
		"512x512, 1 image, batches of 1",
		"denoise", "decode", "peak", "of 3.00 GiB (memory_limit)", "all weights resident: the peak of"} {
		assert.Contains(t, b.stdout, part)
	}
	require.Equal(t, ExitOK, b.run("plan", "--model", "m.safetensors", "--prompt", "x", "-n", "8", "--memory-limit", "1150MiB",
		"--memory-strategy", "stage"), b.stderr)
	for _, part := range []string{"released after encoding", "while it is used", "8 images, batches of 4 (5 would need",
		"one component in memory at a time"} {
		assert.Contains(t, b.stdout, part)
	}
}

// TestPlanOfSeveralDevices plans for the first, and says that each of the others needs as much.
func TestPlanOfSeveralDevices(t *testing.T) {
	b := newBench(t)
	var device string
	b.plan = func(cfg pipeline.Config, jobs []request.Request) (pipeline.MemoryPlan, error) {
		device = cfg.Device
		return planned(cfg, jobs)
	}
	require.Equal(t, ExitOK, b.run("plan", "--model", "m.safetensors", "--prompt", "x", "--memory-limit", "3GiB", "--device",
		"cuda:1,cuda:3"), b.stderr)
	assert.Equal(t, "cuda:1", device)
	assert.Contains(t, b.stderr, "each of cuda:1,cuda:3 needs as much")
}

func TestPlanSpeaksJSONAndRefusesWhatCannotFit(t *testing.T) {
	b := newBench(t)
	b.plan = planned
	require.Equal(t, ExitOutOfMemory, b.run("plan", "--model", "m.safetensors", "--prompt", "x", "--memory-limit", "100MiB", "--json"))
	var got planJSON
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &got))
	assert.False(t, got.Fits)
	assert.Greater(t, got.Smallest, int64(200<<20))
	assert.Contains(t, got.Error, "memory_limit")
	assert.Contains(t, b.stderr, "not enough memory")

	require.Equal(t, ExitOK, b.run("plan", "--model", "m.safetensors", "--prompt", "x", "--memory-limit", "2GiB", "--json"), b.stderr)
	got = planJSON{}
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &got))
	assert.True(t, got.Fits)
	assert.Equal(t, memory.Resident, got.Strategy.Name)
	assert.Len(t, got.Parts, 3)
	require.Len(t, got.Peaks, 1)
	assert.Greater(t, got.Peaks[0].Bytes, int64(1<<30))
	assert.NotEmpty(t, got.Jobs[0].Breakdown.Stages)

	require.Equal(t, ExitUsage, b.run("plan", "--model", "m.safetensors", "--memory-limit", "much"))
	require.Equal(t, ExitUsage, b.run("plan", "--model", "m.safetensors", "--memory-strategy", "magic"))
}
