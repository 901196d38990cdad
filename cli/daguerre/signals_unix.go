//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreSignals makes errors of what would end the process: a reader of our output that goes away, such as head, must not end a
// night's work, and a file that outgrows ulimit -f is a failed write like that to a full disk.
func ignoreSignals() { signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) }
