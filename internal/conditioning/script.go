package conditioning

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// passAt is the pass of a step, from 0, and the step within it. Without passes all steps are one.
func passAt(passes []Pass, step int) (prompt.Pass, int) {
	before := 0
	for i, p := range passes {
		if step < p.Steps || i == len(passes)-1 {
			return prompt.Pass{Steps: p.Steps, Second: p.Second, Before: before}, step
		}
		step -= p.Steps
		before += p.Steps
	}
	return prompt.Pass{Steps: step + 1}, step
}

// side is a half of guidance as it is written: for the first text encoder and for the second.
type side struct {
	key, key2 string
	one, two  prompt.Edits
	weight    float64
}

// sideAt is a side at a step.
type sideAt struct{ key, key2, one, two string }

func (s side) at(step int, p prompt.Pass) sideAt {
	return sideAt{s.key, s.key2, s.one.At(step, p), s.two.At(step, p)}
}

// script is what a request's prompts say at each step: the parts that AND joins, and the negative prompt.
type script struct {
	positive []side
	negative side
	passes   []Pass
	steps    int
}

// texts is what a script says at a step.
type said struct {
	positive []sideAt
	negative sideAt
}

// key tells texts apart.
func (s said) key() string { return fmt.Sprintf("%q", s) }

// at is what is said at a step, from 0.
func (s *script) at(step int) (out said) {
	pass, step := passAt(s.passes, step)
	for _, p := range s.positive {
		out.positive = append(out.positive, p.at(step, pass))
	}
	out.negative = s.negative.at(step, pass)
	return out
}

// changes reports whether the texts are not the same in all steps.
func (s *script) changes() bool {
	for _, side := range append(s.positive, s.negative) {
		if side.one.Changes() || side.two.Changes() {
			return true
		}
	}
	return false
}

// all lists what is said in any step, each once.
func (s *script) all() (list []said) {
	steps := max(s.steps, 1)
	if !s.changes() {
		steps = 1
	}
	seen := map[string]bool{}
	for step := range steps {
		now := s.at(step)
		if key := now.key(); !seen[key] {
			seen[key] = true
			list = append(list, now)
		}
	}
	return list
}

// Script reads a request's prompts. They hold no tags of adapters.
func (t Texts) script() (*script, error) {
	r := t.Request
	s := &script{passes: t.Passes}
	for _, p := range t.Passes {
		s.steps += p.Steps
	}
	ones, err := t.parts("prompt", r.Prompt)
	if err != nil {
		return nil, err
	}
	twos, err := t.parts("prompt_2", r.Prompt2)
	if err != nil {
		return nil, err
	}
	if n := len(twos); n > 1 && n != len(ones) {
		return nil, request.Errors{{Path: "prompt_2", Message: fmt.Sprintf(
			"AND joins %d parts here and %d in prompt; write as many, or one for all", n, len(ones))}}
	}
	for i, one := range ones {
		side := side{key: "prompt", key2: "prompt_2", weight: one.Weight}
		if side.one, side.two, err = t.sideOf("prompt", one.Text, "prompt_2", twos[min(i, len(twos)-1)].Text); err != nil {
			return nil, err
		}
		s.positive = append(s.positive, side)
	}
	if err := t.addRegions(s); err != nil {
		return nil, err
	}
	s.negative = side{key: "negative_prompt", key2: "negative_prompt_2"}
	s.negative.one, s.negative.two, err = t.sideOf("negative_prompt", r.NegativePrompt, "negative_prompt_2", r.NegativePrompt2)
	return s, err
}

