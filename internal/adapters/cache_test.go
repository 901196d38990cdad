package adapters

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/lease"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// memory is a Loader that accounts for what it holds.
type memory struct {
	factor int64 // memory per byte of tensors; 0: 1
	block  chan struct{}

	mu     sync.Mutex
	now    int64
	peak   int64
	closed []string // modules of the first targets, in the order of closing
	loads  atomic.Int64
	live   atomic.Int64
}

type held struct {
	m       *memory
	bytes   int64
	targets int
	name    string
	once    sync.Once
}

func (m *memory) LoadLoRA(ctx context.Context, targets []backend.LoRATarget) (backend.LoRA, error) {
	if m.block != nil {
		select {
		case <-m.block:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	h := &held{m: m, targets: len(targets), name: targets[0].Module}
	for _, t := range targets {
		h.bytes += targetBytes(t) * max(m.factor, 1)
	}
	m.loads.Add(1)
	m.live.Add(1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now += h.bytes
	m.peak = max(m.peak, m.now)
	return h, nil
}

func (h *held) Bytes() int64 { return h.bytes }
func (h *held) Targets() int { return h.targets }
func (h *held) Close() error {
	h.once.Do(func() {
		h.m.mu.Lock()
		defer h.m.mu.Unlock()
		h.m.now -= h.bytes
		h.m.closed = append(h.m.closed, h.name)
		h.m.live.Add(-1)
	})
	return nil
}

// unit is the size of one of the adapters that adapters writes.
const unit = 4 * (64 + 64) * 4

// adapters writes n small adapters, each of another module's name, so that the order of eviction can be told.
func adapters(t testing.TB, n int) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i := range n {
		key := fmt.Sprintf("lora_te%d_text_model_encoder_layers_%d_self_attn_%c_proj", i%2+1, i/2%3, "qkv"[i/6%3])
		path := filepath.Join(dir, fmt.Sprintf("a%02d.safetensors", i))
		require.NoError(t, os.WriteFile(path, safetensors(t, nil, random(key+".lora_down.weight", 4, 64), random(key+".lora_up.weight", 64, 4)),
			0o644))
		paths = append(paths, path)
	}
	return paths
}

// defaults are the limits of a run file that says nothing.
var defaults = lease.Options[*Resident]{Bytes: 4096 << 20, Count: 8, Threshold: 0.8}

func testCache(t testing.TB, m *memory, o lease.Options[*Resident]) *Cache {
	t.Helper()
	c := newCache(m, nano, o)
	t.Cleanup(func() {
		assert.NoError(t, c.Close())
		assert.Zero(t, m.live.Load(), "everything is freed")
		assert.Zero(t, c.Stats().Bytes)
	})
	return c
}

// use acquires and releases.
func use(t testing.TB, c *Cache, path string) {
	t.Helper()
	r, err := c.Acquire(t.Context(), path)
	require.NoError(t, err)
	require.NoError(t, r.Release())
}

// TestFortyThroughFive puts 40 adapters through a limit that holds 5, whatever the memory per tensor turns out to be.
func TestFortyThroughFive(t *testing.T) {
	for _, factor := range []int64{1, 2} {
		m := &memory{factor: factor}
		limit := 5 * unit * factor
		c := testCache(t, m, lease.Options[*Resident]{Bytes: limit, Count: 100, Threshold: 1})
		paths := adapters(t, 40)
		for _, p := range paths {
			use(t, c, p)
			assert.LessOrEqual(t, c.Stats().Bytes, limit)
		}
		assert.Equal(t, limit, m.peak, "five at once and never more")
		s := c.Stats()
		assert.Equal(t, limit, s.PeakBytes)
		assert.Equal(t, []int{40, 40, 0, 35}, []int{s.Loads, s.Misses, s.Hits, s.Evictions})
		require.Len(t, s.Adapters, 5)
		for i, a := range s.Adapters {
			assert.Equal(t, paths[39-i], a.Path, "the most recent ones, newest first")
			assert.Equal(t, unit*factor, a.Bytes)
			assert.Equal(t, 1, a.Uses)
		}
		use(t, c, paths[36])
		assert.Equal(t, 1, c.Stats().Hits)
		assert.InDelta(t, 1.0/41, c.Stats().HitRate, 1e-9)
	}
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	m := &memory{}
	c := testCache(t, m, lease.Options[*Resident]{Count: 3})
	paths := adapters(t, 6)
	for _, i := range []int{0, 1, 2, 0, 3, 2, 4} {
		use(t, c, paths[i])
	}
	names := func(indices ...int) (out []string) {
		for _, i := range indices {
			f, err := Open(paths[i], nano)
			require.NoError(t, err)
			out = append(out, f.Infos()[0].Module)
			f.Close()
		}
		return out
	}
	assert.Equal(t, names(1, 0), m.closed)
	held, err := c.Acquire(t.Context(), paths[3])
	require.NoError(t, err)
	for _, i := range []int{5, 0, 1, 2} {
		use(t, c, paths[i])
	}
	assert.NotContains(t, m.closed, names(3)[0], "one in use stays")
	assert.NoError(t, held.Release())
}

// TestThreshold: where there is no room, unused adapters go until the threshold is met, so that not every load evicts.
func TestThreshold(t *testing.T) {
	c := testCache(t, &memory{}, lease.Options[*Resident]{Bytes: 10 * unit, Count: 100, Threshold: 0.5})
	paths := adapters(t, 12)
	for _, p := range paths[:10] {
		use(t, c, p)
	}
	assert.Zero(t, c.Stats().Evictions)
	use(t, c, paths[10])
	assert.Equal(t, int64(5*unit), c.Stats().Bytes)
	use(t, c, paths[11])
	assert.Equal(t, 6, c.Stats().Evictions)
}

func TestLimitReached(t *testing.T) {
	c := testCache(t, &memory{}, lease.Options[*Resident]{Bytes: 2 * unit})
	paths := adapters(t, 3)
	var all []*lease.Lease[*Resident]
	for _, p := range paths[:2] {
		r, err := c.Acquire(t.Context(), p)
		require.NoError(t, err)
		all = append(all, r)
	}
	_, err := c.Acquire(t.Context(), paths[2])
	require.ErrorIs(t, err, lora.ErrLimit)
	assert.ErrorContains(t, err, "lora_cache.memory_limit_mb")
	assert.Equal(t, int64(2*unit), c.Stats().Bytes)
	assert.NoError(t, all[0].Release())
	use(t, c, paths[2])
	assert.NoError(t, all[1].Release())
	// What the estimate did not foresee is found afterwards, and undone.
	m := &memory{factor: 3}
	c = testCache(t, m, lease.Options[*Resident]{Bytes: 2 * unit})
	_, err = c.Acquire(t.Context(), paths[0])
	require.ErrorIs(t, err, lora.ErrLimit)
	assert.Zero(t, m.live.Load())
}

// TestConcurrentUse has many goroutines use few adapters through a small cache; the race detector watches.
func TestConcurrentUse(t *testing.T) {
	m := &memory{}
	c := testCache(t, m, lease.Options[*Resident]{Bytes: 8 * unit, Count: 4, Idle: time.Millisecond})
	paths := adapters(t, 12)
	var users sync.WaitGroup
	for g := range 8 {
		users.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			for range 60 {
				a, err := c.Acquire(context.Background(), paths[r.IntN(len(paths))])
				if !assert.NoError(t, err) {
					return
				}
				assert.Len(t, a.Value.Targets, a.Value.LoRA.Targets())
				_ = c.Stats()
				if r.IntN(8) == 0 {
					assert.NoError(t, c.leases.Clear())
				}
				assert.NoError(t, a.Release())
			}
		})
	}
	users.Wait()
	s := c.Stats()
	assert.Equal(t, 480, s.Hits+s.Misses)
	assert.Equal(t, int64(s.Loads), m.loads.Load())
	require.Eventually(t, func() bool { // what is idle goes meanwhile
		s := c.Stats()
		return int64(s.Loads-s.Evictions) == m.live.Load()
	}, time.Minute, time.Millisecond)
	assert.LessOrEqual(t, m.peak, int64(8*unit))
}

