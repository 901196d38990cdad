package face

import (
	"net/http"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// runKeys are the keys that a job may have, as clients spell them: ours, and other programs' names of them. The value is the type of ours,
// as in messages; "" for others.
var runKeys = func() map[string]string {
	keys := map[string]string{}
	for _, n := range request.Names() {
		if n.Table == "" {
			keys[fold(n.Name)] = ""
		}
	}
	for _, k := range request.Keys() {
		if k.Table == "" {
			keys[fold(k.Name)] = k.Type
		}
	}
	return keys
}()

func fold(key string) string { return words.FoldKey(key, "_-") }

// RunKey tells whether a job may have a key, in any spelling, and of what type it is if it is one of ours.
func RunKey(name string) (kind string, known bool) {
	kind, known = runKeys[fold(name)]
	return kind, known
}

// Unknown says that a field is not known: more lists names besides those of jobs that would have been.
func Unknown(name string, more []string) string {
	for _, n := range request.Names() {
		if n.Table == "" {
			more = append(more, n.Name)
		}
	}
	for _, k := range request.Keys() {
		if k.Table == "" {
			more = append(more, k.Name)
		}
	}
	return words.Clip(name) + " is not known here and was left out" + words.DidYouMean(name, more)
}

// HeaderWarning is the header of warnings: one for each.
const HeaderWarning = "Daguerre-Warning"

// maxWarnings bounds the headers of an answer.
const maxWarnings = 20

// WarnIn puts warnings into the headers of an answer.
func WarnIn(h http.Header, warnings []string) {
	for i, text := range warnings {
		if i == maxWarnings {
			h.Add(HeaderWarning, "and more: the answer has them all")
			return
		}
		h.Add(HeaderWarning, plain(text))
	}
}

// plain makes a text fit for a header: printable ASCII, not too long.
func plain(text string) string {
	const most = 300
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, text)
	return text[:min(len(text), most)]
}
