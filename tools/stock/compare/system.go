package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// machine is what the figures depend on.
type machine struct {
	CPU        string `json:"cpu"`
	Processors int    `json:"processors"` // logical
	System     string `json:"system"`
	Memory     int64  `json:"memory_bytes"`
	Commit     string `json:"commit"` // of this repository
}

func describeMachine() machine {
	m := machine{CPU: "unknown CPU", Processors: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH, Commit: "unknown"}
	if found := regexp.MustCompile(`(?m)^model name\s*:\s*(.*)$`).FindStringSubmatch(readText("/proc/cpuinfo")); found != nil {
		m.CPU = strings.TrimSpace(found[1])
	}
	if kernel := strings.TrimSpace(readText("/proc/sys/kernel/osrelease")); kernel != "" {
		m.System += ", kernel " + kernel
	}
	m.Memory = memInfo("MemTotal")
	if out, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	return m
}

// readText returns a file's text, "" where there is none: on other systems than Linux.
func readText(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// memInfo returns a line of /proc/meminfo in bytes, 0 if it is not there.
func memInfo(key string) int64 {
	found := regexp.MustCompile(`(?m)^` + key + `:\s*(\d+) kB$`).FindStringSubmatch(readText("/proc/meminfo"))
	if found == nil {
		return 0
	}
	kib, err := strconv.ParseInt(found[1], 10, 64)
	if err != nil {
		return 0
	}
	return kib * 1024
}

// loadAverage returns how many threads wanted to run in the last minute, "" where that is not known.
func loadAverage() string {
	first, _, _ := strings.Cut(readText("/proc/loadavg"), " ")
	return first
}

// enoughMemory refuses to begin a run that would make the machine swap, or have a process killed: the
// weights are held once, with buffers that are smaller than 3 GiB at 256 pixels.
func enoughMemory(model string) error {
	st, err := os.Stat(model)
	if err != nil {
		return err
	}
	have, need := memInfo("MemAvailable"), st.Size()+3<<30
	if have > 0 && have < need {
		return fmt.Errorf("only %.1f GiB of memory are free, and a run needs about %.1f; wait for what else is running", gib(have), gib(need))
	}
	return nil
}

func gib(bytes int64) float64 { return float64(bytes) / (1 << 30) }
