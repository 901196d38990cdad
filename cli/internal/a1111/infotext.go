package a1111

import (
	"encoding/json"
	"regexp"
	"strings"
)

// pair is a setting of an infotext: a name, and a text that may be in quotes.
var pair = regexp.MustCompile(`\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)`)

// fewest is how many settings the last line of an infotext has at least; with fewer it belongs to the prompt.
const fewest = 3

// size is a width and a height.
var size = regexp.MustCompile(`^(\d+)x(\d+)$`)

// parseInfotext takes an infotext apart as A1111 does: the prompt, the negative prompt after its label, and the settings of the last line.
// A size becomes two settings.
func parseInfotext(text string) map[string]string {
	out := map[string]string{}
	if strings.TrimSpace(text) == "" {
		return out
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	last := lines[len(lines)-1]
	pairs := pair.FindAllStringSubmatch(last, -1)
	if len(pairs) < fewest {
		pairs = nil
	} else {
		lines = lines[:len(lines)-1]
	}
	to := "Prompt"
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "Negative prompt:"); ok {
			to, line = "Negative prompt", strings.TrimSpace(rest)
		}
		if out[to] != "" {
			out[to] += "\n"
		}
		out[to] += line
	}
	for _, p := range pairs {
		key, v := p[1], strings.TrimSpace(p[2])
		if strings.HasPrefix(v, `"`) {
			_ = json.Unmarshal([]byte(v), &v) // what is no quoted text stays as it is
		}
		if wh := size.FindStringSubmatch(v); wh != nil {
			out[key+"-1"], out[key+"-2"] = wh[1], wh[2]
			continue
		}
		out[key] = v
	}
	return out
}
