package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The tag in which stable-diffusion.cpp's server has keys within a prompt.
const (
	extraBegin = "<sd_cpp_extra_args>"
	extraEnd   = "</sd_cpp_extra_args>"
)

// extras takes the keys that are in the prompt out of it.
func extras(prompt string) (rest string, keys map[string]any, err error) {
	keys = map[string]any{}
	for {
		before, tail, ok := strings.Cut(prompt, extraBegin)
		if !ok {
			return prompt, keys, nil
		}
		text, after, ok := strings.Cut(tail, extraEnd)
		if !ok {
			return prompt, nil, fmt.Errorf("has %s without %s", extraBegin, extraEnd)
		}
		more, err := readObject([]byte(text))
		if err != nil {
			return prompt, nil, fmt.Errorf("has %s, but what follows is no JSON object: %w", extraBegin, err)
		}
		flatten(more)
		for key, v := range more {
			if _, twice := keys[key]; twice {
				return prompt, nil, fmt.Errorf("has %s twice in %s", key, extraBegin)
			}
			keys[key] = v
		}
		prompt = strings.TrimSpace(strings.TrimSpace(before) + " " + strings.TrimSpace(after))
	}
}

// sdcppNames are stable-diffusion.cpp's names of keys, where they are nobody else's.
var sdcppNames = map[string]string{"sample_method": "sampler_name", "sampling_method": "sampler_name", "sample_steps": "steps",
	"txt_cfg": "cfg_scale", "batch_count": "num_images", "clip_skip": "clip_skip"}

// flatten brings stable-diffusion.cpp's tables within tables, and its names, into the form of a job.
func flatten(keys map[string]any) {
	for _, inner := range []string{"sample_params", "guidance"} { // the second is within the first
		if table, ok := keys[inner].(map[string]any); ok {
			delete(keys, inner)
			maps.Copy(keys, table)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sdcppNames)) {
		if v, ok := keys[name]; ok {
			delete(keys, name)
			keys[sdcppNames[name]] = v
		}
	}
}

// readObject reads a JSON object; numbers stay as they are written.
func readObject(data []byte) (map[string]any, error) {
	var table map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&table); err != nil {
		return nil, err
	}
	if table == nil || d.More() {
		return nil, fmt.Errorf("expected one object")
	}
	return table, nil
}

// divide splits "positive|negative", as LocalAI does. A | within square brackets stays: there it belongs to the prompt.
func divide(prompt string) (positive, negative string, divided bool) {
	depth := 0
	for i, r := range prompt {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth = max(depth-1, 0)
		case r == '|' && depth == 0:
			return strings.TrimSpace(prompt[:i]), strings.TrimSpace(prompt[i+1:]), true
		}
	}
	return prompt, "", false
}

// readPrompt takes apart what the prompt holds besides its text.
func (a *asked) readPrompt() {
	prompt, _ := a.run["prompt"].(string)
	rest, keys, err := extras(prompt)
	if err != nil {
		a.errs.Add("prompt", "%v", err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		if keys[name] != nil {
			a.takeKey(name, keys[name], nil)
		}
	}
	if _, given := a.run["negative_prompt"]; !given {
		if positive, negative, divided := divide(rest); divided {
			a.warn("the prompt was divided at |: what follows is the negative prompt, as in LocalAI; give negative_prompt to keep the |")
			rest, a.run["negative_prompt"] = positive, negative
		}
	}
	if a.run["prompt"] = rest; strings.TrimSpace(rest) == "" {
		a.errs.Add("prompt", "is missing; say what the picture shows")
	}
}
