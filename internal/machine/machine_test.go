package machine

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRSSSeesMemory(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" && runtime.GOOS != "darwin" {
		assert.Zero(t, RSS())
		return
	}
	before := RSS()
	require.Positive(t, before)
	block := make([]byte, 64<<20)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	assert.Greater(t, RSS()-before, int64(50<<20))
	runtime.KeepAlive(block)
	total, available := RAM()
	assert.Greater(t, total, available)
	assert.Positive(t, available)
}

// The peak of resident memory follows what is touched, and stays.
func TestPeakRSS(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "windows" && runtime.GOOS != "darwin" {
		assert.Zero(t, PeakRSS())
		return
	}
	before := PeakRSS()
	require.Positive(t, before)
	block := make([]byte, before+64<<20)
	for i := 0; i < len(block); i += 1024 {
		block[i] = 1
	}
	after := PeakRSS()
	runtime.KeepAlive(block)
	assert.Greater(t, after, before+32<<20)
}

func TestSamplerKeepsPeaksOfStages(t *testing.T) {
	var value atomic.Int64
	s := NewSampler(value.Load, time.Millisecond)
	t.Cleanup(s.Close)
	set := func(stage string, v int64) {
		s.Enter(stage)
		value.Store(v)
		require.Eventually(t, func() bool { now, _, _ := s.Peaks(); return now == v }, time.Minute, time.Millisecond)
	}
	set("text", 10)
	set("denoise", 30)
	set("denoise", 20)
	set("decode", 25)
	s.Close()
	s.Close()
	_, peak, stages := s.Peaks()
	assert.Equal(t, int64(30), peak)
	assert.Equal(t, int64(30), stages["denoise"])
	assert.GreaterOrEqual(t, stages["decode"], int64(25))
	assert.GreaterOrEqual(t, stages["text"], int64(10))
}

// TestSamplingIsCheap holds that sampling at the default interval takes less than 0.5 % of one CPU.
func TestSamplingIsCheap(t *testing.T) {
	best := time.Hour
	for range 20 {
		began := time.Now()
		const n = 200
		for range n {
			RSS()
		}
		best = min(best, time.Since(began)/n)
	}
	t.Logf("a sample takes %v, %.4f %% of a CPU at one every %v", best, 100*best.Seconds()/DefaultInterval.Seconds(), DefaultInterval)
	assert.Less(t, best.Seconds()/DefaultInterval.Seconds(), 0.005)
}
