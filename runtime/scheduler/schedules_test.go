package scheduler

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScheduleSigmas(t *testing.T) {
	ays, err := ScheduleSigmas(ScheduleAYS, 10)
	require.NoError(t, err)
	assert.Equal(t, append(append([]float64(nil), schedules()[ScheduleAYS][0][:10]...), 0), ays)
	// diffusers' AysSchedules["StableDiffusionXLSigmas"]
	for i, want := range []float64{14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0} {
		assert.InDelta(t, want, ays[i], 0.005)
	}
	for _, s := range []Schedule{ScheduleAYS, ScheduleGITS} {
		for _, n := range []int{1, 2, 3, 9, 10, 11, 20, 21, 50, 1000} {
			sigmas, err := ScheduleSigmas(s, n)
			require.NoError(t, err)
			require.Len(t, sigmas, n+1)
			assert.InDelta(t, 14.6146, sigmas[0], 1e-4)
			assert.Zero(t, sigmas[n])
			for i := range n {
				assert.Greater(t, sigmas[i], sigmas[i+1], "%s, %d steps, %d", s, n, i)
			}
		}
	}
	for i, row := range schedules()[ScheduleGITS] {
		assert.Len(t, row, i+3)
	}
	for _, n := range []int{0, -1, 1 << 30} {
		_, err := ScheduleSigmas(ScheduleAYS, n)
		assert.ErrorContains(t, err, "num_inference_steps")
	}
}

// The table's noise levels are close to training's at the timesteps that diffusers lists.
func TestAYSTimesteps(t *testing.T) {
	s, err := New("Euler", SDXLDefaults())
	require.NoError(t, err)
	run, err := s.NewRun(RunOptions{NumInferenceSteps: 10, Schedule: ScheduleAYS})
	require.NoError(t, err)
	for i, want := range []float64{999, 845, 730, 587, 443, 310, 193, 116, 53, 13} { // StableDiffusionXLTimesteps
		assert.InDelta(t, want, run.Timesteps()[i], 1, "%d", i)
	}
}

func TestScheduleInRuns(t *testing.T) {
	everyScheduler(t, func(t *testing.T, name string, s Scheduler) {
		info, err := Describe(name)
		require.NoError(t, err)
		for _, sch := range []Schedule{ScheduleAYS, ScheduleGITS} {
			for _, n := range []int{1, 7, 10, 120} {
				run, err := s.NewRun(RunOptions{NumInferenceSteps: n, Schedule: sch})
				if !info.Timesteps && !info.Sigmas {
					assert.ErrorContains(t, err, "schedule")
					continue
				}
				require.NoError(t, err)
				sample := firstSample(run, 1, 8)
				loop(t, run, sample, 1, &testNoise{images: 1})
				requireFinite(t, sample, "%s, %d", sch, n)
			}
		}
	})
}
