package pipeline

import (
	"context"
	"image"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// spy is a fake whose UNet inputs are kept.
type spy struct {
	*fake.Backend
	inputs []backend.UNetInput
	damage func(out []float32) // if not nil, done to what the UNet predicts
}

type spyModel struct {
	backend.Model
	spy *spy
}

func (s *spy) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	m, err := s.Backend.Open(ctx, cfg)
	return &spyModel{m, s}, err
}

func (m *spyModel) UNet(ctx context.Context, in backend.UNetInput, out []float32) error {
	keep := in
	keep.Sample.Data = append([]float32(nil), in.Sample.Data...)
	keep.Timesteps = append([]float32(nil), in.Timesteps...)
	m.spy.inputs = append(m.spy.inputs, keep)
	err := m.Model.UNet(ctx, in, out)
	if m.spy.damage != nil {
		m.spy.damage(out)
	}
	return err
}

func openSpy(t *testing.T, b *fake.Backend) (*Pipeline, *spy) {
	s := &spy{Backend: b}
	p, err := Open(t.Context(), Config{}, WithBackend(s))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p, s
}

// distance is the root mean square difference of two pictures' colours, 0 to 255.
func distance(a, b image.Image, in image.Rectangle) float64 {
	var sum float64
	for y := in.Min.Y; y < in.Max.Y; y++ {
		for x := in.Min.X; x < in.Max.X; x++ {
			r1, g1, b1, _ := a.At(x, y).RGBA()
			r2, g2, b2, _ := b.At(x, y).RGBA()
			for _, d := range []float64{float64(r1) - float64(r2), float64(g1) - float64(g2), float64(b1) - float64(b2)} {
				sum += d * d / (257 * 257)
			}
		}
	}
	return math.Sqrt(sum / float64(3*in.Dx()*in.Dy()))
}

// blocks is a picture that is constant in every latent cell, so that the fake's VAE keeps it.
func blocks(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := img.PixOffset(x, y)
			img.Pix[c], img.Pix[c+1], img.Pix[c+2], img.Pix[c+3] = uint8(20*(x/8)), uint8(30*(y/8)), 90, 255
		}
	}
	return img
}

func TestImageToImage(t *testing.T) {
	b := &fake.Backend{}
	p, s := openSpy(t, b)
	original := blocks(64, 48)
	r := request.Request{Prompt: "a red circle", NumInferenceSteps: 20, Seed: 7, InitImage: request.Picture{Image: original}}
	before := math.Inf(-1)
	for _, strength := range []float64{0.1, 0.3, 0.7, 1} {
		r.Strength = strength
		s.inputs = nil
		out := generate(t, p, r)
		assert.Equal(t, image.Rect(0, 0, 64, 48), out.Images[0].Bounds(), "the size is the picture's")
		assert.Equal(t, int(20*strength), len(s.inputs), "int(steps*strength) steps")
		assert.Equal(t, int(20*strength), out.Timings.Steps)
		d := distance(original, out.Images[0], original.Rect)
		assert.Greater(t, d, before, "the more strength, the further from the picture")
		before = d
	}
	r.Strength = 0
	assert.Equal(t, 0.3, generate(t, p, r).Request.Strength)
	assert.Equal(t, 5, b.Count(fake.OpEncodeImage))

	r.Strength, r.NumImages, r.MaxBatch = 0.5, 3, 2
	generate(t, p, r)
	assert.Equal(t, 6, b.Count(fake.OpEncodeImage), "the picture is encoded once for all batches")
}

func TestInpaintKeepsWhatIsOutside(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	original := blocks(64, 48)
	r := request.Request{Prompt: "a red circle", NumInferenceSteps: 10, Seed: 7, InitImage: request.Picture{Image: original},
		MaskImage: request.Picture{Image: rightHalf(64, 48)}}
	for _, strength := range []float64{0.5, 0, 1} {
		r.Strength = strength
		out := generate(t, p, r).Images[0]
		kept, painted := image.Rect(0, 0, 32, 48), image.Rect(32, 0, 64, 48)
		// The VAE's sampling noise (a standard deviation of e^-4 before the scaling factor) is all that remains.
		assert.Less(t, distance(original, out, kept), 4.0, "strength %v", strength)
		assert.Greater(t, distance(original, out, painted), 20.0, "strength %v", strength)
	}
}

