package machine

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"
)

// This file is compiled and vetted for macOS, but was never run there.

// processUsage is struct rusage_info_v0 of <sys/resource.h>.
type processUsage struct {
	uuid                                                               [16]byte
	user, system, packageWakeups, interruptWakeups, pageins, wiredSize uint64
	resident, footprint, started, ended                                uint64
}

// askUsage is proc_pid_rusage of <libproc.h>; nil where it is not found.
//
//	int proc_pid_rusage(int pid, int flavor, rusage_info_t *buffer)
var askUsage = sync.OnceValue(func() func(pid, flavor int32, buffer unsafe.Pointer) int32 {
	library, err := purego.Dlopen("/usr/lib/libSystem.B.dylib", purego.RTLD_LAZY|purego.RTLD_GLOBAL)
	if err != nil {
		return nil
	}
	symbol, err := purego.Dlsym(library, "proc_pid_rusage")
	if err != nil {
		return nil
	}
	var ask func(pid, flavor int32, buffer unsafe.Pointer) int32
	purego.RegisterFunc(&ask, symbol)
	return ask
})

// usage is of this process; zeros where it is not known.
func usage() (u processUsage) {
	const flavorV0 = 0
	ask := askUsage()
	if ask == nil || ask(int32(os.Getpid()), flavorV0, unsafe.Pointer(&u)) != 0 {
		return processUsage{}
	}
	return u
}

// RSS returns the bytes of this process that are in memory, with the pages of libraries and mapped files; 0 where it is not known.
func RSS() int64 { return int64(usage().resident) }

// PeakRSS returns the largest RSS of this process so far; 0 where it is not known.
func PeakRSS() int64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Maxrss
}

// PrivateRSS returns what the system charges to this process, compressed memory included; 0 where it is not known.
func PrivateRSS() int64 { return int64(usage().footprint) }

// BytesRead returns zeros: macOS does not tell what a process has read.
func BytesRead() (all, disk int64) { return 0, 0 }

// RAM returns the machine's memory in bytes, and how much of it is there without swapping; zeros where it is not known.
func RAM() (total, available int64) {
	f := figures()
	return f.total, f.available()
}

func figures() darwinFigures {
	page := int64(os.Getpagesize())
	pages := func(name string) int64 {
		n, err := unix.SysctlUint32(name)
		if err != nil {
			return 0
		}
		return int64(n) * page
	}
	total, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return darwinFigures{}
	}
	return darwinFigures{total: int64(total), free: pages("vm.page_free_count"), purgeable: pages("vm.page_purgeable_count"),
		external: pages("vm.page_pageable_external_count"), process: RSS()}
}

func systemMemory() (System, error) {
	s, ok := figures().system()
	if !ok {
		return System{}, errors.New("macOS does not tell the memory of the machine")
	}
	return s, nil
}

func describeHost() Description {
	d := Description{CPU: "unknown CPU", Cores: runtime.NumCPU(), Memory: figures().total, System: runtime.GOOS + "/" + runtime.GOARCH}
	if name, err := unix.Sysctl("machdep.cpu.brand_string"); err == nil && name != "" {
		d.CPU = name
	}
	if kernel, err := unix.Sysctl("kern.osrelease"); err == nil {
		d.System += ", kernel " + kernel
	}
	return d
}

func loadAverage() (float64, bool) {
	raw, err := unix.SysctlRaw("vm.loadavg")
	if err != nil {
		return 0, false
	}
	return loadOf(raw)
}
