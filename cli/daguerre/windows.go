//go:build windows

package main

import (
	"io"
	"os"

	"golang.org/x/sys/windows"
)

// ownStdout gives standard output to the caller alone: it returns a copy of the handle and makes standard output the same as standard
// error for what asks for it from now on, as the C runtime of a native library does when it is loaded. So no stray line can end up among
// the events of a protocol.
func ownStdout() (io.Writer, error) {
	var out windows.Handle
	process := windows.CurrentProcess()
	if err := windows.DuplicateHandle(process, windows.Handle(os.Stdout.Fd()), process, &out, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
		return nil, err
	}
	if err := windows.SetStdHandle(windows.STD_OUTPUT_HANDLE, windows.Handle(os.Stderr.Fd())); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(out), "stdout"), nil
}

// ignoreSignals does nothing: here such errors are no signals.
func ignoreSignals() {}
