package adapters

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Limits of what is taken from metadata, which are strangers' texts.
const (
	maxWords     = 20
	maxTextBytes = 400
)

// Tag is a word of the training captions.
type Tag struct {
	Name  string `json:"name"`
	Count int    `json:"count"` // pictures it was written for
}

// Origin is what a file's metadata tells of its making; all of it may be empty, and none of it is to be trusted.
type Origin struct {
	Title        string   `json:"title,omitempty"`
	Author       string   `json:"author,omitempty"`
	Description  string   `json:"description,omitempty"`
	License      string   `json:"license,omitempty"`
	BaseModel    string   `json:"base_model,omitempty"`    // ss_base_model_version, else modelspec.architecture
	Checkpoint   string   `json:"checkpoint,omitempty"`    // the file it was trained on
	Module       string   `json:"module,omitempty"`        // of the training program: networks.lora, lycoris.kohya
	TriggerWords []string `json:"trigger_words,omitempty"` // what to write into the prompt
	Tags         []Tag    `json:"tags,omitempty"`          // the most frequent words of the captions
}

// readOrigin reads the keys of sd-scripts (ss_*), of the Model Spec (modelspec.*) and of diffusers' and others' files.
func readOrigin(meta map[string]string) Origin {
	first := func(keys ...string) string {
		for _, k := range keys {
			if v := strings.TrimSpace(meta[k]); v != "" && v != "None" && v != "null" {
				return clipText(v)
			}
		}
		return ""
	}
	o := Origin{
		Title: first("modelspec.title", "ss_output_name", "name"), Author: first("modelspec.author"), License: first("modelspec.license"),
		Description: first("modelspec.description", "ss_training_comment"),
		BaseModel:   first("ss_base_model_version", "modelspec.architecture", "base_model", "baseModel"),
		Checkpoint:  first("ss_sd_model_name"), Module: first("ss_network_module"),
		Tags: readTags(meta["ss_tag_frequency"]),
	}
	for _, word := range strings.Split(first("modelspec.trigger_phrase", "trigger_words", "ss_trigger_words", "activation text"), ",") {
		if word = strings.TrimSpace(word); word != "" && len(o.TriggerWords) < maxWords && !slices.Contains(o.TriggerWords, word) {
			o.TriggerWords = append(o.TriggerWords, word)
		}
	}
	if len(o.TriggerWords) == 0 && len(o.Tags) > 0 {
		for _, t := range o.Tags { // what nearly every caption says
			if 10*t.Count >= 9*o.Tags[0].Count && len(o.TriggerWords) < 3 {
				o.TriggerWords = append(o.TriggerWords, t.Name)
			}
		}
	}
	return o
}

// readTags adds up sd-scripts' {"folder": {"tag": count}} and returns the most frequent ones.
func readTags(text string) []Tag {
	var folders map[string]map[string]int
	if text == "" || json.Unmarshal([]byte(text), &folders) != nil {
		return nil
	}
	sum := map[string]int{}
	for _, tags := range folders {
		for tag, n := range tags {
			if tag = strings.TrimSpace(tag); tag != "" && n > 0 {
				sum[clipText(tag)] += n
			}
		}
	}
	names := slices.SortedFunc(maps.Keys(sum), func(a, b string) int { return cmp.Or(cmp.Compare(sum[b], sum[a]), cmp.Compare(a, b)) })
	var out []Tag
	for _, name := range names[:min(len(names), maxWords)] {
		out = append(out, Tag{name, sum[name]})
	}
	return out
}

func clipText(s string) string {
	s = strings.ToValidUTF8(s, "")
	if len(s) > maxTextBytes {
		s = strings.ToValidUTF8(s[:maxTextBytes], "") + "..."
	}
	return s
}