// TestSharedLoading: several callers share one loading; if the first gives up, another loads.
func TestSharedLoading(t *testing.T) {
	m := &memory{block: make(chan struct{})}
	c := testCache(t, m, defaults)
	path := adapters(t, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := c.Acquire(ctx, path); first <- err }()
	require.Eventually(t, func() bool { return c.Stats().Misses == 1 }, time.Minute, time.Millisecond)
	var others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			r, err := c.Acquire(context.Background(), path)
			if assert.NoError(t, err) {
				assert.NoError(t, r.Release())
			}
		})
	}
	require.Eventually(t, func() bool { return c.Stats().Hits == 4 }, time.Minute, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	close(m.block)
	others.Wait()
	assert.Equal(t, int64(1), m.loads.Load())
}

func TestIdleCleanup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{}
		c := newCache(m, nano, lease.Options[*Resident]{Idle: time.Minute})
		paths := adapters(t, 3)
		use(t, c, paths[0])
		held, err := c.Acquire(t.Context(), paths[1])
		require.NoError(t, err)
		time.Sleep(40 * time.Second)
		use(t, c, paths[2])
		time.Sleep(30 * time.Second)
		synctest.Wait()
		assert.Equal(t, 1, c.Stats().Evictions, "the first was idle for over a minute")
		time.Sleep(40 * time.Second)
		synctest.Wait()
		assert.Equal(t, 2, c.Stats().Evictions)
		assert.NoError(t, held.Release())
		time.Sleep(50 * time.Second)
		synctest.Wait()
		assert.Equal(t, int64(1), m.live.Load())
		require.NoError(t, c.Close()) // stops the timer: synctest would find it waiting for ever
		assert.Zero(t, m.live.Load())
		_, err = c.Acquire(t.Context(), paths[0])
		require.ErrorIs(t, err, lease.ErrClosed)
	})
}

