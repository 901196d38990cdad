package machine

import (
	"errors"
	"io/fs"
	"runtime"
)

// System is what the operating system lets this process have of the host's memory, as of now.
type System struct {
	TotalBytes     int64 // of the machine, or of the smallest limit that holds for this process
	AvailableBytes int64 // that can be taken besides what the process has, under every limit
	ProcessBytes   int64 // resident now
	// Limit names what bounds AvailableBytes: "memory of the machine", "cgroup limit", "RLIMIT_AS", "RLIMIT_DATA", "commit limit", "job
	// object's limit".
	Limit string
	// MappedCounts tells that a mapped file counts against the limit (RLIMIT_AS).
	MappedCounts bool
}

// Limits of resources as the operating system gives them; negative: none.
type resourceLimits struct{ addressSpace, data, processes int64 }

// limitOfMachine is the Limit of a process that nothing but the machine bounds.
const limitOfMachine = "memory of the machine"

// unlimited is what a cgroup of version 1 says where it has no limit: the largest multiple of a page, or near it.
const unlimited = int64(1) << 60

// SystemMemory asks the operating system what this process may have. On Linux that is what is free on the machine, under the limits of
// its control groups (version 1 and 2), RLIMIT_AS and RLIMIT_DATA. On Windows it is what is free and may be committed, under the limits
// of its job object. On macOS it is what is free and what the system can drop. Elsewhere it is not known.
func SystemMemory() (System, error) { return systemMemory() }

// systemFrom reads a Linux system's files below root, which is "/" but for tests.
func systemFrom(root fs.FS, limits resourceLimits) (System, error) {
	info, status := readTable(root, "proc/meminfo"), readTable(root, "proc/self/status")
	s := System{TotalBytes: info["MemTotal"], AvailableBytes: info["MemAvailable"], ProcessBytes: status["VmRSS"], Limit: limitOfMachine}
	if s.TotalBytes == 0 || s.ProcessBytes == 0 {
		return System{}, errors.New("the memory of the host is not known on " + runtime.GOOS)
	}
	if _, known := info["MemAvailable"]; !known { // before Linux 3.14
		s.AvailableBytes = info["MemFree"] + info["Cached"]
	}
	bound := func(limit, used int64, name string) {
		if limit < 0 || limit >= unlimited {
			return
		}
		s.TotalBytes = min(s.TotalBytes, limit)
		if free := max(limit-used, 0); free < s.AvailableBytes {
			s.AvailableBytes, s.Limit = free, name
			s.MappedCounts = name == "RLIMIT_AS"
		}
	}
	for _, g := range cgroups(root) {
		bound(g.limit, g.used, "cgroup limit")
	}
	bound(limits.data, status["VmData"], "RLIMIT_DATA")
	bound(limits.addressSpace, status["VmSize"], "RLIMIT_AS")
	return s, nil
}
