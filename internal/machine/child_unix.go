//go:build unix

package machine

import (
	"os"
	"runtime"
	"syscall"
)

// PeakRSSOf returns the largest RSS of a process that has ended; 0 where it is not known. getrusage counts in KiB on Linux and the BSDs, in
// bytes on macOS.
func PeakRSSOf(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(usage.Maxrss)
	}
	return int64(usage.Maxrss) << 10
}
