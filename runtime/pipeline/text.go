package pipeline

import (
	"context"
	"fmt"
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/prompt"
)

// texts is one half of guidance as the two encoders read it.
type texts [2]prompt.Text

// encodePrompts makes the conditioning of the request. Both prompts are read by both encoders
// (prompt_2 by the second, where it is given); the outputs are joined along the features. All four texts are
// brought to the same number of chunks, so that both halves of guidance fit into one batch.
func (j *job) encodePrompts(ctx context.Context) error {
	r := &j.req
	reader, warnings, err := j.p.words.reader(j.p.model, r.PromptSyntax, r.Prompt, r.Prompt2, r.NegativePrompt, r.NegativePrompt2)
	if err != nil {
		return err
	}
	for _, w := range warnings {
		j.warn(w)
	}
	positive, err := j.readTexts(reader, "prompt", r.Prompt, "prompt_2", r.Prompt2)
	if err != nil {
		return err
	}
	// As in diffusers an absent negative prompt is zeros if the model wants that; here one that is empty is absent.
	guidance := r.GuidanceScale > 1
	zeros := *r.ForceZerosForEmptyPrompt && r.NegativePrompt == "" && r.NegativePrompt2 == ""
	var negative texts
	if guidance && !zeros {
		if negative, err = j.readTexts(reader, "negative_prompt", r.NegativePrompt, "negative_prompt_2", r.NegativePrompt2); err != nil {
			return err
		}
		prompt.Equalize(&positive[0], &positive[1], &negative[0], &negative[1])
	} else {
		prompt.Equalize(&positive[0], &positive[1])
	}
	if j.cond.positive, err = j.encodeTexts(ctx, positive); err != nil {
		return err
	}
	j.cond.positive.sizeIDs = sizeIDs(r.OriginalSize, r.CropsCoordsTopLeft, r.TargetSize)
	if !guidance {
		return nil
	}
	half := j.cond.positive.zeroed()
	if !zeros {
		if half, err = j.encodeTexts(ctx, negative); err != nil {
			return err
		}
	}
	half.sizeIDs = sizeIDs(r.NegativeOriginalSize, r.NegativeCropsCoordsTopLeft, r.NegativeTargetSize)
	j.cond.negative = &half
	return nil
}

// readTexts parses one half's texts for the two encoders; the second's is the first's where it is empty.
func (j *job) readTexts(reader *prompt.Reader, key, one, key2, two string) (out texts, err error) {
	if two == "" {
		key2, two = key, one
	}
	for encoder, in := range []struct{ key, text string }{{key, one}, {key2, two}} {
		if out[encoder], err = reader.Read(in.text, encoder); err != nil {
			return out, promptError(in.key, err)
		}
		for _, w := range out[encoder].Warnings {
			if w = in.key + ": " + w; !slices.Contains(j.res.Warnings, w) {
				j.warn(w)
			}
		}
	}
	return out, nil
}

// encodeTexts runs both encoders and joins what they yield: hidden states [T, w1] and [T, w2] to
// [T, w1+w2], the pooled output from the second encoder's first chunk. Weights act on the hidden states.
func (j *job) encodeTexts(ctx context.Context, in texts) (embedding, error) {
	info := j.p.info
	widths := [2]int{info.TextEncoder.Width, info.TextEncoder2.Width}
	total := widths[0] + widths[1]
	e := embedding{tokens: in[0].Chunks() * prompt.RowTokens}
	e.context = make([]float32, e.tokens*total)
	at := 0
	for encoder, t := range in {
		w := widths[encoder]
		out, err := j.p.model.EncodeText(ctx, backend.TextInput{Encoder: encoder, ClipSkip: j.req.ClipSkip, IDs: t.IDs, Custom: tensorOf(t.Custom, w)})
		if err != nil {
			return e, fmt.Errorf("text encoder %d: %w", encoder+1, err)
		}
		if err := t.Weigh(out.Hidden.Data, w, prompt.EmphasisA1111); err != nil {
			return e, fmt.Errorf("text encoder %d: %w", encoder+1, err)
		}
		for k := range e.tokens {
			copy(e.context[k*total+at:], out.Hidden.Data[k*w:(k+1)*w])
		}
		at += w
		if encoder == 1 {
			e.pooled = append([]float32(nil), out.Pooled.Data[:info.UNet.PooledDim]...)
		}
	}
	return e, nil
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
