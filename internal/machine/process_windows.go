package machine

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

var (
	kernel32             = windows.NewLazySystemDLL("kernel32.dll")
	getProcessMemoryInfo = kernel32.NewProc("K32GetProcessMemoryInfo")
	getProcessIOCounters = kernel32.NewProc("GetProcessIoCounters")
	globalMemoryStatusEx = kernel32.NewProc("GlobalMemoryStatusEx")
)

// processMemory is PROCESS_MEMORY_COUNTERS_EX.
type processMemory struct {
	size, pageFaults                                             uint32
	peakWorkingSet, workingSet                                   uintptr
	quotaPeakPaged, quotaPaged, quotaPeakNonPaged, quotaNonPaged uintptr
	pagefile, peakPagefile, private                              uintptr
}

// counters is of this process; zeros where the system gives none.
func counters() (m processMemory) {
	m.size = uint32(unsafe.Sizeof(m))
	if ok, _, _ := getProcessMemoryInfo.Call(uintptr(windows.CurrentProcess()), uintptr(unsafe.Pointer(&m)), uintptr(m.size)); ok == 0 {
		return processMemory{}
	}
	return m
}

// RSS returns the bytes of this process that are in memory, its working set, with the pages of libraries and mapped files.
func RSS() int64 { return int64(counters().workingSet) }

// PeakRSS returns the largest RSS of this process so far.
func PeakRSS() int64 { return int64(counters().peakWorkingSet) }

// PrivateRSS returns what this process has committed for itself alone, whether it is in memory or not. Windows tells no other number.
func PrivateRSS() int64 { return int64(counters().private) }

// BytesRead returns what this process has read so far, from files and pipes. What came from disks is not known.
func BytesRead() (all, disk int64) {
	var io struct{ reads, writes, others, readBytes, writtenBytes, otherBytes uint64 }
	if ok, _, _ := getProcessIOCounters.Call(uintptr(windows.CurrentProcess()), uintptr(unsafe.Pointer(&io))); ok == 0 {
		return 0, 0
	}
	return int64(io.readBytes), 0
}

// memoryStatus is MEMORYSTATUSEX.
type memoryStatus struct {
	size, load                                     uint32
	total, available, totalCommit, availableCommit uint64
	totalVirtual, availableVirtual, extended       uint64
}

func askMemory() (m memoryStatus) {
	m.size = uint32(unsafe.Sizeof(m))
	if ok, _, _ := globalMemoryStatusEx.Call(uintptr(unsafe.Pointer(&m))); ok == 0 {
		return memoryStatus{}
	}
	return m
}

// RAM returns the machine's memory in bytes, and how much of it is there without swapping; zeros where it is not known.
func RAM() (total, available int64) {
	m := askMemory()
	return int64(m.total), int64(m.available)
}

// loadAverage is nothing that Windows counts.
func loadAverage() (float64, bool) { return 0, false }
