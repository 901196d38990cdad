package main

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/daguerre-go/daguerre/internal/machine"
)

func TestTooLittle(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	assert.Empty(t, tooLittle(machine.Headroom{Threads: -1, AddressSpace: -1}))
	assert.Empty(t, tooLittle(machine.Headroom{Threads: 100, AddressSpace: spareBytes}))
	assert.Equal(t, 4, runtime.GOMAXPROCS(0))
	assert.Equal(t, "only 64.0 MiB of address space are left, and 256.0 MiB are needed to begin; raise the limit (ulimit -v)",
		tooLittle(machine.Headroom{Threads: -1, AddressSpace: 64 << 20}))
	assert.Equal(t, "only 1 more thread may be started, and 8 are needed to begin; end other programs, or raise the limit (pids.max)",
		tooLittle(machine.Headroom{Threads: 1, ThreadsLimit: "pids.max", AddressSpace: -1}))
	assert.Empty(t, tooLittle(machine.Headroom{Threads: spareThreads + 2, AddressSpace: -1}))
	assert.Equal(t, 2, runtime.GOMAXPROCS(0), "of few threads, Go takes few for itself")
}
