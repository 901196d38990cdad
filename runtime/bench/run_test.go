package bench

import (
	"context"
	"errors"
	"fmt"
	"image/color"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// clock is a clock that a test moves.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func testPlan(c *clock, types ...string) Plan {
	cases, err := Axes{
		Models:     []Model{{"m", types}},
		Sizes:      []Size{{64, 64}},
		Batches:    []int{2},
		Devices:    []string{"cpu"},
		Schedulers: []string{"EulerDiscrete"},
	}.Cases()
	if err != nil {
		panic(err)
	}
	return Plan{
		Cases:   cases,
		Rounds:  4,
		Now:     c.Now,
		Session: func(c Case) Session { return Session{Case: c, Steps: 2, Prompts: []Prompt{{Prompt: "p", Seed: 1}}} },
	}
}

// outcome is a session whose picture takes so many seconds.
func outcome(seconds float64) Outcome {
	return Outcome{
		Load:       1,
		Precision:  "f16",
		Threads:    2,
		PeakRSS:    500,
		NativePeak: 170 + int64(seconds),
		Runs:       []runTimes{{Text: 0.5, Steps: []float64{seconds, 3 * seconds}, Decode: 1, Total: 10 * seconds}},
		Components: []component{
			{Name: "unet", ParameterBytes: 100, ComputeBytes: 30},
			{Name: "vae_decoder", ParameterBytes: 20, ComputeBytes: 50},
		},
	}
}

// Cases take turns: forwards, backwards, forwards.
func TestRunInterleaves(t *testing.T) {
	c := &clock{time.Unix(0, 0)}
	plan := testPlan(c, "f32", "f16", "q8_0")
	var order []string
	var told []Progress
	plan.Progress = func(p Progress) { told = append(told, p) }
	results, rounds, err := Run(t.Context(), plan, func(_ context.Context, s Session) (Outcome, error) {
		order = append(order, s.Case.Type)
		c.now = c.now.Add(time.Second)
		return outcome(float64(len(order))), nil
	})
	require.NoError(t, err)
	assert.Equal(t, 4, rounds)
	assert.Equal(t, []string{"f32", "f16", "q8_0", "q8_0", "f16", "f32", "f32", "f16", "q8_0", "q8_0", "f16", "f32"}, order)
	require.Len(t, told, 12)
	assert.Equal(t, Progress{Round: 1, Rounds: 4, Index: 1, Case: plan.Cases[1], Done: 4, Total: 12, Elapsed: 4 * time.Second}, told[4])
	first := results[0]
	assert.True(t, first.IsReference)
	assert.False(t, results[1].IsReference)
	assert.Equal(t, []float64{1 * 2, 6 * 2, 7 * 2, 12 * 2}, first.Samples.Step, "a run's mean step")
	assert.Equal(t, 8, first.Step.N, "all steps")
	assert.Equal(t, []float64{5, 30, 35, 60}, first.Samples.Image, "per picture of a batch of two")
	assert.Equal(t, 0.5, first.Decode.Median)
	assert.InDelta(t, 1/32.5, first.Rate, 1e-12)
	assert.EqualValues(t, 170+12, first.NativeBytes, "the most of all rounds")
	assert.EqualValues(t, 500, first.PeakRSS)
	assert.Equal(t, "f16", first.Precision)
}

// A round that would end too late is not begun; the first one always is.
func TestRunBudget(t *testing.T) {
	for budget, want := range map[time.Duration]int{time.Second: 1, 6 * time.Second: 3, 7 * time.Second: 3, 8 * time.Second: 4,
		time.Hour: 4, 0: 4} {
		c := &clock{time.Unix(0, 0)}
		plan := testPlan(c, "f32", "f16")
		plan.Budget = budget
		_, rounds, err := Run(t.Context(), plan, func(context.Context, Session) (Outcome, error) {
			c.now = c.now.Add(time.Second)
			return outcome(1), nil
		})
		require.NoError(t, err)
		assert.Equal(t, want, rounds, budget)
	}
}

// A case that fails is not tried again, and the others are measured.
func TestRunFails(t *testing.T) {
	broken := errors.New("broken")
	counts := map[string]int{}
	results, rounds, err := Run(t.Context(), testPlan(&clock{}, "f32", "f16", "q8_0"), func(_ context.Context, s Session) (Outcome, error) {
		counts[s.Case.Type]++
		switch s.Case.Type {
		case "f32":
			return Outcome{}, broken
		case "q8_0":
			return Outcome{}, nil // without its runs
		}
		return outcome(1), nil
	})
	assert.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, "m f32 64x64")
	assert.Equal(t, 4, rounds)
	assert.Equal(t, map[string]int{"f32": 1, "f16": 4, "q8_0": 1}, counts)
	assert.Equal(t, "broken", results[0].Error)
	assert.Equal(t, 4, results[1].Image.N)
	assert.Nil(t, results[1].Quality, "there is no reference")
	assert.Contains(t, results[2].Error, "0 of 1 runs")
}

func TestRunCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	_, _, err := Run(ctx, testPlan(&clock{}, "f32", "f16"), func(ctx context.Context, _ Session) (Outcome, error) {
		if n++; n == 2 {
			cancel()
			return Outcome{}, ctx.Err()
		}
		return outcome(1), nil
	})
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 2, n)
}

// Pictures are asked for in the first round only, and held against the reference's.
func TestRunCompares(t *testing.T) {
	plan := testPlan(&clock{}, "q8_0", "f32", "q4_0")
	plan.Rounds, plan.Check = 2, true
	plan.Folder = func(i int) (string, error) { return fmt.Sprint("folder ", i), nil }
	const prompt = "a red square on a blue background"
	results, _, err := Run(t.Context(), plan, func(_ context.Context, s Session) (Outcome, error) {
		out := outcome(1)
		if s.Keep == "" {
			return out, nil
		}
		red := map[string]uint8{"f32": 220, "q8_0": 221, "q4_0": 228}[s.Case.Type]
		out.Images = []keptFiles{kept(t, prompt, 128, []float32{float32(red)}, func(x, y int) color.NRGBA {
			if x >= 36 && x < 92 && y >= 36 && y < 92 {
				return color.NRGBA{red, 30, 30, 255}
			}
			return color.NRGBA{30, 60, 210, 255}
		})}
		return out, nil
	})
	require.NoError(t, err)
	assert.Nil(t, results[1].Quality)
	assert.True(t, results[1].IsReference)
	assert.Equal(t, results[1].Key, results[0].Quality.Reference)
	assert.Greater(t, results[0].Quality.PSNR, results[2].Quality.PSNR+15)
	for _, r := range results {
		assert.Equal(t, 1, r.Checked.Right)
		assert.Len(t, r.Images, 1)
	}
	plan.Folder = func(int) (string, error) { return "", errors.New("no folder") }
	_, _, err = Run(t.Context(), plan, func(context.Context, Session) (Outcome, error) { return outcome(1), nil })
	assert.EqualError(t, err, "no folder")
}
