package lease

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// thing is a value that knows whether it is closed.
type thing struct {
	name   string
	closed atomic.Bool
}

func closeThing(v *thing) error {
	if v.closed.Swap(true) {
		return errors.New("closed twice")
	}
	return nil
}

func newCache(t testing.TB, o Options[*thing]) *Cache[string, *thing] {
	t.Helper()
	o.Close = closeThing
	c := New[string](o)
	t.Cleanup(func() {
		assert.NoError(t, c.Close())
		assert.Empty(t, c.List())
		assert.Zero(t, c.Stats().Bytes)
	})
	return c
}

// opens returns an open function for a thing of so many bytes.
func opens(name string, bytes int64) func(context.Context) (*thing, int64, error) {
	return func(context.Context) (*thing, int64, error) { return &thing{name: name}, bytes, nil }
}

func acquire(t testing.TB, c *Cache[string, *thing], name string, bytes int64) *Lease[*thing] {
	t.Helper()
	l, err := c.Acquire(t.Context(), name, opens(name, bytes))
	require.NoError(t, err)
	return l
}

func use(t testing.TB, c *Cache[string, *thing], name string, bytes int64) *thing {
	t.Helper()
	l := acquire(t, c, name, bytes)
	require.NoError(t, l.Release())
	require.NoError(t, l.Release(), "again is no harm")
	return l.Value
}

func names(c *Cache[string, *thing]) (out []string) {
	for _, item := range c.List() {
		out = append(out, item.Key)
	}
	return out
}

func TestKeepsWhatWasUsedLast(t *testing.T) {
	c := newCache(t, Options[*thing]{Count: 2})
	a := use(t, c, "a", 1)
	b := use(t, c, "b", 1)
	assert.Same(t, a, use(t, c, "a", 1), "opened once")
	use(t, c, "c", 1)
	assert.Equal(t, []string{"c", "a"}, names(c))
	assert.True(t, b.closed.Load())
	held := acquire(t, c, "a", 1)
	use(t, c, "d", 1)
	use(t, c, "e", 1)
	assert.Equal(t, []string{"e", "a"}, names(c), "what is in use stays")
	other := acquire(t, c, "f", 1)
	more := acquire(t, c, "g", 1)
	assert.Equal(t, []string{"g", "f", "a"}, names(c), "and may be more than the limit")
	for _, l := range []*Lease[*thing]{held, other, more} {
		require.NoError(t, l.Release())
	}
	assert.Equal(t, []string{"g", "f"}, names(c))
	s := c.Stats()
	assert.Equal(t, []int{7, 2, 7, 5, 0}, []int{s.Opens, s.Hits, s.Misses, s.Evictions, s.Failures})
	assert.Equal(t, []int64{2, 3}, []int64{s.Bytes, s.PeakBytes})
}

func TestBytesAndThreshold(t *testing.T) {
	c := newCache(t, Options[*thing]{Bytes: 10, Threshold: 0.5})
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		use(t, c, name, 2)
	}
	assert.Zero(t, c.Stats().Evictions)
	use(t, c, "f", 2)
	assert.Equal(t, []string{"f", "e"}, names(c), "4 of 10 is the first that is at most half")
	held := acquire(t, c, "g", 11)
	assert.Equal(t, []string{"g"}, names(c), "more than the limit, but in use")
	require.NoError(t, held.Release())
	assert.Empty(t, c.List())
}

func TestTransient(t *testing.T) {
	c := newCache(t, Options[*thing]{Count: -1})
	first, second := acquire(t, c, "a", 1), acquire(t, c, "a", 1)
	assert.Same(t, first.Value, second.Value)
	require.NoError(t, first.Release())
	assert.False(t, first.Value.closed.Load())
	require.NoError(t, second.Release())
	assert.True(t, first.Value.closed.Load(), "with its last user")
}

