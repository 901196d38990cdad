//go:build !race

package pipeline

import (
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/detect"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// goldenDetector is SEED of tools/goldens/detector.py, which computed with the same random weights.
const goldenDetector = 16

// openDetector opens the goldens' detector.
func openDetector(t *testing.T, edit func(*backend.ModelConfig)) backend.Model {
	t.Helper()
	cfg := backend.ModelConfig{Precision: backend.PrecisionExact, Threads: 1,
		Files: backend.Files{Detector: synthNet(t, synth.KindNanoYOLOv8, goldenDetector, modelfile.LayoutOriginal)}}
	edit(&cfg)
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	m, err := b.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// TestGoldenDetector compares the raw result of a detector with ultralytics', see tools/goldens/detector.py, and what is
// lost in faster ways.
func TestGoldenDetector(t *testing.T) {
	var exact []float32
	for _, way := range []struct {
		name string
		most float64
		edit func(*backend.ModelConfig)
	}{
		{"exact", 1e-5, func(*backend.ModelConfig) {}},
		{"f32", 1e-5, func(c *backend.ModelConfig) { c.Precision = backend.PrecisionF32 }},
		{"f16", 2e-2, func(c *backend.ModelConfig) { c.Precision = backend.PrecisionF16 }},
		{"bf16", 1e-1, func(c *backend.ModelConfig) { c.Precision = backend.PrecisionBF16 }},
		{"q8_0", 1e-1, func(c *backend.ModelConfig) { c.Precision, c.UNetType = backend.PrecisionAuto, backend.TypeQ8_0 }},
	} {
		m := openDetector(t, way.edit)
		require.Equal(t, backend.DetectorInfo{Classes: 3, Bins: 16, Multiple: 32}, m.Info().Detector)
		out, err := m.Detect(t.Context(), goldenTensor(t, "yolo_pixels"))
		require.NoError(t, err)
		require.Equal(t, []int{2, 67, 126}, out.Shape)
		if exact == nil {
			exact = out.Data
		}
		l2 := relativeL2(t, out.Data, golden(t, "yolo_raw").Data)
		t.Logf("%-5s %.2g relative L2", way.name, l2)
		assert.Less(t, l2, way.most, way.name)
	}
}

// TestGoldenBoxes compares what is found in a picture with what ultralytics' predict finds.
func TestGoldenBoxes(t *testing.T) {
	f, err := os.Open(filepath.Join(goldens, "yolo_picture.png"))
	require.NoError(t, err)
	img, err := png.Decode(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	var runs []struct {
		Options struct {
			Conf    float64
			Classes []int
		}
		Boxes []struct {
			Box        [4]float64
			Confidence float64
			Class      int
		}
	}
	data, err := os.ReadFile(filepath.Join(goldens, "yolo_boxes.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &runs))
	m := openDetector(t, func(*backend.ModelConfig) {})
	largest, empty := 0, 0
	for _, run := range runs {
		got, err := detect.Picture(t.Context(), m, img, detect.Options{Confidence: run.Options.Conf, Classes: run.Options.Classes})
		require.NoError(t, err)
		require.Len(t, got, len(run.Boxes), "%+v", run.Options)
		far := 0.0
		for i, want := range run.Boxes {
			b := got[i]
			require.Equal(t, want.Class, b.Class, "box %d", i)
			require.InDelta(t, want.Confidence, b.Confidence, 1e-5)
			for k, v := range []float64{b.Left, b.Top, b.Right, b.Bottom} {
				require.InDelta(t, want.Box[k], v, 0.01, "box %d", i)
				far = max(far, max(v-want.Box[k], want.Box[k]-v))
			}
		}
		if largest = max(largest, len(got)); len(got) == 0 {
			empty++
		}
		t.Logf("confidence %.4f, classes %v: %d boxes, at most %.2g pixels away", run.Options.Conf, run.Options.Classes, len(got), far)
	}
	assert.Greater(t, largest, 5)
	assert.Equal(t, 1, empty, "above the best there is nothing")
	_, err = detect.Picture(t.Context(), m, img, detect.Options{Classes: []int{3}})
	assert.ErrorContains(t, err, "there is no class 3; this detector has 3, from 0 on")
}

// finding is a request whose parts a detector finds, and its file.
func finding(t *testing.T) (request.Request, string) {
	r := shortRed(t, 3)
	file := synthNet(t, synth.KindNanoYOLOv8, goldenDetector, modelfile.LayoutOriginal)
	r.Details = []request.Detail{
		{Box: &[4]float64{0.5, 0.5, 1, 1}, Strength: 0.7},
		{Detector: file, Confidence: 0.2, Largest: 2, Prompt: "a green square on a blue background", Strength: 0.7,
			Blur: new(2.0), Padding: new(8)},
		{Box: &[4]float64{0, 0, 0.5, 0.5}, Strength: 0.7},
	}
	return r, file
}

// TestDetailsFound: pictures with parts that a detector finds are those with the same boxes, bit for bit; the manifest tells the boxes.
func TestDetailsFound(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	r, _ := finding(t)
	r.NumImages, r.MaxBatch, r.Width, r.Height = 2, 1, 64, 64
	var last Progress
	out := generate(t, p, r, WithProgress(func(at Progress) {
		assert.GreaterOrEqual(t, at.Done, last.Done)
		last = at
	}))
	assert.Equal(t, last.Total, last.Done)
	for _, img := range out.Images {
		require.Len(t, img.found, 2)
		given := r
		given.NumImages, given.Seed = 1, img.Seed
		given.Details = []request.Detail{r.Details[0]}
		for _, found := range img.found {
			assert.Equal(t, 1, found.Detail)
			d := r.Details[1]
			d.Box, d.Detector, d.Confidence, d.Largest = &found.Box, "", 0, 0
			given.Details = append(given.Details, d)
		}
		given.Details = append(given.Details, r.Details[2])
		assert.Equal(t, generate(t, p, given).Images[0].Pix, img.Pix, "picture %d", img.Index)
		data, err := json.Marshal(out.Manifest(img))
		require.NoError(t, err)
		assert.Contains(t, string(data), `"detector":"nano-yolov8.safetensors","confidence":0.2,"largest":2,"dilation":4,`)
		assert.Contains(t, string(data), `"found":[{"detail":1,"box":[`)
	}
}

// TestDetailsNotFound: where a detector finds nothing the picture stays as it is, and that is said.
func TestDetailsNotFound(t *testing.T) {
	p := openNano(t, backend.PrecisionAuto)
	r, file := finding(t)
	r.Details = []request.Detail{{Detector: file, Confidence: 1}}
	var last Progress
	out := generate(t, p, r, WithProgress(func(at Progress) { last = at }))
	assert.Equal(t, last.Total, last.Done)
	require.Len(t, out.Warnings, 1)
	assert.Contains(t, out.Warnings[0], "detail[0]: nano-yolov8.safetensors finds nothing in the picture of seed ")
	plain := r
	plain.Details = nil
	assert.Equal(t, generate(t, p, plain).Images[0].Pix, out.Images[0].Pix)

	for want, d := range map[string]request.Detail{
		"detail[0].detector: is given beside box":                   {Detector: file, Box: &[4]float64{0, 0, 1, 1}},
		"detail[0].detector: none is no file, and no detector of":   {Detector: "none"},
		"detail[0].classes: names the class 3; this detector has 3": {Detector: file, Classes: []int{3}},
		"detail[0].largest: says what a detector finds":             {Box: &[4]float64{0, 0, 1, 1}, Largest: 1},
		"give a detector of YOLOv8":                                 {Detector: synthNet(t, synth.KindTAESD, 1, modelfile.LayoutDiffusers)},
	} {
		r.Details = []request.Detail{d}
		_, err := p.Generate(t.Context(), r)
		assert.ErrorContains(t, err, want)
	}
}
