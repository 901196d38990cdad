//go:build !race

package pipeline

import (
	"log/slog"
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
// DAGUERRE_LEAK_ROUNDS says. No handle may be left and memory must be flat after a warm-up.
func TestOpenCloseLeaksNothing(t *testing.T) {
	rounds := 60
	if s := os.Getenv("DAGUERRE_LEAK_ROUNDS"); s != "" {
		var err error
		rounds, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	before := b.LiveModels()
	warm, goroutines := 0.0, 0
	const warmUp = 20
	for i := range rounds + warmUp {
		p, err := Open(t.Context(), Config{Model: NanoModel, Threads: 1}, WithBackend(b), WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		_, err = p.Generate(t.Context(), request.Request{Prompt: "a red circle", NumInferenceSteps: 1, Width: 64, Height: 64})
		require.NoError(t, err)
		require.NoError(t, p.Close())
		if i%50 == warmUp {
			var m runtime.MemStats
			rss := residentMB(t)
			runtime.ReadMemStats(&m)
			t.Logf("round %d: %.1f MB resident, Go holds %.1f MB and uses %.1f", i-warmUp, rss, float64(m.Sys-m.HeapReleased)/(1<<20), float64(m.HeapAlloc)/(1<<20))
		}
		if i == warmUp {
			warm, goroutines = residentMB(t), runtime.NumGoroutine()
		}
	}
	after := residentMB(t)
	t.Logf("%d rounds: %.1f MB resident after the warm-up, %.1f MB at the end", rounds, warm, after)
	assert.Equal(t, before, b.LiveModels())
	assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines+1)
	assert.Less(t, after-warm, 16.0, "megabytes gained")
}