// TestStrict: what does not fit beside what is in use is an error that says how much, whether that is known before or after.
func TestStrict(t *testing.T) {
	c := newCache(t, Options[*thing]{Bytes: 10, Strict: true})
	use(t, c, "idle", 3)
	held := acquire(t, c, "held", 6)
	var limit *LimitError
	opened := &thing{}
	_, err := c.Acquire(t.Context(), "late", func(context.Context) (*thing, int64, error) { return opened, 5, nil })
	require.ErrorAs(t, err, &limit)
	assert.Equal(t, LimitError{Needed: 5, InUse: 6, Limit: 10}, *limit)
	assert.True(t, opened.closed.Load())
	assert.Equal(t, []string{"held"}, names(c), "the idle one made room in vain")

	use(t, c, "idle", 4)
	_, err = c.Acquire(t.Context(), "early", func(context.Context) (*thing, int64, error) {
		if err := c.Reserve("early", 5); err != nil {
			return nil, 0, err
		}
		t.Error("memory was promised that is not there")
		return &thing{}, 5, nil
	})
	require.ErrorAs(t, err, &limit)
	assert.Equal(t, int64(6), c.Stats().Bytes)
	l, err := c.Acquire(t.Context(), "guess", func(context.Context) (*thing, int64, error) {
		require.NoError(t, c.Reserve("guess", 1))
		assert.Equal(t, int64(7), c.Stats().Bytes)
		return &thing{}, 4, nil
	})
	require.NoError(t, err)
	assert.Equal(t, int64(10), c.Stats().Bytes)
	require.Error(t, c.Reserve("guess", 1), "it is open")
	require.NoError(t, l.Release())
	require.NoError(t, held.Release())
	assert.Equal(t, 2, c.Stats().Failures)
}

// TestWaitingLooksAtItsContext: each waiter leaves by its own context, and the opening ends with the last.
func TestWaitingLooksAtItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options[*thing]{})
		var cancelled atomic.Bool
		slow := func(ctx context.Context) (*thing, int64, error) {
			select {
			case <-time.After(time.Minute):
				return &thing{name: "slow"}, 1, nil
			case <-ctx.Done():
				time.Sleep(time.Second) // to tidy up
				cancelled.Store(true)
				return nil, 0, ctx.Err()
			}
		}
		// The first gives up, the second gets what the first began.
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := c.Acquire(short, "a", slow)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
		synctest.Wait()
		began := time.Now()
		l, err := c.Acquire(t.Context(), "a", opens("other", 1))
		require.NoError(t, err)
		assert.Equal(t, "slow", l.Value.name)
		assert.Equal(t, time.Minute, time.Since(began))
		wg.Wait()
		require.NoError(t, l.Release())
		assert.Equal(t, 1, c.Stats().Opens)

		// All give up: the opening is cancelled, and who comes then waits for its end and opens anew.
		for range 3 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := c.Acquire(ctx, "b", slow)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			})
		}
		wg.Wait()
		assert.False(t, cancelled.Load())
		_, err = c.Acquire(short, "b", slow)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		l, err = c.Acquire(t.Context(), "b", opens("anew", 1))
		require.NoError(t, err)
		assert.True(t, cancelled.Load())
		assert.Equal(t, "anew", l.Value.name)
		require.NoError(t, l.Release())
		assert.Equal(t, 1, c.Stats().Failures)
	})
}

// TestAbandonedButOpened: an opening that ends well although nobody waits is kept.
func TestAbandonedButOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options[*thing]{})
		deaf := func(context.Context) (*thing, int64, error) {
			time.Sleep(time.Minute)
			return &thing{name: "deaf"}, 1, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Acquire(ctx, "a", deaf)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, "deaf", use(t, c, "a", 1).name)
		assert.Equal(t, 1, c.Stats().Opens)
	})
}

func TestFailuresAreForgotten(t *testing.T) {
	c := newCache(t, Options[*thing]{})
	for range 2 {
		_, err := c.Acquire(t.Context(), "a", func(context.Context) (*thing, int64, error) {
			require.NoError(t, c.Reserve("a", 5))
			return nil, 0, errors.New("no such file")
		})
		require.EqualError(t, err, "no such file")
		assert.Zero(t, c.Stats().Bytes)
	}
	assert.Equal(t, 2, c.Stats().Failures)
	assert.Equal(t, "a", use(t, c, "a", 1).name)
}

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options[*thing]{Idle: time.Minute})
		use(t, c, "a", 1)
		held := acquire(t, c, "b", 1)
		time.Sleep(40 * time.Second)
		use(t, c, "c", 1)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"c", "b"}, names(c), "the first was idle for over a minute")
		time.Sleep(40 * time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"b"}, names(c))
		require.NoError(t, held.Release())
		time.Sleep(50 * time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"b"}, names(c))
		time.Sleep(20 * time.Second)
		synctest.Wait()
		assert.Empty(t, c.List())
		use(t, c, "d", 1) // Close stops the timer: synctest would find it waiting for ever
	})
}

