package scheduler

import (
	"slices"

	"github.com/daguerre-go/daguerre/internal/words"
)

// Spacing is what a word for the spacing of noise levels stands for.
type Spacing struct {
	// Options are to be set in the Config.
	Options Config
	// Schedule, where not empty, is to be set in RunOptions.
	Schedule Schedule
}

// spacingNames are the scheduler names of AUTOMATIC1111 ("schedule type"), ComfyUI and stable-diffusion.cpp. "sgm_uniform"
// and "simple" are what diffusers' documentation gives for them.
var spacingNames = []struct {
	words   []string
	spacing Spacing
}{
	{[]string{"karras"}, Spacing{Options: Config{UseKarrasSigmas: new(true)}}},
	{[]string{"exponential"}, Spacing{Options: Config{UseExponentialSigmas: new(true)}}},
	{[]string{"beta"}, Spacing{Options: Config{UseBetaSigmas: new(true)}}},
	{[]string{"lu"}, Spacing{Options: Config{UseLuLambdas: new(true)}}},
	{[]string{"sgm_uniform", "simple", "trailing"}, Spacing{Options: Config{TimestepSpacing: "trailing"}}},
	{[]string{"leading"}, Spacing{Options: Config{TimestepSpacing: "leading"}}},
	{[]string{"linspace"}, Spacing{Options: Config{TimestepSpacing: "linspace"}}},
	{[]string{"ays", "align_your_steps"}, Spacing{Schedule: ScheduleAYS}},
	{[]string{"gits"}, Spacing{Schedule: ScheduleGITS}},
	{[]string{"default", "automatic", "normal", "uniform", "discrete"}, Spacing{}},
}

// SpacingNames returns the words that ResolveSpacing takes.
func SpacingNames() (names []string) {
	for _, s := range spacingNames {
		names = append(names, s.words...)
	}
	return names
}

// ResolveSpacing returns what a word for the spacing of noise levels stands for ("karras", "sgm_uniform", "ays",
// ...); "" and "default" leave the scheduler's own.
func ResolveSpacing(word string) (Spacing, error) {
	key := words.Fold(word)
	if key == "" {
		return Spacing{}, nil
	}
	for _, s := range spacingNames {
		if slices.ContainsFunc(s.words, func(w string) bool { return words.Fold(w) == key }) {
			return Spacing{s.spacing.Options.Clone(), s.spacing.Schedule}, nil
		}
	}
	want := "it is no spacing of noise levels"
	if near := words.Near(word, SpacingNames(), 2); len(near) > 0 {
		want += "; did you mean " + near[0] + "?"
	} else {
		want += "; known are " + quoteList(SpacingNames())
	}
	return Spacing{}, &OptionError{Option: "sigmas", Found: `"` + words.Clip(word) + `"`, Want: want}
}
