package rename

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// inUse reports whether an error may go away when another program closes a file. Access is denied for other reasons, too: then the new
// name is a folder's or a file's that must not be written.
func inUse(err error, to string) bool {
	switch {
	case errors.Is(err, windows.ERROR_SHARING_VIOLATION), errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_USER_MAPPED_FILE):
		return true
	case !errors.Is(err, windows.ERROR_ACCESS_DENIED):
		return false
	}
	st, err := os.Lstat(to)
	return err != nil || st.Mode().IsRegular() && st.Mode().Perm()&0o200 != 0
}
