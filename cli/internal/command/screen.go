package command

import (
	"io"

	"github.com/daguerre-go/daguerre/internal/words"
)

// screen writes text that people read. Texts may have names and messages of strangers in them. Those must not act on a terminal, so screen
// makes them printable; nothing else does. Text that programs read is written by exact.
type screen struct{ w io.Writer }

// Write writes a whole piece of text.
func (s screen) Write(p []byte) (int, error) {
	if _, err := io.WriteString(s.w, words.Printable(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// exact is the writer behind a screen, for text that is written as it is.
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

// printData writes data for programs, as it is.
func printData(w io.Writer, data []byte) error { return printTo(exact(w), "%s", data) }
