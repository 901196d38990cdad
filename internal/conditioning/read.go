package conditioning

import (
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// encoderText is a text as one encoder reads it: 0 is CLIP-L, 1 OpenCLIP-bigG.
type encoderText struct {
	encoder int
	text    *prompt.Text
}

// texts is one half of guidance, for every encoder of a model in their order.
type texts []encoderText

// Texts reads a request's prompts. The request is prepared, and its prompts hold no tags of adapters.
type Texts struct {
	Request *request.Request
	Reader  *prompt.Reader
	Warn    func(string) // told of what a text's warnings say
}

// encodersOf lists the text encoders whose outputs a UNet's context is made of.
func encodersOf(info backend.ModelInfo) []int {
	if info.UNet.ContextDim == info.TextEncoder2.Width {
		return []int{1}
	}
	return []int{0, 1}
}

// halves reads the texts of both halves of guidance for some encoders, brought to the same number of chunks, so that both fit into
// one batch. The negative half is nil where nothing is guided, and where it is to be zeros: as in diffusers an absent negative prompt is
// zeros if the model wants that. Here an empty prompt is absent.
func (t Texts) halves(encoders []int, guided, zeros bool) (positive, negative texts, err error) {
	r := t.Request
	if positive, err = t.half(encoders, "prompt", r.Prompt, "prompt_2", r.Prompt2); err != nil {
		return nil, nil, err
	}
	if guided && !(zeros && r.NegativePrompt == "" && r.NegativePrompt2 == "") {
		if negative, err = t.half(encoders, "negative_prompt", r.NegativePrompt, "negative_prompt_2", r.NegativePrompt2); err != nil {
			return nil, nil, err
		}
	}
	var all []*prompt.Text
	for _, half := range []texts{positive, negative} {
		for _, e := range half {
			all = append(all, e.text)
		}
	}
	prompt.Equalize(all...)
	return positive, negative, nil
}

// half parses one half's texts. The second encoder's is the first's where it is empty, and where it is the only encoder, as a
// refiner's: diffusers gives that one the prompt, not prompt_2.
func (t Texts) half(encoders []int, key, one, key2, two string) (out texts, err error) {
	if two == "" || len(encoders) == 1 {
		key2, two = key, one
	}
	for _, encoder := range encoders {
		in := []struct{ key, text string }{{key, one}, {key2, two}}[encoder]
		text, err := t.Reader.Read(in.text, encoder)
		if err != nil {
			return nil, promptError(in.key, err)
		}
		for _, w := range text.Warnings {
			t.Warn(in.key + ": " + w)
		}
		out = append(out, encoderText{encoder, &text})
	}
	return out, nil
}

// promptError files a prompt's error under its key.
func promptError(key string, err error) error {
	var own *prompt.Error
	if errors.As(err, &own) {
		return request.Errors{{Path: key, Message: own.Error()}}
	}
	return fmt.Errorf("%s: %w", key, err)
}

// Chunks counts the chunks of 77 tokens that a request's texts fill: for the base, and where refines says so for a refiner that may not be
// open yet, which then has one encoder, with and without zeros for an absent prompt. Texts of different lengths cannot share a batch.
func (t Texts) Chunks(info backend.ModelInfo, zeros, refines bool) (n [3]int, err error) {
	type reading struct {
		encoders      []int
		guided, zeros bool
	}
	scale := t.Request.GuidanceScale
	readings := []reading{{encodersOf(info), info.UNet.Halves(scale), zeros}}
	if refines {
		readings = append(readings, reading{[]int{1}, scale > 1, true}, reading{[]int{1}, scale > 1, false})
	}
	for i, r := range readings {
		positive, _, err := t.halves(r.encoders, r.guided, r.zeros)
		if err != nil {
			return n, err
		}
		n[i] = positive[0].text.Chunks()
	}
	return n, nil
}
