//go:build !unix && !windows

package main

import (
	"io"
	"os"
)

func ownStdout() (io.Writer, error) { return os.Stdout, nil }

// ignoreSignals does nothing: here such errors are no signals.
func ignoreSignals() {}
