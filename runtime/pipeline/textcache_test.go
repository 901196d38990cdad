package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func TestTheSamePromptIsEncodedOnce(t *testing.T) {
	b := &fake.Backend{}
	p := openFake(t, b)
	req := small("a red circle")
	req.NegativePrompt = "blurry"
	first := generate(t, p, req)
	assert.Equal(t, TextStats{Encoded: 4}, first.Texts)
	again := generate(t, p, req)
	assert.Equal(t, TextStats{Cached: 4}, again.Texts)
	assert.Equal(t, 4, b.Count(fake.OpEncodeText), "the text encoders were not asked again")
	assert.Equal(t, first.Images[0].Pix, again.Images[0].Pix)

	for _, c := range []struct {
		what    string
		change  func(*request.Request)
		encoded int
	}{
		{"another seed, size and scale", func(r *request.Request) { r.Seed, r.Width, r.GuidanceScale = 9, 128, 3 }, 0},
		{"other weights of the same words", func(r *request.Request) { r.Prompt = "a (red:1.4) circle" }, 0},
		{"another prompt", func(r *request.Request) { r.Prompt = "a blue circle" }, 2},
		{"another negative prompt", func(r *request.Request) { r.NegativePrompt = "sharp" }, 2},
		{"another prompt for the second encoder", func(r *request.Request) { r.Prompt2 = "a disc" }, 1},
		{"another layer", func(r *request.Request) { r.ClipSkip = 1 }, 4},
	} {
		changed := req
		c.change(&changed)
		cached := generate(t, p, changed)
		assert.Equal(t, TextStats{Encoded: c.encoded, Cached: 4 - c.encoded}, cached.Texts, c.what)
		fresh := generate(t, openFake(t, &fake.Backend{}), changed)
		assert.Equal(t, fresh.Images[0].Pix, cached.Images[0].Pix, c.what)
	}
}

func TestTextCacheKnowsAdaptersApart(t *testing.T) {
	p, _, _ := loraBench(t)
	ask := func(prompt string) *Result { return generate(t, p, small(prompt)) }
	plain := ask("a circle")
	assert.Equal(t, TextStats{Encoded: 2}, plain.Texts) // the negative prompt is zeros
	assert.Equal(t, TextStats{Cached: 2}, ask("a circle <lora:unet:1>").Texts, "an adapter of the UNet leaves the texts as they are")
	with := ask("a circle <lora:text:1>")
	assert.Equal(t, TextStats{Encoded: 1, Cached: 1}, with.Texts, "it changes the first encoder only")
	assert.NotEqual(t, plain.Images[0].Pix, with.Images[0].Pix)
	assert.Equal(t, TextStats{Encoded: 1, Cached: 1}, ask("a circle <lora:text:0.5>").Texts, "another weight")
	assert.Equal(t, TextStats{Encoded: 1, Cached: 1}, ask("a circle <lora:both:1>").Texts, "another file")
	assert.Equal(t, TextStats{Cached: 2}, ask("a circle <lora:text:1>").Texts)
	assert.Equal(t, with.Images[0].Pix, ask("a circle <lora:text:1>").Images[0].Pix)
	assert.Equal(t, plain.Images[0].Pix, ask("a circle").Images[0].Pix)
}
