//go:build !unix && !windows

package service

import (
	"os"
	"syscall"
)

func ownGroup() *syscall.SysProcAttr { return nil }

func interrupt(p *os.Process) error { return p.Kill() }
