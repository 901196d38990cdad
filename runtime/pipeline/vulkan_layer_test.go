//go:build vulkan && !race

package pipeline

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/internal/vulkanlayer"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// layeredEnv is set in a process that runs a test with the layer of internal/vulkanlayer.
const layeredEnv = "DAGUERRE_TEST_LAYERED"

// withLayer runs this test again in a process of its own whose Vulkan has the layer, and returns what the layer counted. The second
// result is false in that process: there the test does its work.
func withLayer(t *testing.T, o vulkanlayer.Options) (counts vulkanlayer.Counts, parent bool) {
	t.Helper()
	if os.Getenv(layeredEnv) != "" {
		return counts, false
	}
	dir := t.TempDir()
	layer, err := vulkanlayer.Build(t.Context(), dir)
	require.NoError(t, err)
	o.Counts = filepath.Join(dir, "counts")
	env, err := layer.Env(o)
	require.NoError(t, err)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v")
	child.Env = append(append(os.Environ(), env...), layeredEnv+"=1")
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
	counts, err = vulkanlayer.ReadCounts(o.Counts)
	require.NoError(t, err)
	t.Logf("%+v", counts)
	return counts, true
}

// oneStep is a picture that lavapipe makes in a few seconds.
func oneStep() request.Request {
	r := vulkanRequest
	r.NumInferenceSteps, r.Width, r.Height = 1, 64, 64
	return r
}

// asOnCPU makes the small picture on the device and on the CPU.
func asOnCPU(t *testing.T, cfg Config) *Result {
	t.Helper()
	want := makeOn(t, Config{Device: "cpu", Precision: cfg.Precision, Type: cfg.Type}, oneStep())
	cfg.Device = vulkanDevice()
	got := makeOn(t, cfg, oneStep())
	assert.GreaterOrEqual(t, psnr(t, got.Images[0].NRGBA, want.Images[0].NRGBA), 50.0)
	return got
}

// TestVulkanPlanIsTaken compares plans of the device's memory with what the driver was asked for.
func TestVulkanPlanIsTaken(t *testing.T) {
	for name, cfg := range map[string]Config{
		"F16":    {Precision: backend.PrecisionF16},
		"Q8_0":   {Precision: backend.PrecisionF16, Type: backend.TypeQ8_0},
		"exact":  {Precision: backend.PrecisionExact},
		"direct": {Precision: backend.PrecisionF16, Convolution: "direct", FlashAttention: "off"},
		"stage":  {Precision: backend.PrecisionF16, Memory: request.Memory{Strategy: "stage"}},
		"stream": {Precision: backend.PrecisionF16, Memory: request.Memory{Strategy: "stream"}},
	} {
		t.Run(name, func(t *testing.T) {
			vulkanBackend(t)
			cfg.Device, cfg.Model = vulkanDevice(), NanoModel
			counts, parent := withLayer(t, vulkanlayer.Options{Discrete: true})
			if !parent {
				makeOn(t, cfg, oneStep())
				return
			}
			plan, err := Plan(t.Context(), cfg, []request.Request{oneStep()})
			require.NoError(t, err)
			planned, _ := plan.Peak(vulkanDevice())
			t.Logf("planned %d, taken %d: %+.1f %%", planned, counts.Peak, 100*(float64(planned)/float64(counts.Peak)-1))
			assert.InEpsilon(t, float64(counts.Peak), float64(planned), 0.05)
		})
	}
}

// TestVulkanAllocationLimit: on a driver that allows 8 MiB at a time (4 GiB is common, for models of more), weights and compute buffers are
// divided, nothing is refused, and the picture is the same.
func TestVulkanAllocationLimit(t *testing.T) {
	const limit = 8 << 20
	b := vulkanBackend(t)
	counts, parent := withLayer(t, vulkanlayer.Options{MaxAllocation: limit, MaxTensor: limit})
	if !parent {
		devices, err := b.Devices(t.Context())
		require.NoError(t, err)
		assert.Equal(t, []int64{limit, limit}, []int64{devices[0].MaxBufferBytes, devices[0].MaxTensorBytes})
		asOnCPU(t, Config{Precision: backend.PrecisionF16})
		return
	}
	assert.LessOrEqual(t, counts.Largest, uint64(limit))
	assert.Greater(t, counts.Peak, uint64(3*limit))
	assert.Zero(t, counts.Refused)
}

