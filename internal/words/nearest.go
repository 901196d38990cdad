package words

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/xrash/smetrics"
)

// Near returns at most n of the known names that name may have been meant to be, the most alike first. Case and separators do not
// count. A third of the letters may differ, and always two. A known name that begins with two or more given letters is near, too.
func Near(name string, known []string, n int) []string {
	type hit struct {
		name     string
		distance int
		alike    float64 // by Jaro's measure, which knows letters that changed places
	}
	var hits []hit
	word := Fold(name)
	for _, k := range known {
		f := Fold(k)
		longer := max(len(word), len(f))
		limit := min(max(2, (longer+2)/3), longer-1) // one letter at least is the same
		switch {
		case word == "" || longer-min(len(word), len(f)) > limit && !strings.HasPrefix(f, word):
		case len(word) >= 2 && strings.HasPrefix(f, word):
			hits = append(hits, hit{k, min(1, len(f)-len(word)), smetrics.Jaro(word, f)})
		default:
			if d := smetrics.WagnerFischer(word, f, 1, 1, 1); d <= limit {
				hits = append(hits, hit{k, d, smetrics.Jaro(word, f)})
			}
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(b.alike, a.alike)) })
	var out []string
	for _, h := range hits[:min(n, len(hits))] {
		out = append(out, h.name)
	}
	return out
}

// Nearest returns the known name most like name, or "" where none is near.
func Nearest(name string, known []string) string {
	if near := Near(name, known, 1); len(near) > 0 {
		return near[0]
	}
	return ""
}

// DidYouMean returns `; did you mean "x"?` for the nearest known name, or nothing.
func DidYouMean(name string, known []string) string {
	if near := Nearest(name, known); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
