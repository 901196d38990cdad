package command

import (
	"io"

	"github.com/daguerre-go/daguerre/internal/words"
)

// screen is a place where people read. Whatever is written to it may have names and messages of strangers in it, which must not act on a
// terminal: this is the one place where they are made printable. What programs read goes past it, by exact.
type screen struct{ w io.Writer }

// Write writes a whole piece of text.
func (s screen) Write(p []byte) (int, error) {
	if _, err := io.WriteString(s.w, words.Printable(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// exact is where a screen's text goes, for what is written as it is.
func exact(w io.Writer) io.Writer {
	if s, ok := w.(screen); ok {
		return s.w
	}
	return w
}

// bar is the terminal that a bar is drawn on; nil: there is none.
func (env Env) bar() io.Writer {
	if !env.StderrTerminal {
		return nil
	}
	return exact(env.Stderr)
}

// printData writes what programs read, as it is.
func printData(w io.Writer, data []byte) error { return printTo(exact(w), "%s", data) }
