//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package nano

import (
	"os"
	"syscall"
)

// locks reports whether files are locked here.
const locks = true

// lock locks a file for as long as it is open, and reports whether that worked; wait says that another's lock is waited for.
func lock(f *os.File, wait bool) bool {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	return syscall.Flock(int(f.Fd()), how) == nil
}
