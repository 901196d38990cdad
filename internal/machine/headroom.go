package machine

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Headroom is how many more threads and how much more address space this process may have now. Negative: there is no limit, or it is
// unknown.
type Headroom struct {
	Threads      int    // that may be started
	ThreadsLimit string // what bounds them: "ulimit -u" or "pids.max"
	AddressSpace int64  // bytes, by ulimit -v
}

// AskHeadroom asks the operating system. Only Linux gives an answer.
func AskHeadroom() Headroom { return headroom(host, rlimits()) }

// manyProcesses is a limit so high that nobody reaches it by accident. Then threads are not counted: counting takes milliseconds.
const manyProcesses = 1 << 14

// The capabilities, as bits, that free a process from the user's limit of processes.
const capSysAdmin, capSysResource = 21, 24

func headroom(root fs.FS, limits resourceLimits) Headroom {
	h := Headroom{Threads: -1, AddressSpace: -1}
	bound := func(limit, used int64, name string) {
		if room := int(max(limit-used, 0)); h.Threads < 0 || room < h.Threads {
			h.Threads, h.ThreadsLimit = room, name
		}
	}
	if n := limits.processes; n >= 0 && n < manyProcesses && !privileged(root) {
		bound(n, threadsOfUser(root), "ulimit -u")
	}
	for line := range strings.Lines(readText(root, "proc/self/cgroup")) {
		_, group, ok := strings.Cut(strings.TrimSpace(line), "0::")
		for at := path.Clean("/" + group); ok; at = path.Dir(at) {
			dir := strings.TrimSuffix("sys/fs/cgroup"+at, "/")
			if limit, known := readNumber(root, dir+"/pids.max"); known {
				used, _ := readNumber(root, dir+"/pids.current")
				bound(limit, used, "pids.max")
			}
			if at == "/" {
				break
			}
		}
	}
	if n := limits.addressSpace; n >= 0 {
		h.AddressSpace = max(n-readTable(root, "proc/self/status")["VmSize"], 0)
	}
	return h
}

// privileged reports whether this process is free from the limit of processes.
func privileged(root fs.FS) bool {
	fields := statusFields(root, "self")
	capabilities, _ := strconv.ParseUint(fields["CapEff"], 16, 64)
	return userOf(fields) == "0" || capabilities&(1<<capSysAdmin|1<<capSysResource) != 0
}

// threadsOfUser counts the threads of the user's processes, as far as they can be seen.
func threadsOfUser(root fs.FS) (n int64) {
	user := userOf(statusFields(root, "self"))
	entries, _ := fs.ReadDir(root, "proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if fields := statusFields(root, e.Name()); userOf(fields) == user {
			threads, _ := strconv.ParseInt(fields["Threads"], 10, 64)
			n += threads
		}
	}
	return n
}

// userOf is the real user of a process.
func userOf(status map[string]string) string {
	user, _, _ := strings.Cut(status["Uid"], "\t")
	return user
}

// statusFields reads a process's status.
func statusFields(root fs.FS, process string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(readText(root, "proc/"+process+"/status")) {
		key, value, _ := strings.Cut(line, ":")
		out[key] = strings.TrimSpace(value)
	}
	return out
}
