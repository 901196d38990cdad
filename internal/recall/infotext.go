package recall

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// settingName is the name of a setting with its colon.
var settingName = regexp.MustCompile(`^\s*(\w[\w \-/]+):\s*`)

// quotedText is a text in quotes.
var quotedText = regexp.MustCompile(`^"(?:\\.|[^\\"])+"`)

// fewest is how many settings the last line of an infotext has at least; with fewer it belongs to the prompt.
const fewest = 3

// size is a width and a height.
var size = regexp.MustCompile(`^(\d+)x(\d+)$`)

// pair is a setting of an infotext.
type pair struct{ name, value string }

// Infotext takes an infotext apart as A1111 does: the prompt, the negative prompt after its label, and the settings of the last line.
// A size becomes two settings.
func Infotext(text string) map[string]string {
	out := map[string]string{}
	prompt, negative, pairs := splitInfotext(text)
	for key, value := range map[string]string{"Prompt": prompt, "Negative prompt": negative} {
		if value != "" {
			out[key] = value
		}
	}
	for _, p := range pairs {
		if p.name == "" {
			continue
		}
		if wh := size.FindStringSubmatch(p.value); wh != nil {
			out[p.name+"-1"], out[p.name+"-2"] = wh[1], wh[2]
			continue
		}
		out[p.name] = p.value
	}
	return out
}

// splitInfotext is Infotext with the settings in their order, sizes as they are written.
func splitInfotext(text string) (prompt, negative string, pairs []pair) {
	if strings.TrimSpace(text) == "" {
		return "", "", nil
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	found := pairsOf(lines[len(lines)-1])
	if len(slices.DeleteFunc(slices.Clone(found), func(p pair) bool { return p.name == "" })) >= fewest {
		pairs, lines = found, lines[:len(lines)-1]
	}
	to := &prompt
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "Negative prompt:"); ok {
			to, line = &negative, strings.TrimSpace(rest)
		}
		if *to != "" {
			*to += "\n"
		}
		*to += line
	}
	return prompt, negative, pairs
}

// pairsOf reads a line of settings. What has no name is a pair without one.
func pairsOf(line string) (out []pair) {
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimLeft(line, " ,") {
		var p pair
		if m := settingName.FindStringSubmatch(line); m != nil {
			p.name, line = m[1], line[len(m[0]):]
		}
		n := lengthOf(line)
		p.value, line = strings.TrimSpace(line[:n]), line[n:]
		if strings.HasPrefix(p.value, `"`) {
			_ = json.Unmarshal([]byte(p.value), &p.value) // what is no quoted text stays as it is
		}
		out = append(out, p)
	}
	return out
}

// lengthOf is how long the value is that a line begins with: a text in quotes, an array or an object of JSON, or all up to a comma.
func lengthOf(line string) int {
	if quoted := quotedText.FindString(line); quoted != "" {
		return len(quoted)
	}
	if strings.HasPrefix(line, "[") || strings.HasPrefix(line, "{") {
		d := json.NewDecoder(strings.NewReader(line))
		var raw json.RawMessage
		if d.Decode(&raw) == nil {
			return int(d.InputOffset())
		}
	}
	if n := strings.IndexByte(line, ','); n >= 0 {
		return n
	}
	return len(line)
}
