package lora

import (
	"errors"
	"fmt"
	"strings"
)

// The classes of failure, for errors.Is.
var (
	// ErrConfig: a field of an Adapter, a Stack or a CacheConfig has a value that cannot be used.
	ErrConfig = errors.New("bad adapter configuration")
	// ErrLimit: more adapters, or more memory, than is allowed.
	ErrLimit = errors.New("adapter limit exceeded")
	// ErrNotFound: no file answers to the name, or the stack has no such adapter.
	ErrNotFound = errors.New("adapter not found")
	// ErrFormat: the file cannot be read, or is no adapter.
	ErrFormat = errors.New("bad adapter file")
	// ErrWrongModel: the adapter was made for another kind of model.
	ErrWrongModel = errors.New("adapter for another model")
	// ErrShape: a tensor does not fit the module it names.
	ErrShape = errors.New("adapter tensor mismatch")
	// ErrValue: a tensor holds NaN or infinity, a rank is zero, or an alpha is absurd.
	ErrValue = errors.New("bad value in an adapter")
	// ErrPartial: part of the file matches nothing, and the stack is strict.
	ErrPartial = errors.New("adapter applies in part only")
)

// Error says which adapter failed, where, and what would be right.
type Error struct {
	Kind    error  // one of the sentinels above
	Adapter string // its file or name
	Field   string // the tensor or module; may be empty
	Message string // what was found, and what would be right
	Cause   error  // an underlying error, or nil
}

// Error formats as "adapter: field: message".
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	for _, p := range []string{e.Adapter, e.Field, e.Message} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ": ")
}

// Unwrap lets errors.Is match the kind as well as the cause.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Cause} }

// FieldError is one thing wrong with a configuration.
type FieldError struct {
	Field   string // as in a run file: "lora[1].weight", "lora_stack.max_adapters"
	Message string // what was found and what would be right
	Kind    error  // ErrConfig or ErrLimit
}

// Error returns "field: message".
func (e FieldError) Error() string { return e.Field + ": " + e.Message }

// Unwrap returns the kind.
func (e FieldError) Unwrap() error { return e.Kind }

// FieldErrors is everything wrong with a configuration, in the order of its fields.
type FieldErrors []FieldError

// Error returns one line per error.
func (e FieldErrors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each error.
func (e FieldErrors) Unwrap() []error {
	out := make([]error, len(e))
	for i, err := range e {
		out[i] = err
	}
	return out
}

func (e *FieldErrors) add(kind error, field, format string, args ...any) {
	*e = append(*e, FieldError{field, fmt.Sprintf(format, args...), kind})
}

// err returns e as an error, nil where there is nothing wrong.
func (e FieldErrors) err() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
