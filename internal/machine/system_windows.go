package machine

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// jobLimits are those of a job object, in bytes; negative: none.
type jobLimits struct{ process, job int64 }

// askJob asks for the limits of the job object that this process is in.
func askJob() jobLimits {
	limits := jobLimits{-1, -1}
	var info windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION
	err := windows.QueryInformationJobObject(0, windows.JobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&info)),
		uint32(unsafe.Sizeof(info)), nil)
	if err != nil { // it is in none
		return limits
	}
	if flags := info.BasicLimitInformation.LimitFlags; flags&windows.JOB_OBJECT_LIMIT_PROCESS_MEMORY != 0 {
		limits.process = int64(info.ProcessMemoryLimit)
	}
	if info.BasicLimitInformation.LimitFlags&windows.JOB_OBJECT_LIMIT_JOB_MEMORY != 0 {
		limits.job = int64(info.JobMemoryLimit)
	}
	return limits
}

func systemMemory() (System, error) { return systemOf(askMemory(), counters(), askJob()) }

// systemOf combines what Windows tells. What other processes of a job have committed is not known, so that they are not counted.
func systemOf(m memoryStatus, own processMemory, job jobLimits) (System, error) {
	if m.total == 0 || own.workingSet == 0 {
		return System{}, errors.New("the memory of the host is not known")
	}
	s := System{TotalBytes: int64(m.total), AvailableBytes: int64(m.available), ProcessBytes: int64(own.workingSet), Limit: limitOfMachine}
	if free := int64(m.availableCommit); free < s.AvailableBytes {
		s.AvailableBytes, s.Limit = free, "commit limit"
	}
	for _, limit := range []int64{job.process, job.job} {
		if limit < 0 {
			continue
		}
		s.TotalBytes = min(s.TotalBytes, limit)
		if free := max(limit-int64(own.private), 0); free < s.AvailableBytes {
			s.AvailableBytes, s.Limit = free, "job object's limit"
		}
	}
	return s, nil
}

// describeHost counts the processors of all processor groups; Go's runtime counts those of one.
func describeHost() Description {
	v := windows.RtlGetVersion()
	d := Description{CPU: "unknown CPU", Cores: max(runtime.NumCPU(), int(windows.GetActiveProcessorCount(windows.ALL_PROCESSOR_GROUPS))),
		Memory: int64(askMemory().total),
		System: fmt.Sprintf("%s/%s, version %d.%d.%d", runtime.GOOS, runtime.GOARCH, v.MajorVersion, v.MinorVersion, v.BuildNumber)}
	const key = `HARDWARE\DESCRIPTION\System\CentralProcessor\0`
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, key, registry.QUERY_VALUE)
	if err != nil {
		return d
	}
	defer k.Close()
	if name, _, err := k.GetStringValue("ProcessorNameString"); err == nil && strings.TrimSpace(name) != "" {
		d.CPU = strings.TrimSpace(name)
	}
	return d
}