func TestInpaintNineChannels(t *testing.T) {
	b := &fake.Backend{InChannels: 9}
	p, s := openSpy(t, b)
	assert.Equal(t, backend.KindSDXLInpaint, p.Info().Kind)
	_, err := p.Generate(t.Context(), small("x"))
	require.ErrorContains(t, err, "mask_image: is missing")

	original := blocks(64, 48)
	r := request.Request{Prompt: "a red circle", NumInferenceSteps: 10, Seed: 7, NumImages: 2, Strength: 1,
		InitImage: request.Picture{Image: original}, MaskImage: request.Picture{Image: rightHalf(64, 48)}}
	generate(t, p, r)
	assert.Equal(t, 1, b.Count(fake.OpEncodeImage), "at strength 1 only the masked picture is encoded")
	require.Len(t, s.inputs, 10)
	in := s.inputs[3].Sample
	require.Equal(t, []int{4, 9, 6, 8}, in.Shape, "two pictures, two halves")
	const cells = 48
	for row := range 4 {
		plane := func(c int) []float32 { return in.Data[(row*9+c)*cells:][:cells] }
		for i, m := range plane(4) {
			assert.Equal(t, float32(i%8/4), m, "the mask is 1 on the right")
			if m == 1 {
				assert.InDelta(t, 0, plane(5)[i], 0.02, "the masked picture is grey there")
			}
		}
		assert.InDelta(t, (20.0/255*2-1)*0.13025, plane(5)[1], 0.02, "and the picture on the left")
		if row < 2 {
			assert.Equal(t, plane(0), in.Data[((row+2)*9)*cells:][:cells], "both halves see the same latents")
		}
	}
	r.Strength = 0.5
	generate(t, p, r)
	assert.Equal(t, 3, b.Count(fake.OpEncodeImage))
}

func TestTimestepsAndConditioningOfTheUNet(t *testing.T) {
	p, s := openSpy(t, &fake.Backend{})
	r := small("a red circle")
	r.OriginalSize = request.Size{Height: 100, Width: 200}
	r.CropsCoordsTopLeft = request.Point{Top: 3, Left: 4}
	r.NegativeTargetSize = request.Size{Height: 50, Width: 60}
	generate(t, p, r)
	var steps []float32
	for _, in := range s.inputs {
		assert.Equal(t, in.Timesteps[0], in.Timesteps[1])
		steps = append(steps, in.Timesteps[0])
	}
	assert.Equal(t, []float32{751, 501, 251, 1}, steps, "SDXL's leading spacing with an offset of 1")
	assert.Equal(t, []float32{100, 200, 0, 0, 50, 60, 100, 200, 3, 4, 48, 64}, s.inputs[0].SizeIDs.Data, "negative half first")
	context := s.inputs[0].Context
	half := len(context.Data) / 2
	assert.Equal(t, make([]float32, half), context.Data[:half], "an absent negative prompt is zeros")
	assert.Equal(t, make([]float32, 8), s.inputs[0].Pooled.Data[:8])
	assert.NotEqual(t, make([]float32, half), context.Data[half:])
}

func TestGivenNoise(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r := small("a red circle")
	noise := make([]float32, 4*6*8)
	for i := range noise {
		noise[i] = float32(math.Sin(float64(i)))
	}
	r.Noise = request.Array{Shape: []int{1, 4, 6, 8}, Data: noise}
	one := generate(t, p, r).Images[0]
	r.Seed = 99
	assert.Equal(t, one.Latents, generate(t, p, r).Images[0].Latents, "the seed plays no part")
	other := make([]float32, len(noise))
	r.Noise = request.Array{Shape: []int{2, 4, 6, 8}, Data: append(other, noise...)}
	r.NumImages, r.MaxBatch = 2, 1
	assert.Equal(t, one.Latents, generate(t, p, r).Images[1].Latents, "each picture has its own")
	r.Noise.Shape = []int{2, 4, 8, 6}
	_, err := p.Generate(t.Context(), r)
	require.ErrorContains(t, err, "noise: has shape [2 4 8 6]; expected [1, 4, 6, 8], or [2, ...]")
}
