package memory

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

const mib = int64(1) << 20

// sdxl is a model of about SDXL's sizes at F16, on one device.
func sdxl(device string) Model {
	part := func(component string, size int64) Part {
		return Part{Component: component, Device: device, Bytes: size * mib, Streamed: size * mib, Largest: 26 * mib}
	}
	return Model{Threads: 2, Process: 60 * mib, Parts: []Part{part(TextEncoder, 235), part(TextEncoder2, 1325), part(UNet, 4900),
		part(VAEEncoder, 65), part(VAEDecoder, 95)},
		Shapes: map[string]Shape{OwnerModel: {Channels: []int{320, 640, 1280}, Resnets: []int{2, 2, 2}, Depth: []int{0, 2, 10}, Downscale: 8,
			ContextDim: 2048, Latents: 4}}}
}

// sdxlCompute is about what SDXL's graphs take.
func sdxlCompute(q Query) (int64, error) {
	cells := int64(q.Height) * int64(q.Width)
	switch q.Stage {
	case backend.StageUNet, backend.StageControl:
		n := int64(q.Batch) * cells * 20 << 10
		if q.AttentionSlicing {
			n = n * 2 / 3
		}
		return n, nil
	case backend.StageVAEEncode, backend.StageVAEDecode:
		if q.Tiled {
			return 700 * mib, nil
		}
		return cells * 200 << 10, nil
	}
	return 10 * mib, nil
}

func square(side, images int) Job {
	return Job{Width: side, Height: side, Images: images, Guidance: true}
}

func TestChooseFromFastestToSmallest(t *testing.T) {
	for _, c := range []struct {
		budget int64 // MiB
		job    Job
		want   string // strategy
		batch  int
	}{
		{20000, square(1024, 1), "all weights resident", 1},
		{20000, square(1024, 4), "all weights resident", 4},
		{9300, square(1024, 1), "text encoders and VAE released after use", 1},
		{8000, square(1024, 1), "all weights resident, VAE by tiles", 1},
		{7000, square(1024, 1), "text encoders and VAE released after use, VAE by tiles", 1},
		{5600, square(512, 8), "one component in memory at a time", 2},
		{8000, square(512, 4), "all weights resident", 4},
		{7600, square(512, 8), "text encoders and VAE released after use", 8},
		{6600, square(512, 8), "one component in memory at a time", 8},
		{5750, square(1024, 1), "one component in memory at a time, halves of guidance one after the other", 1},
		{3000, square(1024, 1), "UNet streamed layer by layer, VAE by tiles", 1},
		{2000, square(1024, 1), "UNet streamed layer by layer, VAE by tiles", 1},
		{1800, square(256, 1), "UNet streamed layer by layer", 1},
		{1500, square(256, 1), "UNet and text encoders streamed layer by layer", 1},
		{1100, square(1024, 1), "UNet and text encoders streamed layer by layer, VAE by tiles", 1},
	} {
		t.Run(fmt.Sprintf("%d MiB, %d px, %d", c.budget, c.job.Width, c.job.Images), func(t *testing.T) {
			plan, err := Choose(Problem{Model: sdxl("cpu"), Jobs: []Job{c.job}, Budgets: []Budget{{"cpu", c.budget * mib, "memory of the machine"}},
				Compute: sdxlCompute})
			require.NoError(t, err)
			assert.Equal(t, c.want, plan.Strategy.String())
			assert.Equal(t, c.batch, plan.Jobs[0].Batch)
			peak, _ := plan.Peak("cpu")
			assert.LessOrEqual(t, plan.Budgets[0].Need(peak), c.budget*mib)
			assert.Contains(t, plan.Reason, plan.Strategy.String())
			if c.batch < c.job.Images {
				assert.Equal(t, c.batch+1, plan.Jobs[0].NextBatch)
				assert.Greater(t, plan.Jobs[0].NextBytes, c.budget*mib)
			}
		})
	}
}

func TestForcedChoicesHold(t *testing.T) {
	p := Problem{Model: sdxl("cpu"), Jobs: []Job{square(1024, 1)}, Budgets: []Budget{{"cpu", 30000 * mib, WhyLimit}}, Compute: sdxlCompute}
	for _, c := range []struct {
		force Force
		want  Strategy
	}{
		{Force{Strategy: Stage}, Strategy{Name: Stage}},
		{Force{Strategy: Stream}, Strategy{Name: Stream}},
		{Force{Strategy: Mmap}, Strategy{Name: Mmap}},
		{Force{Tiling: On}, Strategy{Name: Resident, Tiling: true}},
		{Force{AttentionSlicing: On}, Strategy{Name: Resident, AttentionSlicing: true}},
	} {
		p.Force = c.force
		plan, err := Choose(p)
		require.NoError(t, err)
		assert.Equal(t, c.want, plan.Strategy, "%+v", c.force)
	}
	p.Force, p.Budgets[0].Bytes = Force{Strategy: Resident, Tiling: Off}, 6000*mib
	_, err := Choose(p)
	var over *OverBudgetError
	require.ErrorAs(t, err, &over)
	assert.Equal(t, Resident, over.Strategy.Name)
	for _, part := range []string{"model.memory", "not enough memory", "memory_limit", "leave strategy to auto", "leave vae_tiling to auto",
		over.Advice()} {
		assert.Contains(t, err.Error(), part)
	}
	p.Jobs[0].GuidanceBatch, p.Force, p.Budgets[0].Bytes = GuidanceJoint, Force{}, 1100*mib
	plan, err := Choose(p)
	if err == nil {
		assert.False(t, plan.Jobs[0].Separate, "joint guidance is the user's choice")
	}
}

