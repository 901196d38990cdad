package main

import (
	"fmt"
	"runtime"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/words"
)

// What Go's runtime needs besides what it has at the start. It ends the process, with a trace of all that runs, where the system refuses it a
// thread or memory, so that this is looked at before. Threads are those that wait in calls; a thread's stack is a part of the address space.
const (
	spareThreads = 8
	spareBytes   = 256 << 20
)

// tooLittle says what there is too little of to begin; empty: nothing.
func tooLittle(h machine.Headroom) string {
	if h.AddressSpace >= 0 && h.AddressSpace < spareBytes {
		return fmt.Sprintf("only %s of address space are left, and %s are needed to begin; raise the limit (ulimit -v)", words.Bytes(h.AddressSpace),
			words.Bytes(spareBytes))
	}
	if h.Threads < 0 {
		return ""
	}
	if h.Threads < spareThreads {
		return fmt.Sprintf("only %d more %s may be started, and %d are needed to begin; end other programs, or raise the limit (%s)", h.Threads,
			words.Plural(h.Threads, "thread"), spareThreads, h.ThreadsLimit)
	}
	if most := max(h.Threads-spareThreads, 1); most < runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(most)
	}
	return ""
}
