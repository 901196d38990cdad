package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// phrasesFor writes a folder of wildcards and a styles file.
func phrasesFor(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "colour.txt"), []byte("red\ngreen\nblue\n"), 0o600))
	csv := filepath.Join(dir, "styles.csv")
	require.NoError(t, os.WriteFile(csv, []byte("name,prompt,negative_prompt\nink,\"ink, {prompt}\",photo\n"), 0o600))
	return Config{WildcardDirectories: []string{dir}, StyleFiles: []string{csv}}
}

// TestDrawnPicturesAreTheirOwn: each picture's seed draws its text, whatever the batch, and the manifest says it. The picture is that of
// the text by itself.
func TestDrawnPicturesAreTheirOwn(t *testing.T) {
	p := openFakeAs(t, &fake.Backend{}, phrasesFor(t))
	r := small("a __colour__ {circle|square} AND [x|y]")
	r.NumImages, r.MaxBatch, r.Styles, r.NegativePrompt = 6, 3, []string{"ink"}, "__colour__"
	out := generate(t, p, r)
	prompts := map[string]bool{}
	for i, img := range out.Images {
		assert.Equal(t, i, img.Index)
		m := out.Manifest(img)
		prompts[m.Prompt] = true
		assert.Regexp(t, `^ink, a (red|green|blue) (circle|square) AND \[x\|y\]$`, m.Prompt)
		assert.Regexp(t, `^(red|green|blue), photo$`, m.NegativePrompt)
		assert.Equal(t, &manifestPrompts{Prompt: r.Prompt, NegativePrompt: r.NegativePrompt, Styles: r.Styles}, m.Asked)
		one := small(m.Prompt)
		one.NegativePrompt, one.Seed = m.NegativePrompt, img.Seed
		assert.Equal(t, generate(t, p, one).Images[0].NRGBA, img.NRGBA, i)
	}
	assert.Greater(t, len(prompts), 2)
	assert.Equal(t, r.Prompt, out.Request.Prompt, "the request stays as it was")
	again, err := p.Prepare(out.Request)
	require.NoError(t, err)
	assert.Equal(t, out.Request, again)

	b := newTestBatcher(t, BatcherOptions{}, p)
	plan, err := b.Plan(r)
	require.NoError(t, err)
	images := make(chan Image, r.NumImages)
	job, err := b.Submit(t.Context(), plan, JobOptions{OnImage: func(img Image) error { images <- img; return nil }})
	require.NoError(t, err)
	require.NoError(t, job.Wait(t.Context()))
	for range r.NumImages {
		img := <-images
		assert.Equal(t, out.Images[img.Index].NRGBA, img.NRGBA, img.Index)
		assert.Equal(t, out.Manifest(out.Images[img.Index]).Prompt, plan.Result().Manifest(img).Prompt)
	}
}

// TestEditedPicturesInBatches: pictures of requests with edits and AND are the same alone and in a batch, with the halves of guidance
// together and apart, in a second pass and with a refiner.
func TestEditedPicturesInBatches(t *testing.T) {
	for name, edit := range map[string]func(*request.Request){
		"one pass": func(*request.Request) {}, "two passes": func(r *request.Request) { r.Hires.Scale = 2 },
		"apart":   func(r *request.Request) { r.GuidanceBatch = request.GuidanceSeparate },
		"rescale": func(r *request.Request) { r.GuidanceRescale = 0.5 },
	} {
		for _, refined := range []bool{false, true} {
			p := openFake(t, &fake.Backend{})
			if refined {
				p = openFakeRefined(t, &fake.Backend{}, false)
			}
			r := small("[a cat:a dog:0.5] AND [red|blue] :0.5 AND [:late:1.5]")
			r.NegativePrompt, r.NumImages, r.MaxBatch = "[bad:worse:2]", 3, 3
			edit(&r)
			out := generate(t, p, r)
			r.NumImages = 1
			for i, img := range out.Images {
				r.Seed = img.Seed
				require.Equal(t, img.NRGBA, generate(t, p, r).Images[0].NRGBA, "%s %v %d", name, refined, i)
			}
			plain := small("a cat AND red :0.5 AND late")
			plain.NegativePrompt = "bad"
			edit(&plain)
			assert.NotEqual(t, out.Images[0].NRGBA, generate(t, p, plain).Images[0].NRGBA, name)
		}
	}
}

// TestTextsOfEditsAreEncodedOnce: an alternation of two texts over many steps encodes two.
func TestTextsOfEditsAreEncodedOnce(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r := small("[a|b|a] cat")
	r.NumInferenceSteps, r.NumImages, r.MaxBatch = 12, 4, 2
	out := generate(t, p, r)
	assert.Equal(t, 2*2, out.Texts.Encoded, "two texts for two encoders; the negative half is zeros")
}

// TestPromptsAreRefused before anything is computed.
func TestPromptsAreRefused(t *testing.T) {
	p := openFakeAs(t, &fake.Backend{}, phrasesFor(t))
	for text, says := range map[string]string{
		"[a:b:0.5": "prompt: byte 0: [ begins an edit that is never closed", "{a|b": "prompt: byte 0: { begins options",
		"__shape__": "prompt: there is no wildcard shape", "__color__": `did you mean "colour"?`, "a AND AND b": "prompt: part 2",
		"a ADDROW b": "prompt: byte 2: ADDROW is not offered", "a AND b :9999": "at most 1000",
	} {
		_, err := p.Generate(t.Context(), small(text))
		require.ErrorIs(t, err, request.ErrInvalid, text)
		assert.ErrorContains(t, err, says, text)
		run := request.Run{Model: request.Model{Model: "nano", WildcardDirectories: p.config.WildcardDirectories},
			Jobs: []request.Request{small(text)}}
		assert.ErrorContains(t, CheckRun(&run), says, "without a model: "+text)
	}
	for says, edit := range map[string]func(*request.Request){
		"negative_prompt: AND joins":       func(r *request.Request) { r.NegativePrompt = "a AND b" },
		"prompt: AND needs guidance":       func(r *request.Request) { r.Prompt, r.GuidanceScale = "a AND b", request.NoGuidance },
		"prompt_2: AND joins 2 parts here": func(r *request.Request) { r.Prompt2 = "c AND d" },
		`styles: there is no style "inc"`:  func(r *request.Request) { r.Styles = []string{"inc"} },
		"prompt_file: makes a job of":      func(r *request.Request) { r.PromptFile = "p.txt" },
	} {
		r := small("a")
		edit(&r)
		_, err := p.Generate(t.Context(), r)
		require.ErrorIs(t, err, request.ErrInvalid, says)
		assert.ErrorContains(t, err, says)
	}
	for _, text := range []string{"[photo: a cat]", "a cat++ x", "a {cat}"} {
		assert.Len(t, generate(t, p, small(text)).Warnings, 1, text)
		r := small(text)
		r.PromptSyntax = request.SyntaxPlain
		assert.Empty(t, generate(t, p, r).Warnings, fmt.Sprint(text, " as text"))
	}
}
