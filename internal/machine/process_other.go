//go:build !windows && !darwin

package machine

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync"
)

var pageSize = int64(os.Getpagesize())

// statm is kept open: reading it again costs less than opening it.
var statm struct {
	sync.Mutex
	file *os.File
}

// RSS returns the bytes of this process that are in memory, with the pages of libraries and mapped files; 0 where it is not known.
func RSS() int64 {
	statm.Lock()
	defer statm.Unlock()
	if statm.file == nil {
		f, err := os.Open("/proc/self/statm")
		if err != nil {
			return 0
		}
		statm.file = f
	}
	var buf [128]byte
	n, _ := statm.file.ReadAt(buf[:], 0)
	fields := bytes.Fields(buf[:n])
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * pageSize
}

// PeakRSS returns the largest RSS of this process so far; 0 where it is not known. It is Linux's VmHWM: getrusage's ru_maxrss would begin
// with the parent's.
func PeakRSS() int64 { return readTable(host, "proc/self/status")["VmHWM"] }

// PrivateRSS returns the part of RSS that is no file's; 0 where it is not known.
func PrivateRSS() int64 { return readTable(host, "proc/self/status")["RssAnon"] }

// BytesRead returns what this process has read so far, from files and pipes, and of it what came from disks; zeros where it is not known.
func BytesRead() (all, disk int64) {
	io := readTable(host, "proc/self/io")
	return io["rchar"], io["read_bytes"]
}

// RAM returns the machine's memory in bytes, and how much of it is there without swapping; zeros where it is not known.
func RAM() (total, available int64) {
	info := readTable(host, "proc/meminfo")
	return info["MemTotal"], info["MemAvailable"]
}

func systemMemory() (System, error) { return systemFrom(host, rlimits()) }

func describeHost() Description { return describe(host) }

func loadAverage() (float64, bool) {
	first, _, _ := strings.Cut(readText(host, "proc/loadavg"), " ")
	v, err := strconv.ParseFloat(first, 64)
	return v, err == nil
}
