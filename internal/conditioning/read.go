package conditioning

import (
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/prompt"
)

// encoderText is a text as one encoder reads it: 0 is CLIP-L, 1 OpenCLIP-bigG.
type encoderText struct {
	encoder int
	text    *prompt.Text
}

// texts is one half of guidance, for every encoder of a model in their order.
type texts []encoderText

// encodersOf lists the text encoders whose outputs a UNet's context is made of.
func encodersOf(info backend.ModelInfo) []int {
	if info.UNet.ContextDim == info.TextEncoder2.Width {
		return []int{1}
	}
	return []int{0, 1}
}

// halves reads what is said at a step for some encoders: each part of the positive half, and the negative one. The negative half is nil
// where nothing is guided, and where it is to be zeros: as in diffusers an absent negative prompt is zeros if the model wants that. Here an
// empty prompt is absent.
func (t Texts) halves(now said, encoders []int, guided, zeros bool) (positive []texts, negative texts, err error) {
	for _, part := range now.positive {
		half, err := t.half(encoders, part)
		if err != nil {
			return nil, nil, err
		}
		positive = append(positive, half)
	}
	if guided && !(zeros && t.Request.NegativePrompt == "" && t.Request.NegativePrompt2 == "") {
		negative, err = t.half(encoders, now.negative)
	}
	return positive, negative, err
}

// chunks is the number of chunks of the longest text of all steps: all texts are brought to it, so that they fit into one batch, whatever
// step the other pictures of the batch are at.
func (t Texts) chunks(s *script, encoders []int, guided, zeros bool) (n int, err error) {
	for _, now := range s.all() {
		positive, negative, err := t.halves(now, encoders, guided, zeros)
		if err != nil {
			return 0, err
		}
		for _, half := range append(positive, negative) {
			for _, e := range half {
				n = max(n, e.text.Chunks())
			}
		}
	}
	return n, nil
}

// half parses one side's texts. The second encoder's is the first's where it is empty, and where it is the only encoder, as a
// refiner's: diffusers gives that one the prompt, not prompt_2.
func (t Texts) half(encoders []int, side sideAt) (out texts, err error) {
	if side.two == "" && t.absent2(side.key2) || len(encoders) == 1 {
		side.key2, side.two = side.key, side.one
	}
	for _, encoder := range encoders {
		in := []struct{ key, text string }{{side.key, side.one}, {side.key2, side.two}}[encoder]
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

// absent2 reports whether a request has no text of its own for the second encoder.
func (t Texts) absent2(key string) bool {
	if key == "prompt_2" {
		return t.Request.Prompt2 == ""
	}
	return t.Request.NegativePrompt2 == ""
}

// Chunks counts the chunks of 77 tokens that a request's texts fill: for the base, and where refines says so for a refiner that may not be
// open yet, which then has one encoder, with and without zeros for an absent prompt. Texts of different lengths cannot share a batch.
func (t Texts) Chunks(info backend.ModelInfo, zeros, refines bool) (n [3]int, err error) {
	type reading struct {
		encoders      []int
		guided, zeros bool
	}
	guided := t.Request.Guided()
	readings := []reading{{encodersOf(info), info.UNet.Halves(guided), zeros}}
	if refines {
		readings = append(readings, reading{[]int{1}, guided, true}, reading{[]int{1}, guided, false})
	}
	s, err := t.script()
	if err != nil {
		return n, err
	}
	for i, r := range readings {
		if n[i], err = t.chunks(s, r.encoders, r.guided, r.zeros); err != nil {
			return n, err
		}
	}
	return n, nil
}

// Count is how many different texts of both halves are encoded for all steps.
func (t Texts) Count() int {
	s, err := t.script()
	if err != nil {
		return 1
	}
	return len(s.all())
}
