package memory

import (
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// System is what the operating system lets this process have of the host's memory, as of now.
type System struct {
	TotalBytes     int64 `json:"total_bytes"`     // of the machine, or of the smallest limit that holds for this process
	AvailableBytes int64 `json:"available_bytes"` // that can be taken besides what the process has, under every limit
	ProcessBytes   int64 `json:"process_bytes"`   // resident now
	// Limit names what bounds AvailableBytes: "memory of the machine", "cgroup limit", "RLIMIT_AS", "RLIMIT_DATA".
	Limit string `json:"limit"`
	// MappedCounts tells that a mapped file counts against the limit (RLIMIT_AS).
	MappedCounts bool `json:"mapped_counts"`
}

// Limits of resources as the operating system gives them; negative: none.
type resourceLimits struct{ addressSpace, data int64 }

// limitOfMachine is the Limit of a process that nothing but the machine bounds.
const limitOfMachine = "memory of the machine"

// unlimited is what a cgroup of version 1 says where it has no limit: the largest multiple of a page, or near it.
const unlimited = int64(1) << 60

// systemFrom reads a Linux system's files below root, which is "/" but for tests.
func systemFrom(root fs.FS, limits resourceLimits) (System, error) {
	info, err := readTable(root, "proc/meminfo")
	if err != nil {
		return System{}, err
	}
	status, err := readTable(root, "proc/self/status")
	if err != nil {
		return System{}, err
	}
	s := System{TotalBytes: info["MemTotal"], AvailableBytes: info["MemAvailable"], ProcessBytes: status["VmRSS"], Limit: limitOfMachine}
	if s.TotalBytes == 0 {
		return System{}, errors.New("proc/meminfo has no MemTotal")
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

// readTable reads lines like "MemTotal:  24576 kB" into bytes.
func readTable(root fs.FS, name string) (map[string]int64, error) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) != 2 || fields[1] != "kB" {
			continue
		}
		if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
			out[key] = n << 10
		}
	}
	return out, nil
}

// cgroup is a limit that a control group sets, and what counts against it and cannot be dropped.
type cgroup struct{ limit, used int64 }

// cgroups returns the limits of all groups that this process is in, version 1 and 2, from its own up to the root.
func cgroups(root fs.FS) []cgroup {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var out []cgroup
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			for _, mount := range []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
				out = append(out, upwards(root, mount, parts[2], "memory.max", "memory.current", "inactive_file")...)
			}
		case hasController(parts[1], "memory"):
			out = append(out, upwards(root, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")...)
		}
	}
	return out
}

func hasController(list, name string) bool {
	for c := range strings.SplitSeq(list, ",") {
		if c == name {
			return true
		}
	}
	return false
}

// upwards reads the limits of a group and of those above it. In a container the path may be the host's, and the container's own
// group the mount's root: then only that is found.
func upwards(root fs.FS, mount, group, maxFile, usedFile, droppable string) []cgroup {
	var out []cgroup
	for at := path.Clean("/" + group); ; at = path.Dir(at) {
		dir := strings.TrimSuffix(mount+at, "/")
		if limit, ok := readNumber(root, dir+"/"+maxFile); ok {
			used, _ := readNumber(root, dir+"/"+usedFile)
			out = append(out, cgroup{limit, max(used-readStat(root, dir+"/memory.stat", droppable), 0)})
		}
		if at == "/" {
			return out
		}
	}
}

// readNumber reads a file of one number; "max" is no number.
func readNumber(root fs.FS, name string) (int64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, false
	}
	return int64(min(n, 1<<63-1)), true
}

// readStat reads a number from a file of lines "key number"; 0 where it is not there.
func readStat(root fs.FS, name, key string) int64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == key {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return 0
}
