//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package nano

import (
	"os"
	"syscall"
)

// locks reports whether files are locked on this system.
const locks = true

// lock locks a file for as long as it is open, and reports success. With wait it waits until another process releases its lock.
func lock(f *os.File, wait bool) bool {
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	return syscall.Flock(int(f.Fd()), how) == nil
}
