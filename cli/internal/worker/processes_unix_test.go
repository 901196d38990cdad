//go:build unix

package worker

import (
	"os"
	"syscall"
)

// kill ends a process at once. 0, which stands for no process, would be this one and all of its group.
func kill(pid int) error {
	if pid <= 0 {
		return os.ErrProcessDone
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// alive reports whether there is a process.
func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
