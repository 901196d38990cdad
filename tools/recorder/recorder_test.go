package main

import (
	"encoding/json"
	"image"
	"image/color"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

func TestRecordingsAreCompared(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, pixels string) string {
		e := entries{}
		require.NoError(t, e.add(picture{Width: 64, Height: 64, Pixels: pixels}, "t2i", "cli", "", "picture-0"))
		require.NoError(t, e.add([]int{2, 1}, "t2i", "cli", "batches"))
		path := filepath.Join(dir, name)
		require.NoError(t, e.write(path))
		return path
	}
	a, same, other := write("a.json", "0"), write("same.json", "0"), write("other.json", "1")
	text, err := os.ReadFile(a)
	require.NoError(t, err)
	assert.Equal(t, "{\n\"t2i/cli/batches\": [2,1],\n"+
		"\"t2i/cli/picture-0\": {\"width\":64,\"height\":64,\"seed\":0,\"pixels\":\"0\"}\n}\n", string(text))
	require.NoError(t, compareFiles(a, same))
	require.ErrorContains(t, compareFiles(a, other), "1 of 2 entries differ")
	empty := filepath.Join(dir, "empty.json")
	require.NoError(t, os.WriteFile(empty, []byte("{}"), 0o600))
	require.ErrorContains(t, compareFiles(a, empty), "2 of 2 entries differ")
	require.ErrorContains(t, compareFiles(empty, empty), "empty")
}

func TestFacesAreCompared(t *testing.T) {
	r := &run{name: "t2i", jobs: []job{{"job", table{}}}, outcomes: map[string]*outcome{}}
	made := func(face, pixels string) {
		r.outcomes[face] = &outcome{pictures: 1, found: table{"job/picture-0": picture{Pixels: pixels},
			"job/manifest": json.RawMessage(`{"seed":` + pixels + `}`)}}
	}
	made("cli", "1")
	made("worker", "1")
	assert.Empty(t, r.differences())
	assert.Empty(t, r.manifestDifferences())
	made("worker", "2")
	assert.Len(t, r.differences(), 1)
	assert.Equal(t, []string{"t2i/job: seed: cli 1, worker 2"}, r.manifestDifferences())
	delete(r.outcomes["worker"].found, "job/picture-0")
	assert.Empty(t, r.differences(), "one that depends on time")
	r.outcomes["worker"].pictures = 0
	assert.Len(t, r.differences(), 1, "a picture is missing")
}

func TestHashes(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 2, 1))
	for x := range 2 {
		img.SetNRGBA(x, 0, color.NRGBA{byte(x), 2, 3, 255})
	}
	other := image.NewRGBA(image.Rect(3, 4, 5, 5))
	for x := range 2 {
		other.Set(3+x, 4, img.At(x, 0))
	}
	assert.Equal(t, hashPixels(img), hashPixels(other), "whatever their form")
	other.Set(3, 4, color.Black)
	assert.NotEqual(t, hashPixels(img), hashPixels(other))
}

// TestRunsAreRunFiles: what a face is given is a valid run file, and the faces that a run names exist.
func TestRunsAreRunFiles(t *testing.T) {
	runs, err := readRuns("runs", regexp.MustCompile(""), t.TempDir())
	require.NoError(t, err)
	files, err := filepath.Glob("runs/*.toml")
	require.NoError(t, err)
	require.Len(t, runs, len(files), "order.txt names all of them")
	for _, r := range runs {
		data, err := json.Marshal(r.file("cli"))
		require.NoError(t, err)
		file, err := request.DecodeJSON(data)
		require.NoError(t, err, r.name)
		require.NoError(t, file.Validate(), r.name)
		assert.Subset(t, faces[1:], r.Faces, r.name)
		if r.name == "schedulers" {
			assert.Equal(t, scheduler.Names()[1], r.jobs[1].label)
			assert.Equal(t, scheduler.Names()[1], file.Jobs[1].Scheduler)
		}
	}
}

func TestRunFileIsRead(t *testing.T) {
	r, err := readRun("seed = 1\n[model]\nmodel = \"nano\"\n[[job]]\n[[job]]\nseed = 2\n[recorder]\njobs = [\"a\", \"b\"]\n" +
		"live = { adapter = \"x\", step = 3, values = { weight = 1.0 } }\n")
	require.NoError(t, err)
	assert.Equal(t, table{"model": "nano"}, r.model)
	assert.Equal(t, []job{{"a", table{"seed": int64(1)}}, {"b", table{"seed": int64(2)}}}, r.jobs)
	assert.Equal(t, &change{Adapter: "x", Step: 3, Values: table{"weight": 1.0}}, r.Live)
	_, err = readRun("[recorder]\nface = [\"cli\"]\n")
	require.ErrorContains(t, err, "recorder.face")
	_, err = readRun("[[job]]\n[[job]]\n")
	require.ErrorContains(t, err, "2 jobs have 1 names")
}

func TestPeaksOffTheirPlan(t *testing.T) {
	assert.InDelta(t, 10, peakError(110, 100), 1e-9)
	made := func(planned, measured int64) *run {
		r := &run{outcomes: map[string]*outcome{"cli": {peak: measured}}}
		r.plan.Peaks = append(r.plan.Peaks, struct {
			Device, Stage string
			Bytes         int64
		}{"cpu", "decode", planned})
		return r
	}
	runs := []*run{made(100, 100), made(90, 100), made(107, 100), made(100, 0)}
	assert.Equal(t, 2, printPeaks(runs, 5))
	assert.Equal(t, 1, printPeaks(runs, 8))
	assert.Zero(t, printPeaks(runs, 20))
}
