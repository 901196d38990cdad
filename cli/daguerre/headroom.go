package main

import (
	"fmt"
	"runtime"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/words"
)

// What Go's runtime will need in addition to what it has at the start. If the system refuses it a thread or memory, the runtime ends the
// process with a trace. So the program looks first. A thread that waits in a call counts, and its stack takes address space.
const (
	spareThreads = 8
	spareBytes   = 256 << 20
)

// tooLittle names what is too scarce to begin; empty: nothing is.
func tooLittle(h machine.Headroom) string {
	if h.AddressSpace >= 0 && h.AddressSpace < spareBytes {
		return fmt.Sprintf("only %s of address space are left, and %s are needed to begin; raise the limit (ulimit -v)",
			words.Bytes(h.AddressSpace), words.Bytes(spareBytes))
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
