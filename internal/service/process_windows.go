package service

import (
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// ownGroup keeps a console's Ctrl-C from the process.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// interrupt asks a process to end, with a Ctrl-Break to its group. A program without a console, such as a service, cannot send one: then
// the process is killed.
func interrupt(p *os.Process) error {
	if windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(p.Pid)) == nil {
		return nil
	}
	return p.Kill()
}
