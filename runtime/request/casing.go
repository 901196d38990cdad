package request

import (
	"bytes"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
)

// Casing is how the words of a key are written together.
type Casing string

// The casings that the keys of requests may have.
const (
	SnakeCase  Casing = "snake_case"
	CamelCase  Casing = "camelCase"
	PascalCase Casing = "PascalCase"
)

// Casings lists the values of Casing.
var Casings = []Casing{SnakeCase, CamelCase, PascalCase}

// Key writes a snake_case key in this casing. What is not snake_case, such as "IN00" or "down_blocks.1", stays as it is.
func (c Casing) Key(snake string) string {
	if c != CamelCase && c != PascalCase || !isSnake(snake) {
		return snake
	}
	words := strings.Split(snake, "_")
	for i, w := range words {
		if w != "" && (i > 0 || c == PascalCase) {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "")
}

// Path writes the keys of a path such as "jobs[1].guidance_scale" in this casing.
func (c Casing) Path(path string) string {
	keys := strings.Split(path, ".")
	for i, key := range keys {
		name, _, _ := strings.Cut(key, "[")
		keys[i] = c.Key(name) + strings.TrimPrefix(key, name)
	}
	return strings.Join(keys, ".")
}

// JSON rewrites the keys of a JSON text from snake_case. The values of the keys in verbatim, tables whose keys are the
// user's own, stay as they are. The text must be valid, as encoding/json writes it.
func (c Casing) JSON(text []byte, verbatim ...string) []byte {
	if c != CamelCase && c != PascalCase {
		return text
	}
	r := recaser{casing: c, in: text, verbatim: verbatim}
	r.out.Grow(len(text))
	r.value(true)
	return r.out.Bytes()
}

// recaser copies JSON and rewrites keys on the way.
type recaser struct {
	casing   Casing
	in       []byte
	at       int
	out      bytes.Buffer
	verbatim []string
}

// value copies one value; its keys are rewritten where rename is set.
func (r *recaser) value(rename bool) {
	r.space()
	if r.at >= len(r.in) {
		return
	}
	switch r.in[r.at] {
	case '{', '[':
		object := r.in[r.at] == '{'
		r.copy(1)
		for r.space(); r.at < len(r.in) && r.in[r.at] != '}' && r.in[r.at] != ']'; r.space() {
			if r.in[r.at] == ',' {
				r.copy(1)
				continue
			}
			inner := rename
			if object {
				inner = r.key(rename)
			}
			r.value(inner)
		}
		r.copy(1)
	case '"':
		r.copy(r.stringLength())
	default:
		n := bytes.IndexAny(r.in[r.at:], ",]} \t\r\n")
		if n < 0 {
			n = len(r.in) - r.at
		}
		r.copy(max(n, 1))
	}
}

// key copies a key and its colon, and reports whether the keys of its value are to be rewritten.
func (r *recaser) key(rename bool) bool {
	n := r.stringLength()
	name := string(r.in[min(r.at+1, len(r.in)):max(min(r.at+n, len(r.in))-1, min(r.at+1, len(r.in)))])
	if rename {
		r.out.WriteString(`"` + r.casing.Key(name) + `"`)
		r.at += n
	} else {
		r.copy(n)
	}
	r.space()
	r.copy(1) // the colon
	for _, v := range r.verbatim {
		if name == v {
			return false
		}
	}
	return rename
}

// stringLength is the length of the string that begins here, with its quotes.
func (r *recaser) stringLength() int {
	for i := r.at + 1; i < len(r.in); i++ {
		switch r.in[i] {
		case '\\':
			i++
		case '"':
			return i + 1 - r.at
		}
	}
	return len(r.in) - r.at
}

func (r *recaser) space() {
	n := 0
	for r.at+n < len(r.in) && bytes.IndexByte([]byte(" \t\r\n"), r.in[r.at+n]) >= 0 {
		n++
	}
	r.copy(n)
}

func (r *recaser) copy(n int) {
	n = min(n, len(r.in)-r.at)
	r.out.Write(r.in[r.at : r.at+n])
	r.at += n
}

// DetectCasing tells which casing most keys of a decoded JSON or TOML table have, its inner tables included. Keys of one
// word tell nothing unless they begin with a capital; ok is false where all do.
func DetectCasing(table map[string]any) (c Casing, ok bool) {
	count := map[Casing]int{}
	countCasings(table, count)
	c = SnakeCase
	for _, other := range Casings {
		if count[other] > count[c] {
			c = other
		}
	}
	return c, count[c] > 0
}

func countCasings(value any, count map[Casing]int) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if c, ok := casingOf(key); ok {
				count[c]++
			}
			if fold(key) != "blockweights" { // whose keys are names of blocks
				countCasings(inner, count)
			}
		}
	case []map[string]any:
		for _, inner := range v {
			countCasings(inner, count)
		}
	case []any:
		for _, inner := range v {
			countCasings(inner, count)
		}
	}
}

// casingOf tells a single key's casing, where it shows.
func casingOf(key string) (Casing, bool) {
	upper := strings.IndexFunc(key, func(r rune) bool { return r >= 'A' && r <= 'Z' })
	switch {
	case key == "":
		return "", false
	case strings.Contains(key, "_"):
		return SnakeCase, true
	case upper == 0:
		return PascalCase, true
	case upper > 0:
		return CamelCase, true
	}
	return "", false
}

// fold is what the spellings of a key have in common.
func fold(key string) string {
	return words.FoldKey(key, "_-")
}

// snake writes a camelCase or PascalCase key in snake_case; others stay as they are.
func snake(key string) string {
	if c, _ := casingOf(key); c != CamelCase && c != PascalCase {
		return key
	}
	var b strings.Builder
	for i := range len(key) {
		ch := key[i]
		isUpper := ch >= 'A' && ch <= 'Z'
		if isUpper && i > 0 && (!upperAt(key, i-1) || i+1 < len(key) && lowerAt(key, i+1)) {
			b.WriteByte('_')
		}
		if isUpper {
			ch += 'a' - 'A'
		}
		b.WriteByte(ch)
	}
	return b.String()
}

func upperAt(s string, i int) bool { return s[i] >= 'A' && s[i] <= 'Z' }
func lowerAt(s string, i int) bool { return s[i] >= 'a' && s[i] <= 'z' }

// isSnake reports whether a key is made of lower-case words, digits and underscores.
func isSnake(key string) bool {
	if key == "" || !lowerAt(key, 0) {
		return false
	}
	for i := range len(key) {
		if ch := key[i]; ch != '_' && !lowerAt(key, i) && (ch < '0' || ch > '9') {
			return false
		}
	}
	return true
}
