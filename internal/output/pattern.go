// Package output turns settings into file names and bytes into files: name patterns, a policy for
// names that exist already, and writes that are either complete or absent.
package output

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/daguerre-go/daguerre/internal/words"
)

// ErrPattern is wrapped by errors about a malformed name pattern.
var ErrPattern = errors.New("output name pattern")

// Fields lists the placeholders of a pattern, in the order of the documentation.
var Fields = []string{"job", "index", "seed", "width", "height", "steps", "scheduler", "model", "prompt", "date", "time"}

const (
	maxPadding     = 20  // digits of {index:N}
	maxPromptRunes = 60  // of {prompt}
	maxNameBytes   = 255 // of one path element, as file systems have it
)

// Values are what a pattern's placeholders stand for.
type Values struct {
	Job       int       // {job}: of the job in its run file, from 0, as in jobs[0] of messages
	Index     int       // {index}: of the picture in its job, from 0; seed + index is its seed
	Seed      int64     // {seed}: of this picture
	Width     int       // {width}, {height}: pixels
	Height    int       //
	Steps     int       // {steps}
	Scheduler string    // {scheduler}
	Model     string    // {model}: file or folder name without its extension
	Prompt    string    // {prompt}: cut to its first words
	Time      time.Time // {date} as 2006-01-02, {time} as 150405
}

// Pattern is a parsed output name such as "out/{job:2}-{seed}-{index:3}.png".
type Pattern struct {
	parts []part
}

// part is literal text, or a field with the least number of digits.
type part struct {
	literal string
	field   string
	digits  int
}

// ParsePattern reads a pattern. {name} is a placeholder of Fields, {index:3} one of at least three
// digits, {{ and }} are braces. The error wraps ErrPattern and names what is wrong.
func ParsePattern(s string) (Pattern, error) {
	var p Pattern
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			p.parts = append(p.parts, part{literal: lit.String()})
			lit.Reset()
		}
	}
	if strings.TrimSpace(s) == "" || strings.ContainsRune(s, 0) {
		return Pattern{}, fmt.Errorf("%w %q: give a file name such as out.png or {job}-{seed}.png", ErrPattern, s)
	}
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "{{") || strings.HasPrefix(s[i:], "}}"):
			lit.WriteByte(s[i])
			i++
		case s[i] == '}':
			return Pattern{}, fmt.Errorf("%w %q: } without {; write }} for a brace", ErrPattern, s)
		case s[i] == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return Pattern{}, fmt.Errorf("%w %q: { is not closed; write {{ for a brace", ErrPattern, s)
			}
			f, err := parseField(s[i+1 : i+end])
			if err != nil {
				return Pattern{}, fmt.Errorf("%w %q: %w", ErrPattern, s, err)
			}
			flush()
			p.parts = append(p.parts, f)
			i += end
		default:
			lit.WriteByte(s[i])
		}
	}
	flush()
	return p, nil
}

func parseField(s string) (part, error) {
	name, width, padded := strings.Cut(s, ":")
	if !slices.Contains(Fields, name) {
		return part{}, fmt.Errorf("unknown placeholder {%s}%s; known: {%s}", name, words.DidYouMean(name, Fields), strings.Join(Fields, "}, {"))
	}
	f := part{field: name}
	if padded {
		n, err := strconv.Atoi(width)
		if err != nil || n < 1 || n > maxPadding {
			return part{}, fmt.Errorf("{%s}: the number of digits must be 1 to %d", s, maxPadding)
		}
		if !slices.Contains([]string{"job", "index", "seed", "width", "height", "steps"}, name) {
			return part{}, fmt.Errorf("{%s}: only numbers can be padded", s)
		}
		f.digits = n
	}
	return f, nil
}

// Has reports whether the pattern uses the placeholder.
func (p Pattern) Has(field string) bool {
	return slices.ContainsFunc(p.parts, func(q part) bool { return q.field == field })
}

