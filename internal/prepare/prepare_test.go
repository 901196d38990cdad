package prepare

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// newTarget is that of a pipeline on the fake, with a refiner and an upscaler.
func newTarget(t *testing.T, b *fake.Backend) *Target {
	t.Helper()
	m, err := b.Open(t.Context(), backend.ModelConfig{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	out := &Target{Settings: models.SDXLSettings(), Info: m.Info(), Model: m, Refiner: true, Upscaler: true,
		Adapters: adapters.NewLibrary(), Fileless: true}
	out.Settings.Adopt(out.Info)
	out.Words, err = conditioning.NewVocabulary(nil, nil, out.Info)
	require.NoError(t, err)
	return out
}

// photograph writes a JPEG of 120 x 90 that is shown as an orientation of EXIF says.
func photograph(t *testing.T, orientation uint16) string {
	t.Helper()
	var plain bytes.Buffer
	require.NoError(t, jpeg.Encode(&plain, image.NewGray(image.Rect(0, 0, 120, 90)), nil))
	tiff := append([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01"),
		byte(orientation>>8), byte(orientation), 0, 0)
	segment := append(binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, 0xe1}, uint16(len(tiff)+2)), tiff...)
	path := filepath.Join(t.TempDir(), "photograph.jpg")
	require.NoError(t, os.WriteFile(path, append(segment, plain.Bytes()[2:]...), 0o600))
	return path
}

func drawing(t *testing.T, width, height int) string {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, png.Encode(&buf, image.NewGray(image.Rect(0, 0, width, height))))
	path := filepath.Join(t.TempDir(), "drawing.png")
	require.NoError(t, os.WriteFile(path, buf.Bytes(), 0o600))
	return path
}

// requests is one of every kind, with the size of its largest pass.
func requests(t *testing.T) map[string]struct {
	request.Request
	width, height int
} {
	photo := request.Picture{Path: photograph(t, 6)}
	inMemory, err := os.ReadFile(photo.Path)
	require.NoError(t, err)
	type sized = struct {
		request.Request
		width, height int
	}
	return map[string]sized{
		"plain":       {request.Request{Prompt: "x"}, 1024, 1024},
		"a size":      {request.Request{Prompt: "x", Width: 256, Height: 128, NumImages: 3, Seed: 5}, 256, 128},
		"photograph":  {request.Request{Prompt: "x", InitImage: photo}, 88, 120},
		"in memory":   {request.Request{Prompt: "x", InitImage: request.Picture{Data: inMemory}}, 88, 120},
		"one side":    {request.Request{Prompt: "x", InitImage: photo, Width: 64}, 64, 120},
		"mask":        {request.Request{Prompt: "x", InitImage: photo, MaskImage: request.Picture{Path: drawing(t, 33, 20)}}, 88, 120},
		"outpainting": {request.Request{Prompt: "x", InitImage: photo, Outpaint: request.Outpaint{Left: 24, Top: 8}}, 112, 128},
		"hires":       {request.Request{Prompt: "x", InitImage: photo, Hires: request.Hires{Scale: 1.5}}, 128, 176},
		"nets": {request.Request{Prompt: "x", Width: 64, Height: 64, ControlNets: []request.ControlNet{
			{Model: "net", Image: request.Picture{Path: drawing(t, 40, 30)}, Preprocessor: "canny"}}}, 64, 64},
		"no refiner": {request.Request{Prompt: "x", RefinerMode: request.RefinerNone, Scheduler: "unipc", ClipSkip: 1}, 1024, 1024},
		"repainted":  {request.Request{Prompt: "x", RefinerMode: request.RefinerImg2Img, NegativePrompt: "grey", Seed: -1}, 1024, 1024},
		"long":       {request.Request{Prompt: strings.Repeat("word ", 200), GuidanceScale: request.NoGuidance}, 1024, 1024},
	}
}

// TestPreparingAgainChangesNothing: what Prepare returns is complete.
func TestPreparingAgainChangesNothing(t *testing.T) {
	target := newTarget(t, &fake.Backend{})
	for name, r := range requests(t) {
		once, err := target.Prepare(r.Request)
		require.NoError(t, err, name)
		again, err := target.Prepare(once.Request)
		require.NoError(t, err, name)
		assert.Equal(t, once.Request, again.Request, name)
		assert.Equal(t, once.Texts, again.Texts, name)
		assert.Equal(t, once.Controls, again.Controls, name)
		assert.Equal(t, []any{once.Steps, once.Tokens, once.Refines, once.Scheduler.Name(), once.Scheduler.Config()},
			[]any{again.Steps, again.Tokens, again.Refines, again.Scheduler.Name(), again.Scheduler.Config()}, name)
	}
}

