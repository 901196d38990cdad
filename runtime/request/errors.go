package request

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid is matched by every error of this package that is the request's own fault.
var ErrInvalid = errors.New("invalid request")

// Error is one thing wrong with a request.
type Error struct {
	Path    string `json:"path"`    // the field, as in a run file: "width", "jobs[1].width", "model.threads"
	Message string `json:"message"` // what was found and what would be right
}

// Error returns "path: message".
func (e Error) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// Is makes errors.Is(err, ErrInvalid) true.
func (e Error) Is(target error) bool { return target == ErrInvalid }

// Errors is everything wrong with a request, in the order of its fields.
type Errors []Error

// Error returns one line per error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Is makes errors.Is(err, ErrInvalid) true.
func (e Errors) Is(target error) bool { return target == ErrInvalid }

// Err returns e as an error, nil where there is nothing wrong.
func (e Errors) Err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// Add appends an error unless the very same is there already.
func (e *Errors) Add(path, format string, args ...any) {
	err := Error{path, fmt.Sprintf(format, args...)}
	for _, have := range *e {
		if have == err {
			return
		}
	}
	*e = append(*e, err)
}

// clip shortens text from outside for a message and makes it printable.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
