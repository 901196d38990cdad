//go:build vulkan && !race

// Tests on a Vulkan device, which `make test-vulkan` runs on Mesa's lavapipe. They need the Vulkan variant of libdaguerre.

package pipeline

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/tune"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// vulkanDevice is the device that is tested.
func vulkanDevice() string { return cmp.Or(os.Getenv("DAGUERRE_TEST_DEVICE"), "vulkan:0") }

func vulkanBackend(t *testing.T) *native.Backend {
	t.Helper()
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	require.Contains(t, []string{"vulkan", "cuda"}, b.Library().Variant, "set DAGUERRE_LIBRARY to the Vulkan library")
	return b
}

var vulkanRequest = request.Request{Prompt: "a red circle on a blue background", Seed: 3, NumInferenceSteps: 6, MaxBatch: 2}

func makeOn(t *testing.T, cfg Config, r request.Request) *Result {
	t.Helper()
	result, err := openOn(t, cfg).Generate(t.Context(), r)
	require.NoError(t, err)
	return result
}

// TestVulkanPictures compares pictures with the CPU's, with each way of computing forced.
func TestVulkanPictures(t *testing.T) {
	vulkanBackend(t)
	for _, c := range []struct {
		precision          backend.Precision
		weights            backend.Type
		convolution, flash string
		halves             string
		least              float64 // dB
	}{
		{backend.PrecisionF16, backend.TypeF16, tune.IM2Col, "on", request.GuidanceJoint, 50},
		{backend.PrecisionF16, backend.TypeF16, tune.Direct, "on", request.GuidanceJoint, 50},
		{backend.PrecisionF16, backend.TypeF16, tune.IM2Col, "off", request.GuidanceJoint, 50},
		{backend.PrecisionF16, backend.TypeF16, tune.Direct, "off", request.GuidanceSeparate, 50},
		{backend.PrecisionF16, backend.TypeQ8_0, tune.IM2Col, "on", request.GuidanceJoint, 45},
		{backend.PrecisionF16, backend.TypeQ8_0, tune.Direct, "off", request.GuidanceSeparate, 45},
		{backend.PrecisionExact, "", tune.IM2Col, "off", request.GuidanceJoint, 60},
		{backend.PrecisionExact, "", tune.Direct, "on", request.GuidanceJoint, 60},
	} {
		name := strings.Join([]string{string(c.precision), string(c.weights), c.convolution, "flash " + c.flash, c.halves}, " ")
		t.Run(name, func(t *testing.T) {
			r := vulkanRequest
			r.GuidanceBatch = c.halves
			want := makeOn(t, Config{Device: "cpu", Precision: c.precision, Type: c.weights}, r)
			got := makeOn(t, Config{Device: vulkanDevice(), Precision: c.precision, Type: c.weights, Convolution: c.convolution,
				FlashAttention: c.flash}, r)
			dB := psnr(t, got.Images[0].NRGBA, want.Images[0].NRGBA)
			t.Logf("%.1f dB", dB)
			assert.GreaterOrEqual(t, dB, c.least)
			score, err := checker.Score(got.Images[0], r.Prompt)
			require.NoError(t, err)
			assert.True(t, score.OK(), "%v", score)
		})
	}
}

// TestVulkanWaysAreForced looks whether what is asked for is what the graph has.
func TestVulkanWaysAreForced(t *testing.T) {
	vulkanBackend(t)
	for _, c := range []struct {
		convolution, flash string
		has, hasNot        []string
	}{
		{tune.IM2Col, "off", []string{"IM2COL", "SOFT_MAX"}, []string{"CONV_2D", "FLASH_ATTN_EXT"}},
		{tune.Direct, "off", []string{"CONV_2D", "SOFT_MAX"}, []string{"IM2COL", "FLASH_ATTN_EXT"}},
		{tune.IM2Col, "on", []string{"IM2COL", "FLASH_ATTN_EXT"}, []string{"CONV_2D", "SOFT_MAX"}},
		{tune.Direct, "on", []string{"CONV_2D", "FLASH_ATTN_EXT"}, []string{"IM2COL", "SOFT_MAX"}},
	} {
		p := openOn(t, Config{Device: vulkanDevice(), Precision: backend.PrecisionF16, Convolution: c.convolution, FlashAttention: c.flash})
		nodes := nodesOf(t, p.models.Base.Model, backend.ComputeQuery{Stage: backend.StageUNet, Batch: 2, Height: 8, Width: 8, ContextTokens: 77})
		ops := map[string]int{}
		for _, n := range nodes {
			ops[n.Op] += n.Count
		}
		for _, op := range c.has {
			assert.Positive(t, ops[op], "%s %s: %s in %v", c.convolution, c.flash, op, ops)
		}
		for _, op := range c.hasNot {
			assert.Zero(t, ops[op], "%s %s: %s in %v", c.convolution, c.flash, op, ops)
		}
	}
}

