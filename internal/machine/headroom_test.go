package machine

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
)

func TestHeadroom(t *testing.T) {
	files := func(changes map[string]string) fs.FS {
		root := fstest.MapFS{}
		texts := map[string]string{
			"proc/self/status":           "Uid:\t7\t0\t0\t0\nThreads:\t4\nCapEff:\t0000000000000000\nVmSize:\t    1024 kB\n",
			"proc/10/status":             "Uid:\t7\t7\t7\t7\nThreads:\t4\n",
			"proc/11/status":             "Uid:\t7\t7\t7\t7\nThreads:\t30\n",
			"proc/12/status":             "Uid:\t70\t7\t7\t7\nThreads:\t500\n",
			"proc/sys/status":            "Uid:\t7\t7\t7\t7\nThreads:\t500\n",
			"proc/self/cgroup":           "1:memory:/x\n0::/a/b\n",
			"sys/fs/cgroup/a/x":          "",
			"proc/13/other":              "",
			"sys/fs/cgroup/a/b/pids.max": "max\n",
		}
		for name, text := range changes {
			texts[name] = text
		}
		for name, text := range texts {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		return root
	}
	for name, c := range map[string]struct {
		root   fs.FS
		limits resourceLimits
		want   Headroom
	}{
		"no limits":   {files(nil), resourceLimits{-1, -1, -1}, Headroom{-1, "", -1}},
		"of the user": {files(nil), resourceLimits{-1, -1, 40}, Headroom{6, "ulimit -u", -1}},
		"used up":     {files(nil), resourceLimits{-1, -1, 20}, Headroom{0, "ulimit -u", -1}},
		"not near":    {files(nil), resourceLimits{-1, -1, 1 << 20}, Headroom{-1, "", -1}},
		"root": {files(map[string]string{"proc/self/status": "Uid:\t0\t0\nThreads:\t4\n"}), resourceLimits{-1, -1, 1},
			Headroom{-1, "", -1}},
		"a capability": {files(map[string]string{"proc/self/status": "Uid:\t7\t7\nThreads:\t4\nCapEff:\t0000000001000000\n"}),
			resourceLimits{-1, -1, 1}, Headroom{-1, "", -1}},
		"of a group above": {files(map[string]string{"sys/fs/cgroup/a/pids.max": "100\n", "sys/fs/cgroup/a/pids.current": "97\n"}),
			resourceLimits{-1, -1, 40}, Headroom{3, "pids.max", -1}},
		"address space": {files(nil), resourceLimits{3 << 20, -1, -1}, Headroom{-1, "", 2 << 20}},
		"all of it":     {files(nil), resourceLimits{1 << 10, -1, -1}, Headroom{-1, "", 0}},
		"no /proc":      {fstest.MapFS{}, resourceLimits{-1, -1, 50}, Headroom{50, "ulimit -u", -1}},
	} {
		assert.Equal(t, c.want, headroom(c.root, c.limits), name)
	}
}
