// Package words finds the known name nearest to one that was mistyped.
package words

import (
	"fmt"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Nearest returns the known name closest to name, and false when none is close enough to be meant:
// within a third of the longer one's letters, rounded up, and at most four, with case and the
// difference between "-", "_" and " " ignored. A known name that begins with name counts as close.
func Nearest(name string, known []string) (string, bool) {
	key := fold(name)
	if key == "" {
		return "", false
	}
	best, bestDistance := "", int(^uint(0)>>1)
	for _, k := range known {
		f := fold(k)
		d := levenshtein.ComputeDistance(key, f)
		limit := min(4, (max(len(key), len(f))+2)/3)
		if len(key) >= 3 && strings.HasPrefix(f, key) {
			d, limit = min(d, 1), 1
		}
		if d <= limit && d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best, best != ""
}

// Phrase returns `; did you mean "x"?` for the nearest known name, or nothing.
func Phrase(name string, known []string) string {
	if k, ok := Nearest(name, known); ok {
		return fmt.Sprintf("; did you mean %q?", k)
	}
	return ""
}

func fold(s string) string {
	return strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(s))
}