func nodesOf(t *testing.T, m backend.Model, q backend.ComputeQuery) []backend.NodeGroup {
	t.Helper()
	inspected, ok := m.(backend.Inspected)
	require.True(t, ok)
	nodes, err := inspected.Nodes(q)
	require.NoError(t, err)
	return nodes
}

// TestVulkanOpenCloseOpen opens a model again and again (sd.cpp issue 1586), on the device and the CPU in turns.
func TestVulkanOpenCloseOpen(t *testing.T) {
	b := vulkanBackend(t)
	r := vulkanRequest
	r.NumInferenceSteps, r.Width, r.Height = 1, 64, 64
	var first []float32
	live := b.LiveModels()
	for i, device := range []string{vulkanDevice(), vulkanDevice(), "cpu", vulkanDevice()} {
		p, err := Open(t.Context(), Config{Model: NanoModel, Device: device, Precision: backend.PrecisionF16, Threads: 1})
		require.NoError(t, err, i)
		result, err := p.Generate(t.Context(), r)
		require.NoError(t, err, i)
		if device != "cpu" {
			latents := result.Images[0].Latents.Data
			if first == nil {
				first = latents
			}
			assert.Equal(t, first, latents, "the same bits after %d openings", i)
		}
		require.NoError(t, p.Close(), i)
	}
	assert.Equal(t, live, b.LiveModels())
}

// TestVulkanStrategies compares the pictures of all ways to hold weights, adapters' own and tiles among them.
func TestVulkanStrategies(t *testing.T) {
	vulkanBackend(t)
	r := vulkanRequest
	r.NumInferenceSteps, r.Width, r.Height = 1, 64, 64
	var want []float32
	for _, strategy := range []string{"resident", "release", "stage", "stream"} {
		got := makeOn(t, Config{Device: vulkanDevice(), Precision: backend.PrecisionF16, Memory: request.Memory{Strategy: strategy}}, r)
		if want == nil {
			want = got.Images[0].Latents.Data
		}
		assert.Equal(t, want, got.Images[0].Latents.Data, "%s", strategy)
	}
}

// TestVulkanTwoDevices computes components on different devices.
func TestVulkanTwoDevices(t *testing.T) {
	vulkanBackend(t)
	r := vulkanRequest
	r.NumInferenceSteps, r.Width, r.Height = 1, 64, 64
	want := makeOn(t, Config{Device: "cpu", Precision: backend.PrecisionF16}, r)
	for _, c := range []Config{{Device: "cpu", VAEDevice: vulkanDevice()}, {Device: vulkanDevice(), VAEDevice: "cpu", TextDevice: "cpu"},
		{Device: "cpu", TextDevice: vulkanDevice()}} {
		c.Precision = backend.PrecisionF16
		p := openOn(t, c)
		for _, component := range p.Info().Components {
			want := c.Device
			switch {
			case strings.HasPrefix(component.Name, "vae"):
				want = cmp.Or(c.VAEDevice, c.Device)
			case strings.HasPrefix(component.Name, "text"):
				want = cmp.Or(c.TextDevice, c.Device)
			}
			if component.Opened {
				assert.Equal(t, want, component.Device, component.Name)
			}
		}
		got, err := p.Generate(t.Context(), r)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, psnr(t, got.Images[0].NRGBA, want.Images[0].NRGBA), 50.0)
		peaks := got.Memory.Peaks
		assert.Positive(t, peaks["cpu"])
		assert.Positive(t, peaks[vulkanDevice()])
	}
}

