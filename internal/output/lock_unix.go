//go:build unix

package output

import (
	"os"
	"syscall"
)

// noFollow opens no symbolic link, and does not wait for a pipe's other end.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// lockFile takes a lock that ends with the process, or with the file's Close.
func lockFile(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
