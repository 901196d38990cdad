package machine

import (
	"runtime"
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

func TestReadTable(t *testing.T) {
	root := fstest.MapFS{"x": {Data: []byte("Name:\tx\nVmHWM:\t    1234 kB\nHugePages: 3\nrchar: 17\ninactive_file 7\nBroken: many kB\n\n")}}
	assert.Equal(t, map[string]int64{"VmHWM": 1234 << 10, "HugePages": 3, "rchar": 17, "inactive_file": 7}, readTable(root, "x"))
	assert.Empty(t, readTable(root, "y"))
}
