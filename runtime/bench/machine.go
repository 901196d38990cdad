package bench

import (
	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Machine is what the figures depend on.
type Machine struct {
	CPU         string           `json:"cpu"`
	Cores       int              `json:"cores"` // logical
	Features    []string         `json:"features"`
	MemoryBytes int64            `json:"memory_bytes,omitempty"`
	System      string           `json:"system"`                 // and its kernel
	Load        []float64        `json:"load_average,omitempty"` // in the minute before the first session and at the last one's end
	Devices     []backend.Device `json:"devices"`
}

// Build is what was measured.
type Build struct {
	Version  string   `json:"version"`            // of daguerre
	Revision string   `json:"revision,omitempty"` // of its source
	Modified bool     `json:"modified,omitempty"` // the source had changes that are not in the revision
	Engine   string   `json:"engine,omitempty"`   // its pin
	Library  string   `json:"library,omitempty"`  // variant and version of libdaguerre
	Compiler string   `json:"compiler,omitempty"`
	Features []string `json:"features"` // compiled in
	Go       string   `json:"go"`
}

// DescribeMachine asks the operating system; what it does not tell is left out. Features and Devices are the caller's to fill in.
func DescribeMachine() Machine {
	m := Machine{CPU: "unknown CPU", Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Features: []string{}, Devices: []backend.Device{}}
	if found := cpuName.FindStringSubmatch(readText("/proc/cpuinfo")); found != nil {
		m.CPU = strings.TrimSpace(found[1])
	}
	return m
}

var cpuName = regexp.MustCompile(`(?m)^model name\s*:\s*(.*)$`)

// readText returns a file's text, "" where there is none: on other systems than Linux.
func readText(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// kibibytes finds a line such as "MemTotal:  123 kB" and returns its bytes; 0 if it is not there.
func kibibytes(text, key string) int64 {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err == nil {
				return n * 1024
			}
		}
	}
	return 0
}

// loadAverage is how many threads wanted to run in the last minute; none where that is not known.
func loadAverage() []float64 {
	first, _, _ := strings.Cut(readText("/proc/loadavg"), " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return nil
	}
	return []float64{v}
}

// PeakRSS is the peak of this process's resident memory since it began, in bytes; 0 where the system does not tell. It is
// Linux's VmHWM: getrusage's ru_maxrss would begin with the parent's.
func PeakRSS() int64 { return kibibytes(readText("/proc/self/status"), "VmHWM") }
