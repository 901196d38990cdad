package pipeline

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// encodePrompts makes the conditioning of the request. Both prompts are read by both encoders
// (prompt_2 by the second, where it is given); the outputs are joined along the features. All four texts are brought to the
// same number of chunks, so that both halves of guidance fit into one batch.
func (j *job) encodePrompts(ctx context.Context) error {
	r := &j.req
	positive, err := j.readTexts("prompt", r.Prompt, "prompt_2", r.Prompt2)
	if err != nil {
		return err
	}
	guidance := r.GuidanceScale > 1
	zeros := *r.ForceZerosForEmptyPrompt && r.NegativePrompt == "" && r.NegativePrompt2 == ""
	chunks := max(positive[0].chunks(), positive[1].chunks())
	var negative [2]text
	if guidance && !zeros {
		if negative, err = j.readTexts("negative_prompt", r.NegativePrompt, "negative_prompt_2", r.NegativePrompt2); err != nil {
			return err
		}
		chunks = max(chunks, negative[0].chunks(), negative[1].chunks())
	}
	if j.cond.positive, err = j.encodeTexts(ctx, positive, chunks); err != nil {
		return err
	}
	j.cond.positive.sizeIDs = sizeIDs(r.OriginalSize, r.CropsCoordsTopLeft, r.TargetSize)
	if !guidance {
		return nil
	}
	half := j.cond.positive.zeroed()
	if !zeros {
		if half, err = j.encodeTexts(ctx, negative, chunks); err != nil {
			return err
		}
	}
	half.sizeIDs = sizeIDs(r.NegativeOriginalSize, r.NegativeCropsCoordsTopLeft, r.NegativeTargetSize)
	j.cond.negative = &half
	return nil
}

// readTexts parses one half's texts for the two encoders; the second's is the first's where it is empty.
func (j *job) readTexts(key, one, key2, two string) ([2]text, error) {
	if two == "" {
		key2, two = key, one
	}
	var out [2]text
	for encoder, in := range []struct{ key, s string }{{key, one}, {key2, two}} {
		t, warnings, err := j.p.words.read(j.p.model, encoder, in.s)
		if err != nil {
			return out, fmt.Errorf("%s: %w", in.key, err)
		}
		if encoder == 0 || two != one {
			for _, w := range warnings {
				j.warn(in.key + ": " + w)
			}
		}
		out[encoder] = t
	}
	return out, nil
}

// encodeTexts runs both encoders and joins what they yield: hidden states [T, w1] and [T, w2] to
// [T, w1+w2], the pooled output from the second encoder's first chunk.
func (j *job) encodeTexts(ctx context.Context, texts [2]text, chunks int) (embedding, error) {
	info := j.p.info
	widths := [2]int{info.TextEncoder.Width, info.TextEncoder2.Width}
	total := widths[0] + widths[1]
	e := embedding{tokens: chunks * info.TextEncoder.MaxTokens}
	e.context = make([]float32, e.tokens*total)
	at := 0
	for encoder, t := range texts {
		t = t.padded(chunks)
		out, err := j.p.model.EncodeText(ctx, backend.TextInput{Encoder: encoder, ClipSkip: j.req.ClipSkip, IDs: t.ids, Custom: t.custom})
		if err != nil {
			return e, fmt.Errorf("text encoder %d: %w", encoder+1, err)
		}
		t.weigh(out.Hidden)
		w := widths[encoder]
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
