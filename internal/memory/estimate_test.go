package memory

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// extra is what a job takes in a stage besides what another takes.
func extra(t *testing.T, stage string, s Strategy, plain, job Job, batch int) int64 {
	t.Helper()
	of := func(j Job) int64 {
		b, err := Estimate(sdxl("cpu"), j, s, 0, batch, sdxlCompute)
		require.NoError(t, err)
		for _, u := range b.Stages {
			if u.Name == stage {
				return u.On("cpu")
			}
		}
		return 0
	}
	return of(job) - of(plain)
}

func TestWhatOtherJobsLeaveBehind(t *testing.T) {
	resident, plain := Strategy{Name: Resident}, square(64, 1)
	after, crowd := plain, plain
	after.Earlier, crowd.Jobs = 2, 9
	each := pixelBytes(64, 64) + leftBytes
	assert.Equal(t, 2*each, extra(t, StageDenoise, resident, plain, after, 1))
	assert.Equal(t, 2*each, extra(t, StageDecode, resident, plain, after, 1))
	assert.Zero(t, extra(t, StageLoad, resident, plain, after, 1), "nothing is done by then")
	after.Earlier = 1000
	assert.EqualValues(t, goHeapFloor, extra(t, StageDenoise, resident, plain, after, 1), "then the collector runs")
	assert.EqualValues(t, 9*readyBytes, extra(t, StageText, resident, plain, crowd, 1))
}

func TestAdaptersInTheEstimate(t *testing.T) {
	plain := square(64, 1)
	with := plain
	with.Adapters = Adapters{Kept: 3 << 20, Applied: 5 << 20, Changes: 10}
	assert.EqualValues(t, 8<<20+10*graphPerChange, extra(t, StageText, Strategy{Name: Resident}, plain, with, 1))
	assert.EqualValues(t, 8<<20+10*graphPerChange, extra(t, StageDenoise, Strategy{Name: Resident}, plain, with, 1))

	b, err := Estimate(sdxl("vulkan:0"), with, Strategy{Name: Resident}, 0, 1, sdxlCompute)
	require.NoError(t, err)
	on := map[string]int64{}
	for _, i := range b.Stages[1].Items {
		if i.Use == UseAdapters {
			on[i.Device] += i.Bytes
		}
	}
	assert.Equal(t, map[string]int64{"cpu": 3 << 20, "vulkan:0": 5 << 20}, on, "kept on the host, applied on the device")
}

// TestResidualsInTheEstimate: what ControlNets add to is on the UNet's device, as large as it is, while that computes.
func TestResidualsInTheEstimate(t *testing.T) {
	const one = 4 * (320*(3*128*128+64*64) + 640*(2*64*64+32*32) + 1280*(2*32*32+32*32))
	plain := square(1024, 1)
	with := plain
	with.Controls = []string{"canny"}
	for _, device := range []string{"cpu", "vulkan:0"} {
		for _, c := range []struct {
			strategy Strategy
			rows     int64
		}{{Strategy{Name: Resident}, 2}, {Strategy{Name: Resident, Separate: true}, 1}} {
			of := func(j Job, stage string) int64 {
				m := sdxl(device)
				m.Parts = append(m.Parts, Part{Owner: "canny", Component: ControlNet, Device: device})
				b, err := Estimate(m, j, c.strategy, 0, 1, sdxlCompute)
				require.NoError(t, err)
				var n int64
				for _, s := range b.Stages {
					for _, i := range s.Items {
						if s.Name == stage && i.Owner == OwnerModel && i.Use == UseCompute && i.Device == device {
							n += i.Bytes
						}
					}
				}
				return n
			}
			assert.EqualValues(t, c.rows*one, of(with, StageDenoise)-of(plain, StageDenoise), "%s %+v", device, c.strategy)
			assert.Zero(t, of(with, StageDecode)-of(plain, StageDecode))
		}
	}
}

func TestGraphsGoByTheirWeights(t *testing.T) {
	m := sdxl("cpu")
	shape := m.Shapes[OwnerModel]
	shape.ActivationOf = backend.TypeF32 // no work buffer
	m.Shapes[OwnerModel] = shape
	for i := range m.Parts {
		m.Parts[i].Weights = 100 * (i + 1)
	}
	b, err := Estimate(m, square(64, 1), Strategy{Name: Resident}, 0, 1, sdxlCompute)
	require.NoError(t, err)
	for _, stage := range []struct{ name, component string }{{StageDenoise, UNet}, {StageDecode, VAEDecoder}} {
		p, ok := m.part(OwnerModel, stage.component)
		require.True(t, ok)
		assert.Equal(t, int64(p.Weights)*graphPerWeight, b.Of(stage.name, OwnerModel, stage.component, UseWork))
	}
}

// TestSharedBatches: a plan has room for pictures of other jobs in a batch, and reports the job's own.
func TestSharedBatches(t *testing.T) {
	job := square(512, 1)
	job.Shared, job.Batch = 9, 4
	plan := func(j Job) JobPlan {
		p, err := Choose(Problem{Model: sdxl("cpu"), Jobs: []Job{j}, Budgets: []Budget{{"cpu", 40000 * mib, "memory of the machine"}},
			Compute: sdxlCompute})
		require.NoError(t, err)
		return p.Jobs[0]
	}
	shared, four := plan(job), plan(square(512, 4))
	assert.Equal(t, 1, shared.Batch)
	assert.Equal(t, four.Breakdown.Of(StageDenoise, OwnerModel, UNet, UseCompute),
		shared.Breakdown.Of(StageDenoise, OwnerModel, UNet, UseCompute))
}

// TestMargins: a memory_limit needs less room above the peak than what the system holds to.
func TestMargins(t *testing.T) {
	assert.InDelta(t, 103*mib+MarginBytes, Budget{Why: "RLIMIT_DATA"}.Need(100*mib), 1)
	assert.InDelta(t, 103*mib+LimitMarginBytes, Budget{Why: WhyLimit}.Need(100*mib), 1)
}
