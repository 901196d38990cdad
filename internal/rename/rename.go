// Package rename gives files and folders their final names. On Windows that fails while another program has the old or the new file open.
// A virus scanner or an indexer does so for a moment, so that it is tried again for a while.
package rename

import (
	"os"
	"time"
)

// patience is how long a file that is in use is waited for.
const patience = 2 * time.Second

// Replace renames a file or folder. A file with the new name is replaced in one step. On Windows an error may match ErrInUse.
func Replace(from, to string) error {
	return retry(patience, func() error { return os.Rename(from, to) }, from, to)
}

// retry calls move until it succeeds, fails for another reason than that a file is in use, or the time is over.
func retry(patience time.Duration, move func() error, from, to string) error {
	wait := time.Millisecond
	for end := time.Now().Add(patience); ; {
		err := move()
		if err == nil || !inUse(err, to) {
			return err
		}
		if time.Now().Add(wait).After(end) {
			return &InUseError{From: from, To: to, Err: err}
		}
		time.Sleep(wait)
		wait = min(2*wait, 100*time.Millisecond)
	}
}
