package command

import (
	"errors"
	"io/fs"
	"os"

	"github.com/daguerre-go/daguerre/internal/output"
)

// newFile makes sure that a file can be written and is not the one that is read; how says how to name another.
func newFile(in, out string, overwrite bool, how string) error {
	from, err := os.Stat(in)
	if err != nil {
		return nil // opening it says more
	}
	to, err := os.Stat(out)
	switch {
	case err == nil && os.SameFile(from, to):
		return &usageError{message: out + " is the input itself; give another name" + how}
	case err == nil && !overwrite:
		return &usageError{message: out + " exists already; give another name" + how + ", or --overwrite"}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return &usageError{message: err.Error() + "; choose another name" + how}
	}
	if err := new(output.Writer).Prepare(out); err != nil {
		return &usageError{message: err.Error()}
	}
	return nil
}
