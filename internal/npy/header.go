package npy

import (
	"regexp"
	"strconv"
	"strings"
)

// description is what a header says.
type description struct {
	descr   string
	fortran bool
	shape   []int
}

// item is one key of a header and its value: a string without escapes, a word or a tuple.
var item = regexp.MustCompile(`^\s*(?:'(\w*)'|"(\w*)")\s*:\s*(?:'([^'\\]*)'|"([^"\\]*)"|(\w+)|(\([^()]*\)))\s*(?:,\s*|$)`)

// parseHeader reads the Python dict literal of a header: exactly the keys descr, fortran_order and shape.
func parseHeader(s string) (d description, err error) {
	body, after, closed := strings.Cut(s, "}")
	body, opened := strings.CutPrefix(strings.TrimSpace(body), "{")
	switch {
	case !opened || !closed:
		return d, fail("its header is damaged: the dict does not begin, or does not end")
	case strings.TrimSpace(after) != "":
		return d, fail("its header goes on after the dict")
	}
	seen := map[string]bool{}
	for rest := body; rest != ""; {
		m := item.FindStringSubmatch(rest)
		if m == nil {
			return d, fail("its header is damaged at byte %d of the dict", len(body)-len(rest))
		}
		rest = rest[len(m[0]):]
		key, text, word, tuple := m[1]+m[2], m[3]+m[4], m[5], m[6]
		var ok bool
		switch {
		case seen[key]:
			return d, fail("its header has the key %q twice", key)
		case key == "descr":
			d.descr, ok = text, text != ""
		case key == "fortran_order":
			d.fortran, ok = word == "True", word == "True" || word == "False"
		case key == "shape":
			d.shape, ok = parseShape(tuple)
		default:
			return d, fail("its header has the unknown key %q", key)
		}
		if !ok {
			return d, fail("its header has no usable %s", key)
		}
		seen[key] = true
	}
	for _, key := range []string{"descr", "fortran_order", "shape"} {
		if !seen[key] {
			return d, fail("its header lacks the key %q", key)
		}
	}
	return d, nil
}

// parseShape reads a tuple of dimensions: "()", "(2,)", "(2, 3)".
func parseShape(tuple string) ([]int, bool) {
	shape := []int{}
	inner := strings.TrimSuffix(strings.TrimSpace(strings.Trim(tuple, "()")), ",")
	if tuple == "" || inner == "" {
		return shape, tuple != ""
	}
	for word := range strings.SplitSeq(inner, ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(word), 10, 47)
		if err != nil || len(shape) == maxDims {
			return nil, false
		}
		shape = append(shape, int(n))
	}
	return shape, true
}
