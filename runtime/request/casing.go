package request

import (
	"bytes"
	"regexp"
	"slices"
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
	var out bytes.Buffer
	out.Grow(len(text))
	depth, kept := 0, len(text) // deeper than kept, keys stay
	for i := 0; i < len(text); {
		switch text[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if text[i] != '"' {
			out.WriteByte(text[i])
			i++
			continue
		}
		word := text[i : i+stringLength(text[i:])]
		i += len(word)
		if !bytes.HasPrefix(bytes.TrimLeft(text[i:], " \t\r\n"), []byte(":")) || depth > kept { // a value, or the user's own key
			out.Write(word)
			continue
		}
		name := string(word[1 : len(word)-1])
		out.WriteString(`"` + c.Key(name) + `"`)
		if kept = len(text); slices.Contains(verbatim, name) {
			kept = depth
		}
	}
	return out.Bytes()
}

// stringLength is the length of the JSON string that text begins with, with its quotes.
func stringLength(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
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
	default:
		items, _ := itemsOf(value)
		for _, inner := range items {
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

// separators are the characters of a key that do not count.
const separators = "_-"

// fold is what the spellings of a key have in common.
func fold(key string) string { return words.FoldKey(key, separators) }

// Where the words of a camelCase or PascalCase key meet: before a capital, and before the last of several that begin a word.
var wordBegins, abbreviationEnds = regexp.MustCompile(`([^A-Z])([A-Z])`), regexp.MustCompile(`([A-Z])([A-Z][a-z])`)

// snake writes a camelCase or PascalCase key in snake_case; others stay as they are.
func snake(key string) string {
	if c, _ := casingOf(key); c != CamelCase && c != PascalCase {
		return key
	}
	key = wordBegins.ReplaceAllString(key, "${1}_${2}")
	return strings.ToLower(abbreviationEnds.ReplaceAllString(key, "${1}_${2}"))
}

var snakeCased = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// isSnake reports whether a key is made of lower-case words, digits and underscores.
func isSnake(key string) bool { return snakeCased.MatchString(key) }
