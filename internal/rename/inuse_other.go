//go:build !windows

package rename

// inUse: elsewhere than on Windows an open file may be renamed and replaced.
func inUse(error, string) bool { return false }
