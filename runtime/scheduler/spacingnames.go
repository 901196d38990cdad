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

// SpacingNames returns the words that ResolveSpacing takes.
func SpacingNames() (names []string) {
	for _, s := range described.Spacings {
		names = append(names, s.Words...)
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
	for _, s := range described.Spacings {
		if slices.ContainsFunc(s.Words, func(w string) bool { return words.Fold(w) == key }) {
			return Spacing{s.Options.Clone(), s.Schedule}, nil
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
