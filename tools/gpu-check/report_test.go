package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/internal/tune"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

func TestSectionsKeepToTheClock(t *testing.T) {
	c := &check{clock: newClock(time.Minute)}
	ran := []string{}
	run := func(name string, needs time.Duration, err error) {
		c.section(t.Context(), section{name, needs, func(context.Context) error { ran = append(ran, name); return err }})
	}
	run("fits", 10*time.Second, nil)
	run("does not fit", 2*time.Minute, nil)
	run("left out", 0, notRun("no GPU is here"))
	run("fails", 0, errors.New("the driver is gone"))
	assert.Equal(t, []string{"fits", "left out", "fails"}, ran)
	assert.Len(t, c.report.NotRun, 2)
	assert.Contains(t, c.report.NotRun[0], "does not fit: ")
	assert.Equal(t, "left out: no GPU is here", c.report.NotRun[1])
	assert.Equal(t, []string{"fails: the driver is gone"}, c.report.Failures)
	assert.Less(t, c.clock.left(), time.Minute-reserve+time.Second)

	c = &check{clock: newClock(0)}
	ctx, stop := context.WithDeadline(t.Context(), c.clock.end)
	defer stop()
	c.section(ctx, section{"late", -time.Hour, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
	assert.Equal(t, []string{"late: the time ran out in it"}, c.report.NotRun)
	assert.Empty(t, c.report.Failures, "the end of the time is no failure")
}

func TestMarkdownHasEverything(t *testing.T) {
	r := Report{Device: backend.Device{ID: "cuda:0", Description: "a GPU", Driver: "driver 1"}, Library: "cuda, 0.1.0",
		Model: "sdxl.safetensors", Chosen: "direct convolutions", Choices: &tune.Report{Candidates: []tune.Candidate{
			{Setting: "convolution", Value: "direct", Status: tune.OK, Seconds: 0.01, Chosen: true},
			{Setting: "attention", Value: "flash", Status: tune.Wrong, Reason: "it differs"}}},
		Graphs:   []Graph{{"UNet 1024", 3000, []backend.NodeGroup{{Op: "PAD", Operands: "f32 -> f32", Count: 2, LargestBytes: 1 << 20}}}},
		Fidelity: []Fidelity{{"f16", 61.5, 50, 1.5}},
		Speed: []Speed{{"f16", 1024, 0.2, 0.19, 0.21, 5}, {"torch SDPA f16", 1024, 0.25, 0.24, 0.26, 5},
			{"torch.compile bf16", 1024, 0.16, 0.16, 0.17, 5}},
		Memory:  []Memory{{"f16", 1024, 9 << 30, 8 << 30, bySMI, 1 << 30}},
		Goldens: Goldens{Passed: []string{"TestA"}, Failed: []string{"TestB"}},
		NotRun:  []string{"memory: q8_0 at 1024 px"}, Failures: []string{"goldens: TestB"}}
	text := r.Markdown()
	for _, want := range []string{"cuda:0: a GPU", "driver 1", "direct convolutions", "| convolution | direct | 10 |", "wrong it differs",
		"2 PAD (f32 -> f32, up to 1.0 MiB)", "| f16 | 61.5 | 50 |", "| f16 | 1024 | 0.2 | 0.19 to 0.21 | 5 | 1.25 |", "| 1.00 |",
		"| f16 | 1024 | 9216 | 8192 | +12.5 % | nvidia-smi, with CUDA's own | 1024 |",
		"1 of 2 tests", "TestB", "- not run: memory: q8_0 at 1024 px", "- failed: goldens"} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "rehearsal")
}

func TestRound(t *testing.T) {
	assert.Equal(t, []float64{0.1235, 1235000, 0}, []float64{round(0.123456), round(1234567), round(0)})
}
