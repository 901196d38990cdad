package machine

import "syscall"

// rlimitProcesses is RLIMIT_NPROC, which package syscall lacks.
const rlimitProcesses = 6

// rlimits returns this process's soft limits.
func rlimits() resourceLimits {
	return resourceLimits{addressSpace: rlimit(syscall.RLIMIT_AS), data: rlimit(syscall.RLIMIT_DATA), processes: rlimit(rlimitProcesses)}
}

// rlimit returns the soft limit of a resource; negative where there is none.
func rlimit(resource int) int64 {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(resource, &l); err != nil || l.Cur >= 1<<62 {
		return -1
	}
	return int64(l.Cur)
}
