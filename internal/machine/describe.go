package machine

import (
	"io/fs"
	"regexp"
	"runtime"
	"strings"
)

// Description is what figures of speed depend on.
type Description struct {
	CPU    string // its model's name
	Cores  int    // logical
	Memory int64  // bytes; 0: unknown
	System string // and its kernel
}

var cpuName = regexp.MustCompile(`(?m)^model name\s*:\s*(.*)$`)

func describe(root fs.FS) Description {
	d := Description{CPU: "unknown CPU", Cores: runtime.NumCPU(), Memory: readTable(root, "proc/meminfo")["MemTotal"],
		System: runtime.GOOS + "/" + runtime.GOARCH}
	info := readText(root, "proc/cpuinfo")
	if found := cpuName.FindStringSubmatch(info); found != nil {
		d.CPU = strings.TrimSpace(found[1])
	} else if cores := armCores(info); cores != "" {
		d.CPU = cores
	}
	if kernel := readText(root, "proc/sys/kernel/osrelease"); kernel != "" {
		d.System += ", kernel " + kernel
	}
	return d
}

// Describe asks the operating system.
func Describe() Description { return describeHost() }

// LoadAverage returns how many threads wanted to run in the last minute; false where it is not known.
func LoadAverage() (float64, bool) { return loadAverage() }
