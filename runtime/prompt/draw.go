package prompt

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// ErrWildcard is matched by errors of wildcards: one that is not there, or wildcards that name each other in a circle.
var ErrWildcard = errors.New("unusable wildcard")

// Lines yields the lines of a wildcard, by the name between its underscores. Comments and empty lines are left out.
type Lines func(name string) ([]string, error)

const (
	maxDrawDepth = 32
	// defaultJoint stands between the options of {2$$a|b|c}.
	defaultJoint = ", "
)

// Draws reports whether a text has wildcards or variants.
func Draws(text string) bool {
	d := drawer{lines: func(string) ([]string, error) { return []string{""}, nil }}
	_, err := d.draw(text, 0)
	return err != nil || d.found
}

// Draw replaces a text's wildcards and variants by what a seed draws:
//
//	__name__        a line of the wildcard
//	{a|b|c}         one of them
//	{2::a|b}        a twice as often as b
//	{2$$a|b|c}      two of them, in any order, joined by ", "
//	{1-3$$ and $$a|b|c}  one to three of them, joined by " and "
//
// They may be nested; a wildcard's line is drawn from in its turn and may begin with a weight. A backslash before a brace or an underscore
// makes it text. The numbers are those of SplitMix64, which begins at the seed for each text: they are drawn from left to right, of an
// option before what is within it.
func Draw(text string, seed uint64, lines Lines) (string, error) {
	if err := validate(text); err != nil {
		return "", err
	}
	d := drawer{lines: lines, state: seed}
	return d.draw(text, 0)
}

// CheckDraws reads a text and all that can be drawn from it, whatever the seed.
func CheckDraws(text string, lines Lines) error {
	if err := validate(text); err != nil {
		return err
	}
	d := drawer{lines: lines, checks: map[string]bool{}}
	_, err := d.draw(text, 0)
	return err
}

// drawer draws from texts.
type drawer struct {
	lines  Lines
	state  uint64
	found  bool            // something is drawn
	checks map[string]bool // not nil: everything is visited, each wildcard once
	made   int             // bytes
}

// next is the next number of SplitMix64 (Steele, Lea and Flood 2014), brought to [0, 1).
func (d *drawer) next() float64 {
	d.state += 0x9e3779b97f4a7c15
	z := d.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}

// wildcard is a wildcard's name between underscores, where a text begins with one.
var wildcard = regexp.MustCompile(`^__([\pL\pN*](?:[\pL\pN*./-]|_[\pL\pN*./-])*)__`)

// adapterTag is the beginning of an adapter's tag whose name is no wildcard.
var adapterTag = regexp.MustCompile(`^<(?:lora|lyco):[^_<>][^<>]*>`)

// draw draws from a text, which is what depth others have yielded.
func (d *drawer) draw(text string, depth int) (string, error) {
	if depth > maxDrawDepth {
		return "", failure(ErrWildcard, -1, "wildcards or braces within each other are more than %d deep; they may name each other in a circle",
			maxDrawDepth)
	}
	var out strings.Builder
	for at := 0; at < len(text); {
		piece, n, err := d.piece(text, at, depth)
		if err != nil {
			return "", err
		}
		if d.made += len(piece); d.made > maxDrawDepth*maxBytes {
			return "", failure(ErrTooLong, -1, "wildcards and variants yield too much text")
		}
		out.WriteString(piece)
		at += n
	}
	return out.String(), nil
}

// piece draws the piece of a text that begins at a place, and tells its length.
func (d *drawer) piece(text string, at, depth int) (string, int, error) {
	rest := text[at:]
	switch {
	case rest[0] == '\\':
		n := min(2, len(rest))
		return rest[:n], n, nil
	case rest[0] == '<':
		if tag := adapterTag.FindString(rest); tag != "" {
			return tag, len(tag), nil
		}
	case rest[0] == '{':
		return d.braces(text, at, depth)
	case rest[0] == '_' && (at == 0 || text[at-1] != '_'):
		if m := wildcard.FindStringSubmatch(rest); m != nil {
			d.found = true
			options, err := d.wildcard(m[1])
			if err != nil {
				return "", 0, err
			}
			out, err := d.choose(options, 1, "", depth)
			return out, len(m[0]), err
		}
	}
	n := strings.IndexAny(rest[1:], `\{_<`) + 1
	if n == 0 {
		n = len(rest)
	}
	return rest[:n], n, nil
}

// option is one of several texts, with its weight.
type option struct {
	text   string
	weight float64
}

// optionWeight is the weight before an option.
var optionWeight = regexp.MustCompile(`^\s*(\d+\.?\d*|\.\d+)::`)

func optionOf(text string) option {
	if m := optionWeight.FindStringSubmatch(text); m != nil {
		w, _ := strconv.ParseFloat(m[1], 64)
		return option{text[len(m[0]):], min(w, 1e9)}
	}
	return option{text, 1}
}

