package request

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrInvalid is matched by every error of this package that is the request's own fault.
var ErrInvalid = errors.New("invalid request")

// Error is one thing wrong with a request.
type Error struct {
	Path    string `json:"path"`    // the field, as in a run file: "width", "jobs[1].width"; or as a flag: "--width"
	Message string `json:"message"` // what was found and what would be right
	File    bool   `json:"-"`       // a file that is named there is missing or cannot be used
}

// Error returns "path: message", and of a flag a sentence: "--steps is 0; give more".
func (e Error) Error() string {
	if e.Path == "" {
		return e.Message
	}
	first, _, _ := strings.Cut(e.Message, " ")
	if strings.HasPrefix(e.Path, "--") && slices.Contains(verbs, first) {
		return e.Path + " " + e.Message
	}
	return e.Path + ": " + e.Message
}

// verbs are what messages begin with that go on after their path.
var verbs = []string{"is", "are", "has", "needs", "makes", "leaves", "asks", "says", "cannot"}

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
	e.add(Error{Path: path, Message: fmt.Sprintf(format, args...)})
}

// AddFile is Add for a file that is missing or cannot be used.
func (e *Errors) AddFile(path, format string, args ...any) {
	e.add(Error{Path: path, Message: fmt.Sprintf(format, args...), File: true})
}

func (e *Errors) add(err Error) {
	if !slices.Contains(*e, err) {
		*e = append(*e, err)
	}
}

// clip shortens text from outside for a message and makes it printable.
func clip(s string) string {
	const most = 60
	if len(s) > most {
		return fmt.Sprintf("%q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