// TestPrepareSizeIsPrepare: a plan sees the same request, but for pixels.
func TestPrepareSizeIsPrepare(t *testing.T) {
	target := newTarget(t, &fake.Backend{})
	for name, r := range requests(t) {
		r.Seed = max(r.Seed, 0) // one that is chosen is another each time
		full, err := target.Prepare(r.Request)
		require.NoError(t, err, name)
		size, err := target.PrepareSize(r.Request)
		require.NoError(t, err, name)
		width, height := full.LargestPass()
		assert.Equal(t, []int{r.width, r.height}, []int{width, height}, name)
		assert.Equal(t, []any{full.Steps, full.Tokens, full.Refines, full.AskedBatch, len(full.Controls)},
			[]any{size.Steps, size.Tokens, size.Refines, size.AskedBatch, len(size.Controls)}, name)
		for _, p := range []*Prepared{full, size} {
			for _, pic := range []*request.Picture{&p.Request.InitImage, &p.Request.MaskImage} {
				if pic.Image != nil {
					pic.Image = pic.Image.Bounds()
				}
			}
			for i := range p.Request.ControlNets {
				p.Request.ControlNets[i].Image.Image = nil
			}
		}
		assert.Equal(t, full.Request, size.Request, name)
	}
}

// TestPhotographsOfEveryOrientation have the size they are shown at.
func TestPhotographsOfEveryOrientation(t *testing.T) {
	target := newTarget(t, &fake.Backend{})
	for o := range uint16(9) {
		want := []int{120, 88}
		if o >= 5 {
			want = []int{88, 120}
		}
		for _, prepare := range []func(request.Request) (*Prepared, error){target.Prepare, target.PrepareSize} {
			p, err := prepare(request.Request{Prompt: "x", InitImage: request.Picture{Path: photograph(t, o)}})
			require.NoError(t, err)
			assert.Equal(t, want, []int{p.Request.Width, p.Request.Height}, "orientation %d", o)
		}
	}
}

// TestSeeds: 0 is a seed like any other, -1 is one of 32 bits by chance.
func TestSeeds(t *testing.T) {
	target := newTarget(t, &fake.Backend{})
	seen := map[int64]bool{}
	for range 8 {
		for seed := range int64(3) {
			p, err := target.Prepare(request.Request{Prompt: "x", Seed: seed - 1})
			require.NoError(t, err)
			if seed > 0 {
				assert.Equal(t, seed-1, p.Request.Seed)
				continue
			}
			seen[p.Request.Seed] = true
			assert.True(t, p.Request.Seed >= 0 && p.Request.Seed < 1<<32)
		}
	}
	assert.Greater(t, len(seen), 6)
}

// TestPlain: where nothing is known, room is left for a picture of the model's own size. An inpainting checkpoint needs one to paint on.
func TestPlain(t *testing.T) {
	for _, channels := range []int{4, 9} {
		target := newTarget(t, &fake.Backend{InChannels: channels})
		p, err := target.Plain()
		require.NoError(t, err)
		assert.Equal(t, []int{1024, 1024, 1}, []int{p.Request.Width, p.Request.Height, p.Request.NumImages})
		assert.Equal(t, channels == 9, !p.Request.InitImage.IsZero() && p.Request.Paints())
		var errs request.Errors
		target.check(p.Request, &errs)
		assert.Empty(t, errs, "such a request is valid")
		assert.NotNil(t, p.Scheduler)
		assert.Positive(t, p.Steps)
	}
}

// TestEtaOfPipelines: diffusers' pipelines hand eta = 0 to every scheduler that takes one, TCD as well, unless they are told another.
func TestEtaOfPipelines(t *testing.T) {
	target := newTarget(t, &fake.Backend{})
	for name, want := range map[string]any{"TCD": 0.0, "DDIM": 0.0, "Euler": nil} {
		p, err := target.Prepare(request.Request{Prompt: "x", Scheduler: name})
		require.NoError(t, err)
		var got any
		if eta := p.Scheduler.Config().Eta; eta != nil {
			got = *eta
		}
		assert.Equal(t, want, got, name)
		assert.NotContains(t, strings.Join(p.Scheduler.Notes(), "; "), "no option eta", name)
	}
	p, err := target.Prepare(request.Request{Prompt: "x", Scheduler: "TCD", SchedulerOptions: map[string]any{"eta": 0.3}})
	require.NoError(t, err)
	assert.Equal(t, new(0.3), p.Scheduler.Config().Eta)
}
