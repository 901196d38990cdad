//go:build unix

package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownStdout gives standard output to the caller alone: it returns a copy of the descriptor and makes descriptor 1 the same as standard
// error, so that no stray line of a native library can end up among the events of a protocol.
func ownStdout() (io.Writer, error) {
	fd, err := unix.FcntlInt(1, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	if err := unix.Dup2(2, 1); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "stdout"), nil
}

// ignoreSignals makes errors of what would end the process: a reader of our output that goes away, such as head, must not end a
// night's work, and a file that outgrows ulimit -f is a failed write like that to a full disk.
func ignoreSignals() { signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) }