// addRegions adds the prompts of regions behind the request's own, or puts them into its place. Each has one text for both encoders.
func (t Texts) addRegions(s *script) error {
	if len(t.Request.Regions) > 0 && len(s.positive) > 1 {
		return request.Errors{{Path: "prompt", Message: "AND cannot be used with regions: each region is one more prompt by itself; leave one " +
			"of them out"}}
	}
	if t.Alone {
		s.positive = nil
	}
	for i, g := range t.Request.Regions {
		key := regionKey(i)
		parts, err := t.parts(key, g.Prompt)
		if err == nil && len(parts) > 1 {
			err = request.Errors{{Path: key, Message: "AND joins prompts for all of the picture; leave it out here, or add a region for each"}}
		}
		if err != nil {
			return err
		}
		side := side{key: key, key2: key, weight: 1}
		if side.one, side.two, err = t.sideOf(key, g.Prompt, key, g.Prompt); err != nil {
			return err
		}
		s.positive = append(s.positive, side)
	}
	return nil
}

func regionKey(i int) string { return fmt.Sprintf("region[%d].prompt", i) }

// parts are the parts that AND joins.
func (t Texts) parts(key, text string) ([]prompt.Part, error) {
	if !t.edits() {
		return []prompt.Part{{Text: text, Weight: 1}}, nil
	}
	parts, err := prompt.SplitAND(text)
	if err != nil {
		return nil, promptError(key, err)
	}
	return parts, nil
}

// edits reports whether the request's syntax has edits.
func (t Texts) edits() bool {
	return t.Request.PromptSyntax == "" || t.Request.PromptSyntax == request.SyntaxA1111
}

// sideOf reads the edits of both texts of a side.
func (t Texts) sideOf(key, one, key2, two string) (first, second prompt.Edits, err error) {
	if !t.edits() {
		return prompt.Unedited(one), prompt.Unedited(two), nil
	}
	if first, err = prompt.ParseEdits(one); err != nil {
		return first, second, promptError(key, err)
	}
	if second, err = prompt.ParseEdits(two); err != nil {
		return first, second, promptError(key2, err)
	}
	return first, second, nil
}

// Parts is how many prompts the positive half has: those that AND joins, or the request's own and those of its regions.
func (t Texts) Parts() int {
	if s, err := t.script(); err == nil {
		return len(s.positive)
	}
	return 1
}

// Check reads a request's prompts without a tokenizer. It returns what looks like editing and is none.
func Check(r *request.Request) (doubts []string, err error) {
	t := Texts{Request: r}
	s, err := t.script()
	if err != nil {
		return nil, err
	}
	for _, side := range append(s.positive, s.negative) {
		for _, d := range side.one.Doubts {
			doubts = append(doubts, side.key+": "+d)
		}
		for _, d := range side.two.Doubts {
			if side.key2 != side.key { // a region has one text for both
				doubts = append(doubts, side.key2+": "+d)
			}
		}
	}
	type text struct{ key, text string }
	texts := []text{{"prompt", r.Prompt}, {"prompt_2", r.Prompt2}, {"negative_prompt", r.NegativePrompt},
		{"negative_prompt_2", r.NegativePrompt2}}
	for i, g := range r.Regions {
		texts = append(texts, text{regionKey(i), g.Prompt})
	}
	for _, in := range texts {
		if !t.edits() {
			break
		}
		more, err := prompt.Foreign(in.text)
		if err != nil {
			return nil, promptError(in.key, err)
		}
		for _, d := range more {
			doubts = append(doubts, in.key+": "+d)
		}
		if parts, err := prompt.SplitAND(in.text); err == nil && len(parts) > 1 && strings.HasPrefix(in.key, "negative") {
			return doubts, request.Errors{{Path: in.key, Message: "AND joins prompts that the picture shows; leave it out here, or write and"}}
		}
	}
	joined := len(s.positive) > 1 && len(r.Regions) == 0
	for i, side := range s.positive {
		if joined && strings.TrimSpace(fmt.Sprint(side.one.At(0, prompt.Pass{Steps: 1}))) == "" && !side.one.Changes() {
			return doubts, request.Errors{{Path: "prompt", Message: fmt.Sprintf("part %d of those that AND joins is empty", i+1)}}
		}
	}
	return doubts, nil
}
