package pipeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/prompt"
)

// encoderText is a text as one encoder reads it: 0 is CLIP-L, 1 OpenCLIP-bigG.
type encoderText struct {
	encoder int
	text    *prompt.Text
}

// texts is one half of guidance, for every encoder of an expert in their order.
type texts []encoderText

// encodePrompts makes the base's conditioning. Both prompts are read by both encoders
// (prompt_2 by the second, where it is given); the outputs are joined along the features. All four texts are
// brought to the same number of chunks, so that both halves of guidance fit into one batch.
func (j *job) encodePrompts(ctx context.Context) error {
	if err := j.openReader(); err != nil {
		return err
	}
	return j.conditionBase(ctx, 0)
}

// openReader makes ready what reads the prompts.
func (j *job) openReader() error {
	j.texts = withoutTags(j.req)
	r := &j.texts
	reader, warnings, err := j.p.words.reader(j.p.model, r.PromptSyntax, r.Prompt, r.Prompt2, r.NegativePrompt, r.NegativePrompt2)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		j.warn(w)
	}
	j.reader = reader
	return nil
}

// readHalves reads the texts of both halves of guidance, brought to the same number of chunks. The negative half is nil without guidance,
// and where it is to be zeros: as in diffusers an absent negative prompt is zeros if the model wants that; here one that is empty is absent.
func (j *job) readHalves(e *expert) (positive, negative texts, err error) {
	r := &j.texts
	if positive, err = j.readTexts(e, "prompt", r.Prompt, "prompt_2", r.Prompt2); err != nil {
		return nil, nil, err
	}
	zeros := e.forceZeros && r.NegativePrompt == "" && r.NegativePrompt2 == ""
	if r.GuidanceScale > 1 && !zeros {
		if negative, err = j.readTexts(e, "negative_prompt", r.NegativePrompt, "negative_prompt_2", r.NegativePrompt2); err != nil {
			return nil, nil, err
		}
	}
	var all []*prompt.Text
	for _, half := range []texts{positive, negative} {
		for _, t := range half {
			all = append(all, t.text)
		}
	}
	prompt.Equalize(all...)
	return positive, negative, nil
}

// condition makes both halves of what an expert's UNet is told.
func (j *job) condition(ctx context.Context, e *expert) error {
	r := &j.texts
	positive, negative, err := j.readHalves(e)
	if err != nil {
		return err
	}
	if e.cond.positive, err = j.encodeTexts(ctx, e, positive); err != nil {
		return err
	}
	ids := e.info.UNet.SizeIDs
	e.cond.positive.sizeIDs = sizeIDs(ids, r.OriginalSize, r.CropsCoordsTopLeft, r.TargetSize, r.AestheticScore)
	if r.GuidanceScale <= 1 {
		e.cond.negative = nil
		return nil
	}
	half := e.cond.positive.zeroed()
	if negative != nil {
		if half, err = j.encodeTexts(ctx, e, negative); err != nil {
			return err
		}
	}
	half.sizeIDs = sizeIDs(ids, r.NegativeOriginalSize, r.NegativeCropsCoordsTopLeft, r.NegativeTargetSize, r.NegativeAestheticScore)
	e.cond.negative = &half
	return nil
}

// readTexts parses one half's texts for the expert's encoders. The second's is the first's where it is empty, and for a
// refiner, whose only encoder it is: diffusers gives that one the prompt, not prompt_2.
func (j *job) readTexts(e *expert, key, one, key2, two string) (out texts, err error) {
	encoders := e.encoders()
	if two == "" || len(encoders) == 1 {
		key2, two = key, one
	}
	for _, encoder := range encoders {
		in := []struct{ key, text string }{{key, one}, {key2, two}}[encoder]
		text, err := j.reader.Read(in.text, encoder)
		if err != nil {
			return nil, promptError(in.key, err)
		}
		for _, w := range text.Warnings {
			if w = in.key + ": " + w; !slices.Contains(j.res.Warnings, w) {
				j.warn(w)
			}
		}
		out = append(out, encoderText{encoder, &text})
	}
	return out, nil
}

// encodeTexts runs the expert's encoders and joins what they yield: hidden states [T, w1] and [T, w2] to
// [T, w1+w2], the pooled output from the second encoder's first chunk. Weights act on the hidden states.
func (j *job) encodeTexts(ctx context.Context, e *expert, in texts) (embedding, error) {
	widths := [2]int{e.info.TextEncoder.Width, e.info.TextEncoder2.Width}
	total := e.info.UNet.ContextDim
	out := embedding{tokens: in[0].text.Chunks() * prompt.RowTokens}
	out.context = make([]float32, out.tokens*total)
	at := 0
	for _, t := range in {
		w := widths[t.encoder]
		got, err := j.encodeText(ctx, e, backend.TextInput{Encoder: t.encoder, ClipSkip: j.req.ClipSkip, IDs: t.text.IDs, Custom: tensorOf(t.text.Custom, w),
			LoRAs: j.loraUses(e, j.lora.textStep)})
		if err != nil {
			return out, err
		}
		hidden := slices.Clone(got.Hidden.Data)
		if err := t.text.Weigh(hidden, w, prompt.EmphasisA1111); err != nil {
			return out, fmt.Errorf("text encoder %d: %w", t.encoder+1, err)
		}
		for k := range out.tokens {
			copy(out.context[k*total+at:], hidden[k*w:(k+1)*w])
		}
		at += w
		if t.encoder == 1 {
			out.pooled = append([]float32(nil), got.Pooled.Data[:e.info.UNet.PooledDim]...)
		}
	}
	return out, nil
}

// tensorOf joins vectors of a width to a tensor, the zero one if there are none.
func tensorOf(vectors [][]float32, width int) backend.Tensor {
	if len(vectors) == 0 {
		return backend.Tensor{}
	}
	t := backend.Tensor{Shape: []int{len(vectors), width}, Data: make([]float32, 0, len(vectors)*width)}
	for _, v := range vectors {
		t.Data = append(t.Data, v...)
	}
	return t
}