// fullSize opens SDXL base from headers alone on the device.
func fullSize(t *testing.T, typ backend.Type, convolution, flash string) backend.Model {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sdxl.safetensors")
	require.NoError(t, synth.WriteHollow(path, synth.Options{Kind: synth.KindSDXLBase}))
	m, err := vulkanBackend(t).Open(t.Context(), backend.ModelConfig{Files: backend.Files{Model: path}, Device: vulkanDevice(),
		Precision: backend.PrecisionF16, UNetType: typ, Convolution: convolution, FlashAttention: flash,
		TextResidency: backend.ResidencyOnDemand, UNetResidency: backend.ResidencyOnDemand, VAEResidency: backend.ResidencyOnDemand})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// TestVulkanFullSizeGraphs asks the device about every node of SDXL's graphs at full size. Nothing is allocated. lavapipe computes with
// tensors of 128 MiB at most: above 256 px the nodes beyond that are the only ones left out. GPUs' drivers allow 4 GiB, where all are in.
func TestVulkanFullSizeGraphs(t *testing.T) {
	b := vulkanBackend(t)
	devices, err := b.Devices(t.Context())
	require.NoError(t, err)
	limit := devices[0].MaxTensorBytes
	require.Positive(t, limit)
	for _, typ := range []backend.Type{backend.TypeF16, backend.TypeQ8_0, backend.TypeQ4_K} {
		for _, convolution := range []string{tune.IM2Col, tune.Direct} {
			for _, flash := range []string{"on", "off"} {
				m := fullSize(t, typ, convolution, flash)
				for _, side := range []int{32, 64, 128} {
					nodes := nodesOf(t, m, backend.ComputeQuery{Stage: backend.StageUNet, Batch: 2, Height: side, Width: side, ContextTokens: 77})
					count := 0
					for _, n := range nodes {
						count += n.Count
						if n.Supported {
							assert.NoError(t, onCUDA(n), "%v", n)
							continue
						}
						assert.Greater(t, n.LargestBytes, limit, "%s %s: no kernel for %v", typ, convolution, n)
						assert.Less(t, n.LargestBytes, int64(1)<<32, "%v", n)
						assert.NotEqual(t, 32, side, "%v", n)
					}
					assert.Greater(t, count, 1500, "a full-size graph")
				}
				for _, q := range []backend.ComputeQuery{{Stage: backend.StageText, Batch: 1}, {Stage: backend.StageText2, Batch: 1},
					{Stage: backend.StageVAEDecode, Batch: 1, Height: 32, Width: 32}, {Stage: backend.StageVAEEncode, Batch: 1, Height: 256, Width: 256}} {
					for _, n := range nodesOf(t, m, q) {
						assert.True(t, n.Supported || n.LargestBytes > limit, "stage %v: %v", q.Stage, n)
						assert.NoError(t, onCUDA(n), "%v", n)
					}
				}
			}
		}
	}
}

// cudaOps are the operations of our graphs that CUDA's backend takes, with what it asks of their operands: "" nothing, "rows" F32 rows
// without gaps, "whole" no gaps in the first source, "both" no gaps in two. They are read off ggml_backend_cuda_device_supports_op of
// ggml 0.26: without a driver its backend lists no device that could be asked. tools/gpu-check asks a real one.
var cudaOps = map[string]string{
	"MUL_MAT": "", "GET_ROWS": "", "CPY": "", "CONT": "", "REPEAT": "", "CONCAT": "", "NORM": "rows", "SQR": "", "SCALE": "", "ADD": "",
	"SUB": "", "MUL": "", "SOFT_MAX": "", "IM2COL": "both", "CONV_2D": "both", "MEAN": "rows", "GROUP_NORM": "whole", "PAD": "", "UPSCALE": "",
	"LEAKY_RELU": "", "SILU": "whole", "GELU": "whole", "GELU_ERF": "whole", "SIGMOID": "whole", "RELU": "whole", "TANH": "whole",
	"GEGLU": "whole", "GEGLU_ERF": "whole", "FLASH_ATTN_EXT": "", "RESHAPE": "", "VIEW": "", "PERMUTE": "", "TRANSPOSE": "", "CLAMP": "",
}

// onCUDA is an error where CUDA's backend would have no kernel for nodes.
func onCUDA(n backend.NodeGroup) error {
	asks, known := cudaOps[n.Op]
	operands := strings.Fields(n.Operands)
	switch {
	case !known:
		return fmt.Errorf("CUDA's backend has no %s", n.Op)
	case asks == "whole" && strings.HasSuffix(operands[0], "~"), asks == "both" && strings.Contains(strings.Join(operands[:2], ""), "~"):
		return fmt.Errorf("CUDA's %s wants operands without gaps: %s", n.Op, n.Operands)
	case n.Op == "MUL_MAT" && operands[1] == "f16" && operands[0] != "f16":
		return fmt.Errorf("CUDA multiplies F16 by F16 only: %s", n.Operands)
	case n.Op == "CONV_2D" && operands[0] != "f16" && operands[0] != "f32":
		return fmt.Errorf("CUDA's CONV_2D is for F16 and F32: %s", n.Operands)
	case n.Op == "GET_ROWS" && strings.Contains(operands[0], "_k"):
		return fmt.Errorf("CUDA has no GET_ROWS of K types: %s", n.Operands)
	}
	return nil
}

// TestVulkanCopies counts what passes between host and device in an evaluation: its inputs and its output, and nothing else.
func TestVulkanCopies(t *testing.T) {
	vulkanBackend(t)
	p := openOn(t, Config{Device: vulkanDevice(), Precision: backend.PrecisionF16})
	m, ok := p.models.Base.Model.(backend.Inspected)
	require.True(t, ok)
	u := p.Info().UNet
	in := backend.UNetInput{Sample: backend.NewTensor(2, u.InChannels, 8, 8), Timesteps: []float32{500, 500},
		Context: backend.NewTensor(2, 77, u.ContextDim), Pooled: backend.NewTensor(2, u.PooledDim), SizeIDs: backend.NewTensor(2, u.SizeIDs)}
	out := make([]float32, 2*u.OutChannels*64)
	before, err := m.Transfers()
	require.NoError(t, err)
	require.NoError(t, p.models.Base.UNet(t.Context(), in, out))
	after, err := m.Transfers()
	require.NoError(t, err)
	assert.EqualValues(t, 1, after.Runs-before.Runs)
	assert.EqualValues(t, 5, after.Uploads-before.Uploads, "sample, time, texts, their order, label")
	assert.EqualValues(t, 1, after.Downloads-before.Downloads)
	assert.EqualValues(t, 4*len(out), after.DownloadBytes-before.DownloadBytes)
	assert.Positive(t, after.PinnedBytes, "the copies pass through memory that the device reads directly")
}

// TestVulkanControlCopies is TestControlCopies on the device.
func TestVulkanControlCopies(t *testing.T) {
	vulkanBackend(t)
	controlCopies(t, vulkanDevice())
}

// TestVulkanOffload gives the device less memory than all components take in any way, and the run goes on with parts on the CPU.
func TestVulkanOffload(t *testing.T) {
	vulkanBackend(t)
	r := vulkanRequest
	r.NumInferenceSteps, r.Width, r.Height = 1, 64, 64
	cfg := Config{Model: NanoModel, Device: vulkanDevice(), Precision: backend.PrecisionF16}
	all, err := Plan(t.Context(), cfg, []request.Request{r})
	require.NoError(t, err)
	whole, _ := all.Peak(vulkanDevice())
	for share := int64(95); share > 0; share -= 5 { // the first limit that the components together do not fit in
		cfg.Memory.MemoryLimit = fmt.Sprint(whole * share / 100)
		if _, err = Plan(t.Context(), cfg, []request.Request{r}); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, ErrOverBudget)
	cfg.Threads = 1
	p, err := Open(t.Context(), cfg, WithJobs(r))
	require.NoError(t, err)
	defer p.Close()
	got, err := p.Generate(t.Context(), r)
	require.NoError(t, err)
	require.NotEmpty(t, got.Warnings)
	assert.Contains(t, strings.Join(got.Warnings, "\n"), "computed on the CPU: model.memory")
	want := makeOn(t, Config{Device: "cpu", Precision: backend.PrecisionF16}, r)
	assert.GreaterOrEqual(t, psnr(t, got.Images[0].NRGBA, want.Images[0].NRGBA), 50.0)
}
