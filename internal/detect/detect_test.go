package detect

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

func read(t *testing.T, name string) image.Image {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "testdata", "goldens", name))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	img, err := png.Decode(f)
	require.NoError(t, err)
	return img
}

// TestFrame: what the network sees is, byte for byte, what ultralytics' letterbox makes of the picture.
func TestFrame(t *testing.T) {
	img, want := picture.Opaque(read(t, "yolo_picture.png")), picture.Opaque(read(t, "yolo_frame.png"))
	f := frameOf(300, 56, 640, 32)
	assert.Equal(t, want.Rect, image.Rect(0, 0, f.w, f.h))
	got := f.pixels(img)
	for y := range f.h {
		for x := range f.w {
			for c := range 3 {
				require.Equal(t, float32(want.Pix[want.PixOffset(x, y)+c])/255, got.Data[(c*f.h+y)*f.w+x], "%d, %d", x, y)
			}
		}
	}
}

// TestFrames: sides are multiples, the longest is the size, and the picture's corners come back.
func TestFrames(t *testing.T) {
	for _, c := range []struct{ w, h, frameW, frameH int }{
		{640, 640, 640, 640}, {1024, 1024, 640, 640}, {832, 1216, 448, 640}, {1216, 832, 640, 448}, {128, 128, 640, 640}, {4096, 8, 640, 32},
		{1, 1, 640, 640}, {300, 56, 640, 128},
	} {
		f := frameOf(c.w, c.h, 640, 32)
		assert.Equal(t, []int{c.frameW, c.frameH}, []int{f.w, f.h}, "%d x %d", c.w, c.h)
		h, w := Shape(c.w, c.h)
		assert.Equal(t, []int{c.frameW, c.frameH}, []int{w, h})
		b := Box{Left: -5, Top: -5, Right: 700, Bottom: 700}
		f.back(&b)
		assert.Equal(t, Box{Right: float64(c.w), Bottom: float64(c.h)}, b)
	}
}

// TestSuppress: of boxes of one class that overlap the most confident stays.
func TestSuppress(t *testing.T) {
	at := func(x, confidence float64, class int) Box { return Box{x, 0, x + 10, 10, confidence, class} }
	boxes := []Box{at(0, 0.5, 0), at(1, 0.9, 0), at(1, 0.8, 1), at(2, 0.7, 0), at(30, 0.6, 0), at(30.1, 0.6, 0)}
	assert.Equal(t, []Box{at(1, 0.9, 0), at(1, 0.8, 1), at(30, 0.6, 0)}, suppress(boxes, Options{IoU: 0.6, Most: 9}))
	assert.Equal(t, []Box{at(1, 0.9, 0)}, suppress(boxes, Options{IoU: 0.6, Most: 1}))
	assert.Len(t, suppress(boxes, Options{IoU: 1, Most: 9}), 6)
	assert.InDelta(t, 9.0/11, overlap(at(0, 1, 0), at(1, 1, 0)), 1e-6)
	assert.Zero(t, overlap(at(0, 1, 0), at(10, 1, 0)))
}

// TestFindings: the fake finds a box where a cell is light.
func TestFindings(t *testing.T) {
	m, err := new(fake.Backend).Open(t.Context(), backend.ModelConfig{Files: backend.Files{Detector: "yolo"}})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	img := image.NewNRGBA(image.Rect(0, 0, 640, 320))
	for y := range 320 {
		for x := range 640 {
			img.SetNRGBA(x, y, color.NRGBA{A: 255})
		}
	}
	found, err := Picture(t.Context(), m, img, Options{})
	require.NoError(t, err)
	assert.Empty(t, found)
	img.SetNRGBA(5*32+16, 3*32+16, color.NRGBA{255, 255, 255, 255})
	found, err = Picture(t.Context(), m, img, Options{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	b := found[0]
	assert.InDeltaSlice(t, []float64{144, 80, 208, 144}, []float64{b.Left, b.Top, b.Right, b.Bottom}, 1e-4)
	assert.InDelta(t, 0.8808, b.Confidence, 1e-4)
	for _, o := range []Options{{Confidence: 0.9}, {Classes: []int{1}}} {
		if found, err = Picture(t.Context(), m, img, o); assert.NoError(t, err) {
			assert.Empty(t, found)
		}
	}
	for says, o := range map[string]Options{"no class 2; this detector has 2": {Classes: []int{2}}, "bad options": {Confidence: 2}} {
		_, err = Picture(t.Context(), m, img, o)
		assert.ErrorContains(t, err, says)
	}
	_, err = Picture(t.Context(), m, image.NewNRGBA(image.Rectangle{}), Options{})
	assert.ErrorContains(t, err, "no pixels")
	base, err := new(fake.Backend).Open(t.Context(), backend.ModelConfig{Files: backend.Files{Model: "m"}})
	require.NoError(t, err)
	defer func() { require.NoError(t, base.Close()) }()
	_, err = Picture(t.Context(), base, img, Options{})
	assert.ErrorContains(t, err, "is no detector")
}
