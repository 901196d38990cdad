package machine

import (
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
)

func TestDescribe(t *testing.T) {
	root := fstest.MapFS{
		"proc/cpuinfo":              {Data: []byte("processor\t: 0\nmodel name\t: A CPU @ 2 GHz \nmodel name\t: Another\n")},
		"proc/sys/kernel/osrelease": {Data: []byte("6.1.0-x\n")},
		"proc/meminfo":              {Data: []byte("MemTotal: 12 kB\n")},
	}
	system := runtime.GOOS + "/" + runtime.GOARCH
	assert.Equal(t, Description{"A CPU @ 2 GHz", runtime.NumCPU(), 12 << 10, system + ", kernel 6.1.0-x"}, describe(root))
	assert.Equal(t, Description{"unknown CPU", runtime.NumCPU(), 0, system}, describe(fstest.MapFS{}))
}

func TestARMCores(t *testing.T) {
	const core = "processor\t: %\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd crc32 asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\n" +
		"CPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n\n"
	little := strings.ReplaceAll(core, "0xd0c", "0xd05")
	for info, want := range map[string]string{
		core:                 "ARM Neoverse N1",
		core + core:          "ARM Neoverse N1",
		little + core + core: "ARM Cortex-A55 + ARM Neoverse N1",
		strings.NewReplacer("0x41", "0x61", "0xd0c", "0x023").Replace(core): "Apple part 0x023",
		strings.NewReplacer("0x41", "0x99").Replace(core):                   "designer 0x99 part 0xd0c",
		"processor\t: 0\n": "unknown CPU",
		"":                 "unknown CPU",
	} {
		assert.Equal(t, want, describe(fstest.MapFS{"proc/cpuinfo": {Data: []byte(info)}}).CPU, info)
	}
}

func TestReadTable(t *testing.T) {
	root := fstest.MapFS{"x": {Data: []byte("Name:\tx\nVmHWM:\t    1234 kB\nHugePages: 3\nrchar: 17\ninactive_file 7\nBroken: many kB\n\n")}}
	assert.Equal(t, map[string]int64{"VmHWM": 1234 << 10, "HugePages": 3, "rchar": 17, "inactive_file": 7}, readTable(root, "x"))
	assert.Empty(t, readTable(root, "y"))
}
