package rename

import "errors"

// ErrInUse matches the error of a file that another program has open.
var ErrInUse = errors.New("another program has the file open")

// InUseError says which name a file could not get.
type InUseError struct {
	From, To string
	Err      error // the system's
}

// Error names the file and the remedy.
func (e *InUseError) Error() string {
	return e.To + ": " + ErrInUse.Error() + ": close it there, or choose another name (" + e.Err.Error() + ")"
}

// Is reports whether target is ErrInUse.
func (e *InUseError) Is(target error) bool { return target == ErrInUse }

// Unwrap returns the system's error.
func (e *InUseError) Unwrap() error { return e.Err }
