package machine

import (
	"runtime"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func files(pairs ...string) fstest.MapFS {
	fs := fstest.MapFS{
		"proc/meminfo":     {Data: []byte("MemTotal:       16384 kB\nMemFree: 1 kB\nMemAvailable:   8192 kB\nHugePages_Total:       0\n")},
		"proc/self/status": {Data: []byte("Name:\tx\nVmSize:\t 4096 kB\nVmRSS:\t  1024 kB\nVmData:\t 2048 kB\n")},
	}
	for i := 0; i < len(pairs); i += 2 {
		fs[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fs
}

func TestSystemTakesTheSmallestLimit(t *testing.T) {
	none := resourceLimits{-1, -1, -1}
	for _, c := range []struct {
		name             string
		fs               fstest.MapFS
		limits           resourceLimits
		total, available int64 // KiB
		limit            string
		mapped           bool
	}{
		{"the machine alone", files(), none, 16384, 8192, limitOfMachine, false},
		{"RLIMIT_AS counts the address space", files(), resourceLimits{6 << 20, -1, -1}, 6144, 2048, "RLIMIT_AS", true},
		{"RLIMIT_DATA counts private memory", files(), resourceLimits{-1, 3 << 20, -1}, 3072, 1024, "RLIMIT_DATA", false},
		{"used up already", files(), resourceLimits{1 << 20, -1, -1}, 1024, 0, "RLIMIT_AS", true},
		{"version 2, its own group", files("proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "5242880\n",
			"sys/fs/cgroup/a/b/memory.current", "4194304\n", "sys/fs/cgroup/a/b/memory.stat", "anon 1\ninactive_file 1048576\n"), none, 5120, 2048,
			"cgroup limit", false},
		{"version 2, a group above it", files("proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "max\n",
			"sys/fs/cgroup/a/memory.max", "2097152\n",
			"sys/fs/cgroup/a/memory.current", "1048576\n"), none, 2048, 1024, "cgroup limit", false},
		{"version 2, a container's root", files("proc/self/cgroup", "0::/../host\n", "sys/fs/cgroup/memory.max", "1048576\n",
			"sys/fs/cgroup/memory.current", "524288\n"), none, 1024, 512, "cgroup limit", false},
		{"version 1", files("proc/self/cgroup", "9:cpu,cpuacct:/\n4:memory:/j\n0::/\n", "sys/fs/cgroup/memory/j/memory.limit_in_bytes",
			"3145728\n",
			"sys/fs/cgroup/memory/j/memory.usage_in_bytes", "2097152\n", "sys/fs/cgroup/memory/j/memory.stat",
			"inactive_file 7\ntotal_inactive_file 1048576\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"), none, 3072,
			2048, "cgroup limit", false},
		{"version 1 without a limit", files("proc/self/cgroup", "4:memory:/j\n", "sys/fs/cgroup/memory/j/memory.limit_in_bytes",
			"9223372036854771712\n"), none,
			16384, 8192, limitOfMachine, false},
		{"version 2 without a limit", files("proc/self/cgroup", "0::/a\n", "sys/fs/cgroup/a/memory.max", "max\n",
			"sys/fs/cgroup/a/memory.current", "1048576\n"), none,
			16384, 8192, limitOfMachine, false},
		{"nested groups, the innermost the smallest", files("proc/self/cgroup", "0::/a/b/c\n", "sys/fs/cgroup/a/memory.max", "8388608\n",
			"sys/fs/cgroup/a/memory.current", "1048576\n", "sys/fs/cgroup/a/b/memory.max", "max\n", "sys/fs/cgroup/a/b/c/memory.max", "3145728\n",
			"sys/fs/cgroup/a/b/c/memory.current", "1048576\n"), none, 3072, 2048, "cgroup limit", false},
		{"nested groups, an outer one is nearly full", files("proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/memory.max", "8388608\n",
			"sys/fs/cgroup/a/memory.current", "8126464\n", "sys/fs/cgroup/a/b/memory.max", "3145728\n", "sys/fs/cgroup/a/b/memory.current",
			"1048576\n"),
			none, 3072, 256, "cgroup limit", false},
		{"version 1, nested, the outer one counts", files("proc/self/cgroup", "4:memory,hugetlb:/j/k\n",
			"sys/fs/cgroup/memory/j/memory.limit_in_bytes", "2097152\n",
			"sys/fs/cgroup/memory/j/memory.usage_in_bytes", "1048576\n", "sys/fs/cgroup/memory/j/k/memory.limit_in_bytes", "9223372036854771712\n"),
			none, 2048, 1024, "cgroup limit", false},
		{"hybrid: version 2 beside version 1", files("proc/self/cgroup", "4:memory:/j\n0::/s\n", "sys/fs/cgroup/memory/j/memory.limit_in_bytes",
			"3145728\n",
			"sys/fs/cgroup/memory/j/memory.usage_in_bytes", "1048576\n", "sys/fs/cgroup/unified/s/memory.max", "2097152\n",
			"sys/fs/cgroup/unified/s/memory.current", "0\n"), none, 2048, 2048, "cgroup limit", false},
		{"over its limit", files("proc/self/cgroup", "0::/a\n", "sys/fs/cgroup/a/memory.max", "1048576\n", "sys/fs/cgroup/a/memory.current",
			"2097152\n"), none,
			1024, 0, "cgroup limit", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := systemFrom(c.fs, c.limits)
			require.NoError(t, err)
			assert.Equal(t, System{TotalBytes: c.total << 10, AvailableBytes: c.available << 10, ProcessBytes: 1 << 20, Limit: c.limit,
				MappedCounts: c.mapped}, s)
		})
	}
	_, err := systemFrom(fstest.MapFS{}, none)
	assert.Error(t, err)
}

func TestSystemMemoryOfThisProcess(t *testing.T) {
	if !slices.Contains([]string{"linux", "windows", "darwin"}, runtime.GOOS) {
		_, err := SystemMemory()
		require.Error(t, err)
		return
	}
	s, err := SystemMemory()
	require.NoError(t, err)
	assert.Positive(t, s.AvailableBytes)
	assert.Greater(t, s.TotalBytes, s.ProcessBytes)
	assert.Positive(t, s.ProcessBytes)
	assert.NotEmpty(t, s.Limit)
}