// Distinct returns a pattern that names every picture of a job differently: where count is above one
// and neither {index} nor {seed} occurs, "-{index}" is put before the extension.
func (p Pattern) Distinct(count int) Pattern {
	if count <= 1 || p.Has("index") || p.Has("seed") {
		return p
	}
	q := Pattern{parts: slices.Clone(p.parts)}
	tail := ""
	if last := len(q.parts) - 1; q.parts[last].field == "" {
		tail = filepath.Ext(q.parts[last].literal)
		q.parts[last].literal = strings.TrimSuffix(q.parts[last].literal, tail)
	}
	q.parts = append(q.parts, part{literal: "-"}, part{field: "index"}, part{literal: tail})
	return q
}

// Name returns the file name for v. Values are made safe for a file name first: a model's name or a
// prompt cannot leave the folder. The error wraps ErrPattern when an element of the path is too long.
func (p Pattern) Name(v Values) (string, error) {
	name := tidy(p.text(v))
	for element := range strings.SplitSeq(filepath.ToSlash(name), "/") {
		if len(element) > maxNameBytes {
			return "", fmt.Errorf("%w: name %.40q... is %d bytes long, at most %d work", ErrPattern, element, len(element), maxNameBytes)
		}
	}
	return name, nil
}

// tidy removes ".." from a name: "sub/../x" becomes "x". So the name means the same whether or not "sub" exists.
func tidy(name string) string {
	if slices.Contains(strings.Split(filepath.ToSlash(name), "/"), "..") {
		return filepath.Clean(name)
	}
	return name
}

// Folder is the folder that all names have in common if only the varying fields differ. It is the part of the pattern before the first
// element with such a field.
func (p Pattern) Folder(v Values, varying ...string) string {
	var fixed Pattern
	for _, q := range p.parts {
		if slices.Contains(varying, q.field) && q.field != "" {
			break
		}
		fixed.parts = append(fixed.parts, q)
	}
	name := fixed.text(v)
	return filepath.Dir(tidy(name[:strings.LastIndexAny(name, `/`+string(filepath.Separator))+1] + "x"))
}

// text is the name as the pattern says it.
func (p Pattern) text(v Values) string {
	var b strings.Builder
	for _, q := range p.parts {
		if q.field == "" {
			b.WriteString(q.literal)
			continue
		}
		b.WriteString(v.get(q.field, q.digits))
	}
	return b.String()
}

func (v Values) get(field string, digits int) string {
	numbers := map[string]int64{"job": int64(v.Job), "index": int64(v.Index), "seed": v.Seed, "width": int64(v.Width),
		"height": int64(v.Height), "steps": int64(v.Steps)}
	if n, ok := numbers[field]; ok {
		return fmt.Sprintf("%0*d", digits, n)
	}
	return map[string]string{"scheduler": unreserved(safe(v.Scheduler)), "model": unreserved(safe(v.Model)),
		"prompt": unreserved(slug(v.Prompt)), "date": v.Time.Format("2006-01-02"), "time": v.Time.Format("150405")}[field]
}

// safe replaces what a file name cannot hold, on any system, by "_".
func safe(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == unicode.ReplacementChar || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if strings.Trim(s, ".") == "" {
		return strings.Repeat("_", max(1, len(s)))
	}
	return s
}

// unreserved adds "_" to what Windows takes for a device, whatever follows the first point.
func unreserved(s string) string {
	stem, rest, point := strings.Cut(s, ".")
	switch {
	case !isDevice(s):
		return s
	case point:
		return stem + "_." + rest
	}
	return stem + "_"
}

// slug keeps letters and digits of the first words of a prompt, joined by "-".
func slug(s string) string {
	var b strings.Builder
	n, dash := 0, false
	for _, r := range s {
		if n >= maxPromptRunes {
			break
		}
		if r == unicode.ReplacementChar || !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			dash = b.Len() > 0
			continue
		}
		if dash {
			b.WriteByte('-')
			dash = false
			n++
		}
		b.WriteRune(r)
		n++
	}
	if b.Len() == 0 {
		return "empty"
	}
	return b.String()
}