// wildcard lists a wildcard's options.
func (d *drawer) wildcard(name string) (out []option, err error) {
	if d.checks != nil {
		if d.checks[name] {
			return nil, nil
		}
		d.checks[name] = true
	}
	lines, err := d.lines(name)
	if err != nil {
		return nil, failure(ErrWildcard, -1, "%v", err)
	}
	for _, line := range lines {
		out = append(out, optionOf(line))
	}
	return out, nil
}

// choose draws so many of some options, and from each in its turn.
func (d *drawer) choose(options []option, count int, joint string, depth int) (string, error) {
	if d.checks != nil {
		for _, o := range options {
			if _, err := d.draw(o.text, depth+1); err != nil {
				return "", err
			}
		}
		return "", nil
	}
	var out []string
	left := append([]option{}, options...)
	for range count {
		total := 0.0
		for _, o := range left {
			total += o.weight
		}
		if total <= 0 {
			return "", failure(ErrSyntax, -1, "all weights of the options are 0")
		}
		mark, i := d.next()*total, 0
		for ; i < len(left)-1 && (mark >= left[i].weight || left[i].weight == 0); i++ {
			mark -= left[i].weight
		}
		text, err := d.draw(left[i].text, depth+1)
		if err != nil {
			return "", err
		}
		out = append(out, text)
		left = append(left[:i], left[i+1:]...)
	}
	return strings.Join(out, joint), nil
}

// amount is how many options braces take: 2, 1-3, 2- or -3.
var amount = regexp.MustCompile(`^\s*(\d{0,6})\s*(-?)\s*(\d{0,6})\s*$`)

// braces draws from the braces that begin at a place. Braces without options are text.
func (d *drawer) braces(text string, at, depth int) (string, int, error) {
	parts, end := split(text, at)
	head, rest, counted := strings.Cut(parts[0], "$$")
	counted = counted && !strings.Contains(head, "{") // it is not that of braces within
	if end < 0 {
		if len(parts) > 1 {
			return "", 0, failure(ErrSyntax, at, `{ begins options that are never closed; close them with }, or write \{ for the character`)
		}
		return "{", 1, nil
	}
	if len(parts) == 1 && !counted {
		body, err := d.draw(parts[0], depth+1)
		return "{" + body + "}", end + 1 - at, err
	}
	d.found = true
	low, high, joint := 1, 1, defaultJoint
	if counted {
		m := amount.FindStringSubmatch(head)
		if m == nil || m[1]+m[3] == "" {
			return "", 0, failure(ErrSyntax, at, "%q before $$ is no number of options, such as 2 or 1-3", head)
		}
		low, _ = strconv.Atoi("0" + m[1])
		if high = low; m[2] != "" {
			if high, _ = strconv.Atoi("0" + m[3]); m[3] == "" {
				high = -1
			}
		}
		if own, after, ok := strings.Cut(rest, "$$"); ok {
			joint, rest = own, after
		}
		parts[0] = rest
	}
	options, err := d.options(parts)
	if err != nil {
		return "", 0, err
	}
	if high < 0 {
		high = len(options)
	}
	if d.checks == nil && (low > high || high > len(options)) {
		return "", 0, failure(ErrSyntax, at, "%d to %d of %d options cannot be taken", low, high, len(options))
	}
	if low < high {
		low += int(d.next() * float64(high-low+1))
	}
	out, err := d.choose(options, low, joint, depth)
	return out, end + 1 - at, err
}

// options are the parts of braces. A wildcard that is the only one stands for its lines.
func (d *drawer) options(parts []string) (out []option, err error) {
	if m := wildcard.FindStringSubmatch(parts[0]); len(parts) == 1 && m != nil && m[0] == parts[0] {
		return d.wildcard(m[1])
	}
	for _, part := range parts {
		out = append(out, optionOf(part))
	}
	return out, nil
}

// split takes the braces that begin at a place apart at their own bars. end is their closing brace; -1 if there is none.
func split(text string, at int) (parts []string, end int) {
	from, braces, squares := at+1, 0, 0
	for i := at + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '{':
			braces++
		case '[':
			squares++
		case ']':
			squares = max(squares-1, 0)
		case '}':
			if braces == 0 {
				return append(parts, text[from:i]), i
			}
			braces--
		case '|':
			if braces == 0 && squares == 0 {
				parts, from = append(parts, text[from:i]), i+1
			}
		}
	}
	return append(parts, text[from:]), -1
}

// lone is braces without options.
var lone = regexp.MustCompile(`(?:^|[^\\$])\{[^{}|]*\}`)

// unopened tells of braces that look like syntax and are text.
func unopened(text string) string {
	if m := lone.FindString(text); m != "" && !strings.Contains(m, "$$") {
		return fmt.Sprintf(`%s has no options, so it is text; (word:1.05) is what NovelAI's braces mean, and \{ is the character`,
			m[strings.IndexByte(m, '{'):])
	}
	return ""
}
