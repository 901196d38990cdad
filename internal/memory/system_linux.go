package memory

import (
	"os"
	"syscall"
)

// rlimitData is RLIMIT_DATA, which package syscall has under this name.
const rlimitData = syscall.RLIMIT_DATA

// SystemMemory asks the operating system what this process may have: what is free on the machine, under the limits of its
// control groups (version 1 and 2), RLIMIT_AS and RLIMIT_DATA.
func SystemMemory() (System, error) {
	return systemFrom(os.DirFS("/"), resourceLimits{addressSpace: rlimit(syscall.RLIMIT_AS), data: rlimit(rlimitData)})
}

// rlimit returns the soft limit of a resource; negative where there is none.
func rlimit(resource int) int64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(resource, &l); err != nil || l.Cur >= 1<<62 {
		return -1
	}
	return int64(l.Cur)
}