func TestDrop(t *testing.T) {
	c := newCache(t, Options[*thing]{})
	for _, name := range []string{"a", "b", "c", "d"} {
		use(t, c, name, 3)
	}
	held := acquire(t, c, "d", 3)
	for _, name := range []string{"b", "d", "none"} { // d is in use
		require.NoError(t, c.Drop(name))
	}
	assert.Equal(t, []string{"d", "c", "a"}, names(c))
	assert.Equal(t, int64(9), c.Stats().Bytes)
	assert.Equal(t, Item[string, *thing]{Key: "d", Value: held.Value, Bytes: 3, Uses: 2, InUse: 1, Took: c.List()[0].Took}, c.List()[0])
	require.NoError(t, c.Clear())
	assert.Equal(t, []string{"d"}, names(c))
	require.NoError(t, held.Release())
	require.NoError(t, c.Clear())
	assert.Empty(t, c.List())
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, Options[*thing]{})
		idle, held := use(t, c, "idle", 1), acquire(t, c, "held", 1)
		var wg sync.WaitGroup
		ended := false
		wg.Go(func() {
			_, err := c.Acquire(t.Context(), "opening", func(ctx context.Context) (*thing, int64, error) {
				<-ctx.Done()
				time.Sleep(time.Second)
				ended = true
				return nil, 0, ctx.Err()
			})
			assert.ErrorIs(t, err, ErrClosed)
		})
		synctest.Wait()
		require.NoError(t, c.Close())
		assert.True(t, ended, "Close waits for openings")
		wg.Wait()
		assert.True(t, idle.closed.Load())
		assert.False(t, held.Value.closed.Load())
		_, err := c.Acquire(t.Context(), "held", opens("held", 1))
		require.ErrorIs(t, err, ErrClosed)
		require.NoError(t, held.Release())
		assert.True(t, held.Value.closed.Load())
	})
}

func TestErrorsOfClosing(t *testing.T) {
	c := New[string](Options[*thing]{Count: -1, Close: func(*thing) error { return errors.New("stuck") }})
	l, err := c.Acquire(t.Context(), "a", opens("a", 1))
	require.NoError(t, err)
	require.EqualError(t, l.Release(), "stuck")
	assert.Empty(t, c.List())
}

// TestConcurrentUse has many goroutines use few values through small limits, with impatient ones among them; the race detector watches.
func TestConcurrentUse(t *testing.T) {
	c := newCache(t, Options[*thing]{Bytes: 9, Strict: true, Count: 4, Idle: time.Millisecond})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			for range 200 {
				ctx, cancel := context.WithCancel(context.Background())
				if r.IntN(4) == 0 {
					ctx, cancel = context.WithTimeout(context.Background(), time.Duration(r.IntN(200))*time.Microsecond)
				}
				name := string(rune('a' + r.IntN(12)))
				pause := time.Duration(r.IntN(100)) * time.Microsecond
				l, err := c.Acquire(ctx, name, func(ctx context.Context) (*thing, int64, error) {
					if err := c.Reserve(name, 1); err != nil {
						return nil, 0, err
					}
					select {
					case <-time.After(pause):
					case <-ctx.Done():
						return nil, 0, ctx.Err()
					}
					return &thing{name: name}, 1, nil
				})
				cancel()
				if err != nil {
					var limit *LimitError // abandoned openings may hold what is left for a moment
					assert.True(t, errors.Is(err, context.DeadlineExceeded) || errors.As(err, &limit), err)
					continue
				}
				assert.Equal(t, name, l.Value.name)
				assert.False(t, l.Value.closed.Load())
				if r.IntN(8) == 0 {
					assert.NoError(t, c.Drop(string(rune('a'+r.IntN(12)))))
				}
				assert.NoError(t, l.Release())
			}
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, c.Stats().PeakBytes, int64(9))
}
