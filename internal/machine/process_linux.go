package machine

import (
	"bytes"
	"os"
	"strconv"
	"sync"
)

var pageSize = int64(os.Getpagesize())

// statm is kept open: reading it again costs less than opening it.
var statm struct {
	sync.Mutex
	file *os.File
}

// RSS returns the bytes of this process that are in memory, libraries' and mapped files' pages among them; 0 where it cannot be told.
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
	n, err := statm.file.ReadAt(buf[:], 0)
	if n == 0 && err != nil {
		return 0
	}
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

// RAM returns the machine's memory in bytes, and how much of it could be had without swapping; zeros where it cannot be told.
func RAM() (total, available int64) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	for line := range bytes.Lines(data) {
		f := bytes.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, err := strconv.ParseInt(string(f[1]), 10, 64)
		if err != nil {
			continue
		}
		switch string(f[0]) {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			return total, kib << 10
		}
	}
	return total, available
}
