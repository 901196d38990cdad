package output

import (
	"os"

	"golang.org/x/sys/windows"
)

// noFollow opens a symbolic link itself, which is no regular file.
const noFollow = windows.FILE_FLAG_OPEN_REPARSE_POINT

// lockFile takes a lock that ends with the process, or with the file's Close. The lock is on a byte far behind the contents: on Windows
// nobody else can read what is locked.
func lockFile(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0,
		&windows.Overlapped{OffsetHigh: 1 << 30})
}
