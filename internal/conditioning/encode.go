package conditioning

import (
	"context"
	"fmt"
	"slices"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Adapters are what acts on a model's text encoders.
type Adapters interface {
	// Uses returns what is applied at a step, from 0, of so many.
	Uses(step, steps int) []backend.LoRAUse
	// TextKey is equal for steps in which the text encoders yield the same.
	TextKey(step, steps int) string
	// UseKey tells what uses do to a component; equal keys yield the same.
	UseKey(uses []backend.LoRAUse, component string) string
}

// Encoder encodes one request's prompts for one model, again where adapters change. It belongs to one goroutine.
type Encoder struct {
	Model    models.Model
	Texts    Texts
	Adapters Adapters // nil: none
	Cache    *Cache
	Stats    *Stats

	script  *script
	longest int // chunks of the longest text
	key     string
	now     *Conditioning
	made    map[string]*Conditioning // those of earlier keys: every batch goes through them again
}

// maxMade is how many encodings of the prompts are remembered.
const maxMade = 64

// At returns the conditioning for a step, from 0, of so many, and whether it is another than at the call before.
func (e *Encoder) At(ctx context.Context, step, steps int) (*Conditioning, bool, error) {
	if err := e.read(); err != nil {
		return nil, false, err
	}
	said := e.script.at(step)
	key := said.key()
	if e.Adapters != nil {
		key += e.Adapters.TextKey(step, steps)
	}
	if e.now != nil && key == e.key {
		return e.now, false, nil
	}
	made, ok := e.made[key]
	if !ok {
		var uses []backend.LoRAUse
		if e.Adapters != nil {
			uses = e.Adapters.Uses(step, steps)
		}
		var err error
		if made, err = e.encode(ctx, said, uses); err != nil {
			return nil, false, err
		}
		if e.made == nil || len(e.made) >= maxMade {
			e.made = map[string]*Conditioning{}
		}
		e.made[key] = made
	}
	e.now, e.key = made, key
	return made, true, nil
}

// Ahead encodes for all of so many steps. The text encoders are then not needed again while the UNet runs, unless adapters are changed
// meanwhile.
func (e *Encoder) Ahead(ctx context.Context, steps int) error {
	for step := max(steps, 1) - 1; step >= 0; step-- { // the first last: it is what Now returns then
		if _, _, err := e.At(ctx, step, steps); err != nil {
			return err
		}
	}
	return nil
}

// Now is what At returned last.
func (e *Encoder) Now() *Conditioning { return e.now }

// read reads the request's prompts, once.
func (e *Encoder) read() (err error) {
	if e.script != nil {
		return nil
	}
	s, err := e.Texts.script()
	if err != nil {
		return err
	}
	e.longest, err = e.Texts.chunks(s, encodersOf(e.Model.Info), e.guided(), e.Model.Zeros)
	if err == nil {
		e.script = s
	}
	return err
}

func (e *Encoder) guided() bool { return e.Model.Info.UNet.Halves(e.Texts.Request.Guided()) }

// encode makes both halves of what is said.
func (e *Encoder) encode(ctx context.Context, now said, uses []backend.LoRAUse) (*Conditioning, error) {
	guided := e.guided()
	positive, negative, err := e.Texts.halves(now, encodersOf(e.Model.Info), guided, e.Model.Zeros)
	if err != nil {
		return nil, err
	}
	var out Conditioning
	ids, r := e.Model.Info.UNet.SizeIDs, e.Texts.Request
	for i, part := range positive {
		half, err := e.half(ctx, part, uses)
		if err != nil {
			return nil, err
		}
		half.SizeIDs = SizeIDs(ids, r, true, false)
		out.Positive, out.Weights = append(out.Positive, half), append(out.Weights, float32(e.script.positive[i].weight))
	}
	if !guided {
		return &out, nil
	}
	half := out.Positive[0].zeroed()
	if negative != nil {
		if half, err = e.half(ctx, negative, uses); err != nil {
			return nil, err
		}
	}
	half.SizeIDs = SizeIDs(ids, r, false, false)
	out.Negative = &half
	return &out, nil
}

// half runs the model's encoders and joins what they yield: hidden states [T, w1] and [T, w2] to [T, w1+w2], the pooled output from
// the second encoder's first chunk. Weights of words act on the hidden states.
func (e *Encoder) half(ctx context.Context, in texts, uses []backend.LoRAUse) (Embedding, error) {
	info := &e.Model.Info
	widths := [2]int{info.TextEncoder.Width, info.TextEncoder2.Width}
	total := info.UNet.ContextDim
	for _, t := range in {
		*t.text = t.text.Padded(e.longest)
	}
	out := Embedding{Tokens: in[0].text.Chunks() * prompt.RowTokens}
	out.Context = make([]float32, out.Tokens*total)
	at := 0
	for _, t := range in {
		w := widths[t.encoder]
		got, err := e.run(ctx, backend.TextInput{Encoder: t.encoder, ClipSkip: e.Texts.Request.ClipSkip, IDs: t.text.IDs,
			Custom: tensorOf(t.text.Custom, w), LoRAs: uses})
		if err != nil {
			return out, fmt.Errorf("text encoder %d: %w", t.encoder+1, err)
		}
		hidden := slices.Clone(got.Hidden.Data)
		if err := e.weigh(ctx, t, hidden, w, uses); err != nil {
			return out, fmt.Errorf("text encoder %d: %w", t.encoder+1, err)
		}
		for k := range out.Tokens {
			copy(out.Context[k*total+at:], hidden[k*w:(k+1)*w])
		}
		at += w
		if t.encoder == 1 {
			out.Pooled = slices.Clone(got.Pooled.Data[:info.UNet.PooledDim])
		}
	}
	return out, nil
}

// weigh applies a text's weights to an encoder's hidden states, in the way of the request's syntax.
func (e *Encoder) weigh(ctx context.Context, t encoderText, hidden []float32, width int, uses []backend.LoRAUse) error {
	if e.Texts.Request.PromptSyntax != request.SyntaxComfyUI || !t.text.Weighted() {
		return t.text.Weigh(hidden, width, prompt.EmphasisA1111)
	}
	empty, err := e.Texts.Reader.Read("", t.encoder)
	if err != nil {
		return err
	}
	got, err := e.run(ctx, backend.TextInput{Encoder: t.encoder, ClipSkip: e.Texts.Request.ClipSkip, IDs: empty.IDs, LoRAs: uses})
	if err != nil {
		return err
	}
	return t.text.WeighFrom(hidden, got.Hidden.Data, width)
}

// run asks one text encoder, or the cache. The output is shared.
func (e *Encoder) run(ctx context.Context, in backend.TextInput) (backend.TextOutput, error) {
	adapters := ""
	if e.Adapters != nil {
		adapters = e.Adapters.UseKey(in.LoRAs, []string{"text_encoder", "text_encoder_2"}[in.Encoder])
	}
	key := keyOfText(e.Model.Owner, in, adapters)
	if out, ok := e.Cache.get(key); ok {
		e.Stats.Cached++
		return out, nil
	}
	out, err := e.Model.EncodeText(ctx, in)
	if err != nil {
		return out, err
	}
	e.Stats.Encoded++
	e.Cache.put(key, out)
	return out, nil
}

// tensorOf joins vectors of a width to a tensor, the zero one if there are none.
func tensorOf(vectors [][]float32, width int) backend.Tensor {
	if len(vectors) == 0 {
		return backend.Tensor{}
	}
	return backend.Tensor{Shape: []int{len(vectors), width}, Data: slices.Concat(vectors...)}
}