func TestChangedFileIsReadAgain(t *testing.T) {
	m := &memory{}
	c := testCache(t, m, defaults)
	path := adapters(t, 1)[0]
	use(t, c, path)
	use(t, c, path)
	assert.Equal(t, int64(1), m.loads.Load())
	at := time.Now().Add(time.Hour)
	require.NoError(t, os.Chtimes(path, at, at))
	use(t, c, path)
	assert.Equal(t, int64(2), m.loads.Load())
	link := filepath.Join(t.TempDir(), "link.safetensors")
	require.NoError(t, os.Symlink(path, link))
	use(t, c, link)
	assert.Equal(t, int64(2), m.loads.Load(), "a link is the same file")
}

func TestCloseWhileInUse(t *testing.T) {
	m := &memory{}
	c := newCache(m, nano, defaults)
	r, err := c.Acquire(t.Context(), adapters(t, 1)[0])
	require.NoError(t, err)
	require.NoError(t, c.Close())
	assert.Equal(t, int64(1), m.live.Load())
	assert.NoError(t, r.Release())
	assert.Zero(t, m.live.Load())
}

func TestFailedLoads(t *testing.T) {
	m := &memory{}
	c := testCache(t, m, defaults)
	_, err := c.Acquire(t.Context(), filepath.Join(t.TempDir(), "no.safetensors"))
	require.ErrorIs(t, err, lora.ErrNotFound)
	bad := write(t, "bad.safetensors", []byte("nothing of the kind"))
	for range 2 {
		_, err = c.Acquire(t.Context(), bad)
		require.ErrorIs(t, err, lora.ErrFormat)
	}
	assert.Equal(t, 2, c.Stats().Failures)
	failing, err := NewCache(loaderFunc(func() error { return errors.New("no device") }), nano, lora.CacheConfig{})
	require.NoError(t, err)
	path := adapters(t, 1)[0]
	_, err = failing.Acquire(t.Context(), path)
	require.ErrorContains(t, err, "no device")
	assert.ErrorContains(t, err, path)
	assert.Zero(t, failing.Stats().Bytes)
	require.NoError(t, failing.Close())
}

type loaderFunc func() error

func (f loaderFunc) LoadLoRA(context.Context, []backend.LoRATarget) (backend.LoRA, error) {
	return nil, f()
}
