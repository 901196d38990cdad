//go:build !race

package pipeline

import (
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// residentMB reads the process's resident memory from the kernel, after Go has given back what it does not need.
func residentMB(t *testing.T) float64 {
	t.Helper()
	runtime.GC()
	data, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			require.NoError(t, err)
			return float64(kb) / 1024
		}
	}
	t.Fatal("/proc/self/status has no VmRSS")
	return 0
}

// TestOpenCloseLeaksNothing opens, uses and closes the nano model again and again: 60 times, or as often as
// DAGUERRE_LEAK_ROUNDS says. No handle may be left, and the least memory of the last rounds may not be above the most of
// the first ones after a warm-up. The test stays on one thread, since the C library keeps a heap for every thread
// that ever allocated, and Go moves goroutines between threads: without it memory settles later and higher.
func TestOpenCloseLeaksNothing(t *testing.T) {
	rounds := 60
	if s := os.Getenv("DAGUERRE_LEAK_ROUNDS"); s != "" {
		var err error
		rounds, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	before := b.LiveModels()
	const warmUp, window = 10, 20
	require.Greater(t, rounds, 2*window)
	first, last, goroutines := 0.0, math.Inf(1), 0
	for i := -warmUp; i < rounds; i++ {
		p, err := Open(t.Context(), Config{Model: NanoModel, Threads: 1}, WithBackend(b))
		require.NoError(t, err)
		_, err = p.Generate(t.Context(), request.Request{Prompt: "a red circle", NumInferenceSteps: 1, Width: 64, Height: 64})
		require.NoError(t, err)
		require.NoError(t, p.Close())
		switch {
		case i >= 0 && i < window:
			first, goroutines = max(first, residentMB(t)), max(goroutines, runtime.NumGoroutine())
		case i >= rounds-window:
			last = min(last, residentMB(t))
		}
		if i%100 == 0 {
			t.Logf("round %d: %.1f MB resident", i, residentMB(t))
		}
	}
	t.Logf("%d rounds: at most %.1f MB resident in the first %d, at least %.1f MB in the last %d", rounds, first, window, last, window)
	assert.Equal(t, before, b.LiveModels())
	assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
	assert.Less(t, last-first, 8.0, "megabytes gained")
}
