//go:build unix

package service

import (
	"os"
	"syscall"
)

// ownGroup keeps a terminal's Ctrl-C from the process.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// interrupt asks a process to end.
func interrupt(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