// TestVulkanTensorLimit: no driver divides a tensor. Where a picture's VAE has one beyond what the driver reaches, it goes by tiles that
// have none. If tiles are forbidden, the error names the limit, before anything is computed.
func TestVulkanTensorLimit(t *testing.T) {
	vulkanBackend(t)
	query := func(stage backend.Stage, cells int) backend.ComputeQuery {
		return backend.ComputeQuery{Stage: stage, Batch: 1, Height: cells, Width: cells}
	}
	m := openOn(t, Config{Device: vulkanDevice(), Precision: backend.PrecisionF16}).models.Base.Model
	var limit int64
	for _, n := range nodesOf(t, m, query(backend.StageVAEDecode, 32)) {
		limit = max(limit, n.LargestBytes)
	}
	if _, parent := withLayer(t, vulkanlayer.Options{MaxTensor: limit}); parent {
		plan, err := vae.Policy{}.PlanDecode(m, 1, 48, 48)
		require.NoError(t, err)
		assert.Equal(t, 1, plan.Tiles, "without the limit")
		return
	}
	plan, err := vae.Policy{}.PlanDecode(m, 1, 48, 48)
	require.NoError(t, err)
	require.Equal(t, 4, plan.Tiles)
	side, _ := plan.TileSize()
	for _, q := range []backend.ComputeQuery{query(backend.StageVAEDecodeMiddle, 48), query(backend.StageVAEDecodeLevels, side)} {
		for _, n := range nodesOf(t, m, q) {
			assert.True(t, n.Supported, "%v: %v", q, n)
		}
	}
	_, _, err = vae.Policy{Tiling: vae.Off}.Decode(t.Context(), m, backend.NewTensor(1, m.Info().VAE.LatentChannels, 48, 48))
	require.ErrorIs(t, err, backend.ErrOutOfMemory)
	assert.ErrorContains(t, err, fmt.Sprintf("computes with %.1f MiB at most; smaller pictures", float64(limit)/(1<<20)))
}

// TestVulkanSmallMemory: on a device whose memory is too small for all components, the plan finds a way that never asks for more than it
// has. The driver would refuse that, and does not have to.
func TestVulkanSmallMemory(t *testing.T) {
	const heap = 52 << 20
	vulkanBackend(t)
	counts, parent := withLayer(t, vulkanlayer.Options{Heap: heap, Discrete: true})
	if !parent {
		got := asOnCPU(t, Config{Precision: backend.PrecisionF16})
		t.Log(got.Memory.Strategy, got.Warnings)
		assert.NotEqual(t, "resident", got.Memory.Strategy)
		return
	}
	assert.Zero(t, counts.Refused)
	assert.LessOrEqual(t, counts.Peak, uint64(heap))
}

// TestVulkanDiscrete plays a card with memory of its own, which lavapipe has not: weights, inputs and outputs pass through copies that
// the device makes.
func TestVulkanDiscrete(t *testing.T) {
	vulkanBackend(t)
	if _, parent := withLayer(t, vulkanlayer.Options{Discrete: true}); !parent {
		for _, strategy := range []string{"resident", "stream"} {
			asOnCPU(t, Config{Precision: backend.PrecisionF16, Memory: request.Memory{Strategy: strategy}})
		}
	}
}

// TestVulkanLost loses the device at many points of a run: while weights are copied, and in each network. The error says so, also to the
// requests that follow, and everything is closed without a crash.
func TestVulkanLost(t *testing.T) {
	for _, c := range []struct {
		name     string
		after    int
		discrete bool
	}{
		{"first copy", 1, true}, {"weights", 60, true}, {"more weights", 1000, true}, {"UNet of a card", 3000, true},
		{"first graph", 1, false}, {"text", 40, false}, {"UNet", 2000, false}, {"VAE", 4100, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			vulkanBackend(t)
			counts, parent := withLayer(t, vulkanlayer.Options{LoseAfter: c.after, Discrete: c.discrete})
			if parent {
				assert.Greater(t, counts.Submits, uint64(c.after))
				return
			}
			p, err := Open(t.Context(), Config{Model: NanoModel, Device: vulkanDevice(), Precision: backend.PrecisionF16, Threads: 2})
			for range 2 {
				if err == nil {
					_, err = p.Generate(t.Context(), oneStep())
				}
				require.ErrorContains(t, err, "was lost")
				require.ErrorIs(t, err, backend.ErrDeviceLost)
				if p == nil {
					break
				}
				err = nil
			}
			if p != nil {
				require.NoError(t, p.Close())
			}
		})
	}
}
