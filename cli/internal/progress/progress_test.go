package progress

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// clock advances by step at each look.
type clock struct {
	mu   sync.Mutex
	t    time.Time
	step time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(c.step)
	return c.t
}

func newClock(step time.Duration) *clock {
	return &clock{t: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("x", 3600)), step: step}
}

var all = []Event{
	Start{Version: "1.0", Jobs: 2, Images: 3},
	Model{Model: "nano", Kind: "sdxl-base", Device: "cpu", Precision: "f16", PrecisionReason: "the CPU has no AVX512_BF16",
		ParameterBytes: 12 << 20, Seconds: 0.25},
	JobStart{Job: 0, Prompt: "a red\ncircle", Seed: 42, Images: 2, Width: 128, Height: 128, Steps: 20, GuidanceScale: 5,
		Scheduler: "EulerDiscrete"},
	Step{Job: 0, Stage: "denoise", Step: 10, Steps: 20, Done: 10, Total: 20, Seconds: 1, ETASeconds: math.NaN()},
	Warning{Message: "careful"},
	Image{Job: 0, Index: 1, Seed: 43, Path: "a.png", Width: 128, Height: 128, Format: "png", Bytes: 10, Seconds: 1.25},
	Latents{Job: 0, Path: "l.npy", Shape: []int{1, 4, 16, 16}},
	File{Path: "m.safetensors", Bytes: 1 << 30, Seconds: 90},
	Failed{ExitCode: 3, Message: "bad \"file\""},
	Done{Images: 3, Seconds: 200},
}

func TestJSONLines(t *testing.T) {
	var out bytes.Buffer
	j := NewJSON(&out, newClock(time.Second).now)
	for _, e := range all {
		j.Report(e)
	}
	j.Close()
	j.Report(Done{})
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, len(all))
	for i, line := range lines {
		var m map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &m), line)
		assert.EqualValues(t, Schema, m["schema"])
		assert.Equal(t, EventName(all[i]), m["event"])
		_, err := time.Parse(time.RFC3339Nano, m["time"].(string))
		require.NoError(t, err)
		assert.True(t, strings.HasSuffix(m["time"].(string), "Z"), "UTC")
		assert.Greater(t, len(m), 3)
	}
	assert.Contains(t, lines[3], `"eta_seconds":0`, "an unknown time is 0, not NaN")
	assert.Contains(t, lines[8], `"message":"bad \"file\""`)
}

func TestJSONConcurrentLinesStayWhole(t *testing.T) {
	var out bytes.Buffer
	j := NewJSON(&out, time.Now)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				j.Report(all[2])
			}
		})
	}
	wg.Wait()
	for line := range strings.Lines(out.String()) {
		require.True(t, json.Valid([]byte(line)), line)
	}
}

func TestPlainLines(t *testing.T) {
	var out, errs bytes.Buffer
	r := NewText(TextOptions{Out: &out, Err: &errs, Now: newClock(time.Second).now, Note: "nano"})
	for _, e := range all {
		r.Report(e)
	}
	r.Close()
	r.Report(Warning{"late"})
	assert.Equal(t, "a.png  128x128  seed 43  1.2 s  (nano)\nl.npy  latents [1 4 16 16]\nm.safetensors  1.0 GiB  90 s\n", out.String())
	assert.Equal(t, "nano: sdxl-base on cpu, f16 (the CPU has no AVX512_BF16), 12.0 MiB, opened in 0.2 s\n"+
		"job 1/2  \"a red circle\"  128x128, 20 steps, seed 42, 2 pictures\n"+
		"warning: careful\n3 pictures in 3 min 20 s\n", errs.String())
	assert.NotContains(t, errs.String(), "\r")
}

func TestPlainLinesAreRare(t *testing.T) {
	var out, errs bytes.Buffer
	r := NewText(TextOptions{Out: &out, Err: &errs, Now: newClock(100 * time.Millisecond).now})
	r.Report(Start{Jobs: 1, Images: 1})
	for i := range 100 { // ten seconds
		r.Report(Step{Stage: "denoise", Done: int64(i + 1), Total: 100, ETASeconds: float64(100 - i - 1)})
	}
	lines := strings.Count(errs.String(), "\n")
	assert.GreaterOrEqual(t, lines, 4)
	assert.LessOrEqual(t, lines, 6)
	assert.Contains(t, errs.String(), "denoise 21/100, 79 s to go\n")
	assert.Empty(t, out.String())
}

func TestBar(t *testing.T) {
	var out, errs bytes.Buffer
	r := NewText(TextOptions{Out: &out, Err: &errs, Bar: &errs, Now: time.Now})
	r.Report(Start{Jobs: 2, Images: 2})
	for i := range 4 {
		r.Report(Step{Job: 1, Stage: "denoise", Done: int64(i + 1), Total: 4})
		time.Sleep(barInterval + 10*time.Millisecond)
	}
	r.Report(Image{Path: "a.png", Width: 8, Height: 8, Seconds: 0.1})
	r.Close()
	assert.Contains(t, errs.String(), "job 2/2  denoise")
	assert.Contains(t, errs.String(), "3/4")
	assert.Contains(t, errs.String(), "█")
	assert.Equal(t, "a.png  8x8  seed 0  0.1 s\n", out.String())
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestBrokenPipeIsSurvived(t *testing.T) {
	for _, r := range []Reporter{NewJSON(brokenPipe{}, time.Now), Discard{},
		NewText(TextOptions{Out: brokenPipe{}, Err: brokenPipe{}, Bar: brokenPipe{}, Now: time.Now}),
		NewText(TextOptions{Out: brokenPipe{}, Err: brokenPipe{}, Now: time.Now})} {
		for _, e := range all {
			r.Report(e)
		}
		r.Close()
	}
}

func TestSeconds(t *testing.T) {
	for s, want := range map[float64]string{0: "0.0 s", -1: "0.0 s", 0.94: "0.9 s", 9.96: "10 s", 75.4: "75 s", 99.6: "1 min 40 s",
		200: "3 min 20 s", 7500: "2 h 5 min"} {
		assert.Equal(t, want, Seconds(s))
	}
}

func TestWriteProgress(t *testing.T) {
	for _, bar := range []bool{true, false} {
		var errs bytes.Buffer
		o := TextOptions{Out: &errs, Err: &errs, Now: newClock(3 * time.Second).now}
		if bar {
			o.Bar = &errs
		}
		r := NewText(o)
		for i := range 2 {
			r.Report(Step{Stage: StageWrite, Done: int64(i+1) << 20, Total: 4 << 20, ETASeconds: 9})
			time.Sleep(barInterval + 10*time.Millisecond)
		}
		r.Close()
		if bar {
			assert.Contains(t, errs.String(), "MiB")
		} else {
			assert.Contains(t, errs.String(), "write 1.0 MiB of 4.0 MiB, 9.0 s to go\n")
		}
	}
}
