package output

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/windows"
)

// replace begins the journal anew, in a new file with its own lock. An open file can neither be removed nor replaced here, so that the old
// one is closed before. Another process that opens it in between has the journal then. If the old file has other names (hard links), they
// keep it.
func (j *Journal) replace(header any) error {
	if err := j.f.Close(); err != nil {
		return err
	}
	if err := os.Remove(j.path); err != nil {
		return fmt.Errorf("%s: %w: %w", j.path, ErrBusy, err)
	}
	f, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", j.path, ErrBusy, err)
	}
	j.f = f
	if err := lockFile(f); err != nil {
		return fmt.Errorf("%s: %w: %w", j.path, ErrBusy, err)
	}
	return j.append(header)
}

// discard closes a journal and removes it, unless another process has opened it in between.
func discard(f *os.File, path string) error {
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		return err
	}
	return nil
}
