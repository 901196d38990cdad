//go:build !unix

package main

// ignoreSignals does nothing: here such errors are no signals.
func ignoreSignals() {}
