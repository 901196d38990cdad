package progress

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

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
	assert.Contains(t, errs.String(), "job 2/2  denoise 3/4")
	assert.NotContains(t, errs.String(), "it/")
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
			assert.Contains(t, errs.String(), "write 1.0/4.0 MiB, 9.0 s to go\n")
		}
	}
}

// ansi are the escapes that clear a line.
var ansi = regexp.MustCompile("\x1b\\[[0-9]*K")

// lastLines are what a terminal shows of text with bars: what stands on each line in the end.
func lastLines(text string) (out []string) {
	for _, line := range strings.Split(text, "\n") {
		parts := strings.FieldsFunc(line, func(r rune) bool { return r == '\r' })
		if len(parts) > 0 {
			line = strings.TrimSpace(ansi.ReplaceAllString(parts[len(parts)-1], ""))
		}
		out = append(out, line)
	}
	return out
}

// TestNarrowTerminal: no state of a bar is wider than the terminal, or it would pile up; notes are broken; results keep a line of their
// own.
func TestNarrowTerminal(t *testing.T) {
	for _, width := range []int{40, 80, 120} {
		var screen bytes.Buffer
		r := NewText(TextOptions{Out: &screen, Err: &screen, Bar: &screen, Now: time.Now, Width: func() int { return width }})
		r.Report(Start{Jobs: 12, Images: 12})
		r.Report(Step{Stage: StageLoad, Part: "sd_xl_base_1.0.safetensors", Total: 7 << 30})
		r.Report(Step{Stage: StageLoad, Part: "unet", Done: 3 << 30, Total: 5 << 30, Seconds: 9, ETASeconds: 6})
		r.Report(all[1])
		r.Report(all[2])
		r.Report(Step{Job: 11, Stage: "denoise", Done: 3, Total: 20, Seconds: 3, ETASeconds: 17, StepsPerSecond: 0.9})
		r.Report(Overall{Images: 12, Finished: 3, Done: 30, Total: 120, ImagesPerSecond: 0.05, ETASeconds: 180, BatchSize: 4})
		r.Report(Image{Path: "a.png", Width: 128, Height: 128, Seconds: 9, PictureSeconds: 2})
		r.Report(Warning{Message: strings.Repeat("many words ", 20)})
		r.Close()
		for _, state := range strings.FieldsFunc(screen.String(), func(r rune) bool { return r == '\r' || r == '\n' }) {
			state = ansi.ReplaceAllString(state, "")
			assert.LessOrEqual(t, utf8.RuneCountInString(state), width, "%q", state)
		}
		lines := lastLines(screen.String())
		assert.Contains(t, lines, "a.png  128x128  seed 0  2.0 s", "the time of the picture itself")
		assert.Contains(t, screen.String(), "load unet 3.0/5.0 GiB")
		assert.NotContains(t, screen.String(), "0 it")
	}
}

// TestPlainLinesSayNews: a line is not repeated, and a long run has fewer lines.
func TestPlainLinesSayNews(t *testing.T) {
	var errs bytes.Buffer
	r := NewText(TextOptions{Out: &errs, Err: &errs, Now: newClock(3 * time.Second).now})
	r.Report(Start{Jobs: 1, Images: 12})
	for range 10 {
		r.Report(Overall{Images: 12, Finished: 3, Done: 30, Total: 120})
	}
	assert.Equal(t, "3/12 pictures, 25 %\n", errs.String())
	errs.Reset()
	for i := range 10000 { // more than eight hours
		r.Report(Overall{Images: 12, Finished: i / 1000, Done: int64(i), Total: 10000, ETASeconds: float64(10000 - i)})
	}
	assert.Less(t, strings.Count(errs.String(), "\n"), 1000)
	seen := map[string]bool{}
	for line := range strings.Lines(errs.String()) {
		assert.False(t, seen[line], line)
		seen[line] = true
	}
}

// TestFirstEstimate waits until there is something to estimate from.
func TestFirstEstimate(t *testing.T) {
	assert.Empty(t, rest(Step{Done: 0, Total: 20, ETASeconds: 3, Seconds: 5}))
	assert.Empty(t, rest(Step{Done: 1, Total: 20, ETASeconds: 3, Seconds: 0.1}))
	assert.Equal(t, []string{"3.0 s to go", "4 s a step"}, rest(Step{Done: 1, Total: 20, ETASeconds: 3, Seconds: 4, StepsPerSecond: 0.25}))
	assert.Empty(t, rest(Step{Done: 20, Total: 20, ETASeconds: 3, Seconds: 4}))
}
