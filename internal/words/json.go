package words

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// JoinJSON is the JSON of an object with the fields of head, then those of body.
func JoinJSON(head, body any) ([]byte, error) {
	line, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	rest, err := json.Marshal(body)
	if len(rest) > 2 {
		line = append(append(line[:len(line)-1], ','), rest[1:]...)
	}
	return line, err
}

// bom is the byte order mark that some editors and shells write before UTF-8.
var bom = []byte("\ufeff")

// WithoutBOM returns a text without a byte order mark at its beginning.
func WithoutBOM(text []byte) []byte { return bytes.TrimPrefix(text, bom) }

// KeyTwice looks for a key that an object of a JSON text has twice, in one spelling or in two that FoldKey makes equal: libraries take the
// one or the other. It returns where the key is, such as request.jobs[1].Seed, and how it was spelled before. The text must be valid.
func KeyTwice(text []byte, separators string) (path, first string, twice bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var value func(at string) bool
	value = func(at string) bool {
		t, err := d.Token()
		if err != nil {
			return false
		}
		switch t {
		case json.Delim('['):
			for i := 0; d.More(); i++ {
				if !value(fmt.Sprintf("%s[%d]", at, i)) {
					return false
				}
			}
		case json.Delim('{'):
			seen := map[string]string{}
			for d.More() {
				t, err := d.Token()
				key, ok := t.(string)
				if err != nil || !ok {
					return false
				}
				here := key
				if at != "" {
					here = at + "." + key
				}
				folded := FoldKey(key, separators)
				if other, known := seen[folded]; known {
					path, first, twice = here, other, true
					return false
				}
				seen[folded] = key
				if !value(here) {
					return false
				}
			}
		default:
			return true
		}
		_, err = d.Token() // what closes it
		return err == nil
	}
	value("")
	return path, first, twice
}
