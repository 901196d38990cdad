package machine

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// cgroup is a limit that a control group sets, and what counts against it and cannot be dropped.
type cgroup struct{ limit, used int64 }

// cgroups returns the limits of all groups that this process is in, version 1 and 2, from its own up to the root.
func cgroups(root fs.FS) []cgroup {
	var out []cgroup
	for line := range strings.Lines(readText(root, "proc/self/cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			for _, mount := range []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"} {
				out = append(out, upwards(root, mount, parts[2], "memory.max", "memory.current", "inactive_file")...)
			}
		case slices.Contains(strings.Split(parts[1], ","), "memory"):
			out = append(out, upwards(root, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes", "memory.usage_in_bytes",
				"total_inactive_file")...)
		}
	}
	return out
}

// upwards reads the limits of a group and of those above it. In a container the path may be the host's, and the container's own
// group the mount's root: then only that is found.
func upwards(root fs.FS, mount, group, maxFile, usedFile, droppable string) []cgroup {
	var out []cgroup
	for at := path.Clean("/" + group); ; at = path.Dir(at) {
		dir := strings.TrimSuffix(mount+at, "/")
		if limit, ok := readNumber(root, dir+"/"+maxFile); ok {
			used, _ := readNumber(root, dir+"/"+usedFile)
			out = append(out, cgroup{limit, max(used-readTable(root, dir+"/memory.stat")[droppable], 0)})
		}
		if at == "/" {
			return out
		}
	}
}