func TestDevicesAreBoundedEach(t *testing.T) {
	m := sdxl("vulkan:0")
	for i := range m.Parts[:2] {
		m.Parts[i].Device = "cpu" // text_device
	}
	budgets := []Budget{{"vulkan:0", 7000 * mib, "memory of the machine"}, {"cpu", 4000 * mib, "memory of the machine"}}
	plan, err := Choose(Problem{Model: m, Jobs: []Job{square(512, 1)}, Budgets: budgets, Compute: sdxlCompute})
	require.NoError(t, err)
	assert.Equal(t, Resident, plan.Strategy.Name)
	gpu, _ := plan.Peak("vulkan:0")
	host, _ := plan.Peak("cpu")
	assert.Less(t, gpu, 7000*mib)
	assert.Greater(t, host, 1560*mib, "the text encoders are on the host")
	budgets[1].Bytes = 700 * mib
	_, err = Choose(Problem{Model: m, Jobs: []Job{square(512, 1)}, Budgets: budgets, Compute: sdxlCompute, Force: Force{Strategy: Stage}})
	var over *OverBudgetError
	require.ErrorAs(t, err, &over)
	assert.Equal(t, "cpu", over.Device)
}

func TestStreamingToADeviceNeedsTheHostToo(t *testing.T) {
	m := sdxl("cuda:0")
	b, err := Estimate(m, square(512, 1), Strategy{Name: Stream}, 256*mib, 1, sdxlCompute)
	require.NoError(t, err)
	assert.Equal(t, 256*mib, b.Of(StageDenoise, OwnerModel, UNet, UseWindow))
	host, _ := b.Peak(HostID)
	assert.Greater(t, host, 4900*mib)
}

// TestSmallestWorksAndLessDoesNot tries random models, jobs and budgets.
func TestSmallestWorksAndLessDoesNot(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	refused, chosen := 0, 0
	for range 300 {
		m := sdxl("cpu")
		for i := range m.Parts {
			m.Parts[i].Bytes = m.Parts[i].Bytes * (1 + r.Int64N(8)) / 4
			m.Parts[i].Streamed = m.Parts[i].Bytes
		}
		jobs := []Job{square(256+64*r.IntN(13), 1+r.IntN(8)), square(512, 1+r.IntN(3))}
		p := Problem{Model: m, Jobs: jobs, Budgets: []Budget{{"cpu", (300 + r.Int64N(12000)) * mib, WhyLimit}}, Compute: sdxlCompute,
			Force: Force{Strategy: []string{"", Auto, Resident, Release, Stage, Stream}[r.IntN(6)], Tiling: []Switch{Free, On, Off}[r.IntN(3)]}}
		plan, err := Choose(p)
		if err == nil {
			chosen++
			peak, _ := plan.Peak("cpu")
			require.LessOrEqual(t, p.Budgets[0].Need(peak), p.Budgets[0].Bytes)
			continue
		}
		refused++
		require.ErrorIs(t, err, ErrOverBudget)
		var over *OverBudgetError
		require.True(t, errors.As(err, &over))
		require.Greater(t, over.Smallest, p.Budgets[0].Bytes)
		p.Budgets = []Budget{{"cpu", over.Smallest, WhyLimit}}
		_, err = Choose(p)
		require.NoError(t, err, "the smallest limit works")
		p.Budgets = []Budget{{"cpu", over.Smallest - processVaries - 1, WhyLimit}}
		_, err = Choose(p)
		require.ErrorIs(t, err, ErrOverBudget, "less does not")
	}
	assert.Greater(t, refused, 30)
	assert.Greater(t, chosen, 30)
}

func TestCachedAsksOnce(t *testing.T) {
	n := 0
	c := Cached(func(Query) (int64, error) { n++; return 7, nil })
	for range 3 {
		got, err := c(Query{Batch: 1})
		require.NoError(t, err)
		require.Equal(t, int64(7), got)
	}
	require.Equal(t, 1, n)
	failing := Cached(func(Query) (int64, error) { n++; return 0, ErrNotMeasured })
	_, err := failing(Query{})
	require.ErrorIs(t, err, ErrNotMeasured)
	_, err = Choose(Problem{Model: sdxl("cpu"), Jobs: []Job{square(64, 1)}, Budgets: []Budget{{"cpu", mib, ""}}, Compute: failing})
	require.ErrorIs(t, err, ErrNotMeasured)
}
