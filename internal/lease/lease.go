// Package lease keeps things open that are dear to open: models, adapters, nets. A Cache opens a thing once for all who want it, keeps
// it after its last use as long as its limits allow, and never closes what is in use.
package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrClosed is returned by Acquire after Close.
var ErrClosed = errors.New("the cache is closed")

// LimitError says that a value does not fit into a strict Cache beside what is in use.
type LimitError struct {
	Needed int64 // bytes of the value
	InUse  int64 // bytes of the others that cannot go
	Limit  int64 // bytes allowed
}

// Error gives the three numbers.
func (e *LimitError) Error() string {
	return fmt.Sprintf("it takes %d bytes, others in use take %d, and the limit is %d", e.Needed, e.InUse, e.Limit)
}

// Options say how long a Cache keeps its values. With zero limits it keeps them until Close.
type Options[V any] struct {
	Close func(V) error // frees a value; nil: nothing is to be done

	Bytes     int64         // limit of all that is open, values in use included; 0: none
	Strict    bool          // Bytes binds what is in use, too: Acquire fails with a LimitError
	Count     int           // most values that are open; those in use may be more. 0: no limit; negative: a value goes with its last user
	Threshold float64       // where Bytes would be passed, idle values go until this fraction of it holds; 0: 1
	Idle      time.Duration // after which a value that nobody uses goes; 0: never
}

// Cache holds values by key. Values that nobody uses go when a limit needs it, the least recently used first. All methods may be
// called from several goroutines.
//
// One rule holds for waiting: Acquire looks at its own context. Several that want one value share its opening, which goes on as long
// as one of them waits; it is cancelled when all have left. What failed to open is forgotten.
type Cache[K comparable, V any] struct {
	options Options[V]
	opening sync.WaitGroup

	room sync.Mutex // held while memory is promised or freed; taken before mu

	mu      sync.Mutex
	entries map[K]*entry[K, V]
	clock   uint64 // counts uses
	timer   *time.Timer
	closed  bool
	stats   Stats
}

// entry is a value that is open or being opened. What opening yields is set before ready is closed.
type entry[K comparable, V any] struct {
	key    K
	cancel context.CancelFunc // of the opening
	ready  chan struct{}
	value  V
	err    error
	took   time.Duration

	open      bool
	abandoned bool  // nobody waits for the opening any more
	bytes     int64 // counted in Stats.Bytes
	users     int
	uses      int
	lastUse   uint64
	idleFrom  time.Time
}

// New makes an empty Cache.
func New[K comparable, V any](o Options[V]) *Cache[K, V] {
	if o.Threshold == 0 {
		o.Threshold = 1
	}
	return &Cache[K, V]{options: o, entries: map[K]*entry[K, V]{}}
}

// Lease is the use of a value until Release.
type Lease[V any] struct {
	Value   V // must not be closed
	release func() error
}

// Release gives the value back. It may be called again. The error is that of closing values that are not kept.
func (l *Lease[V]) Release() error { return l.release() }

// Acquire returns the value of a key. open opens it where it is not open, and tells the bytes that it takes. The context that open gets
// has the values of ctx and is cancelled when nobody waits any more.
func (c *Cache[K, V]) Acquire(ctx context.Context, key K, open func(context.Context) (V, int64, error)) (*Lease[V], error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		e, joined, err := c.enter(ctx, key, open)
		if err != nil {
			return nil, err
		}
		select {
		case <-e.ready:
		case <-ctx.Done():
			if joined {
				_ = c.leave(e) // the caller has no use for errors of closing
			}
			return nil, ctx.Err()
		}
		if joined && e.err != nil {
			return nil, e.err
		}
		if joined {
			return &Lease[V]{Value: e.value, release: sync.OnceValue(func() error { return c.leave(e) })}, nil
		} // else an opening that nobody wanted has ended: look again
	}
}

// enter makes the caller a user of a key's entry, and begins to open it where there is none. joined is false where an abandoned
// opening has to end first.
func (c *Cache[K, V]) enter(ctx context.Context, key K, open func(context.Context) (V, int64, error)) (
	e *entry[K, V], joined bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false, ErrClosed
	}
	if e = c.entries[key]; e != nil && e.abandoned {
		return e, false, nil
	}
	if e == nil {
		e = &entry[K, V]{key: key, ready: make(chan struct{})}
		c.entries[key] = e
		c.stats.Misses++
		ctx, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
		c.opening.Go(func() { c.run(ctx, e, open) })
	} else {
		c.stats.Hits++
	}
	e.users++
	e.uses++
	c.touch(e)
	return e, true, nil
}

func (c *Cache[K, V]) touch(e *entry[K, V]) {
	c.clock++
	e.lastUse = c.clock
}

// run opens an entry's value.
func (c *Cache[K, V]) run(ctx context.Context, e *entry[K, V], open func(context.Context) (V, int64, error)) {
	defer e.cancel()
	began := time.Now()
	value, bytes, err := open(ctx)
	if err == nil {
		err = c.settle(e, value, bytes)
	}
	c.mu.Lock()
	e.value, e.err, e.took, e.abandoned = value, err, time.Since(began), false
	if err == nil {
		e.open = true
		c.stats.opened(e.took)
	} else {
		if c.closed && errors.Is(err, context.Canceled) {
			e.err = ErrClosed
		}
		c.stats.Failures++
		c.stats.Bytes -= e.bytes
		delete(c.entries, e.key)
	}
	shed := e.open && e.users == 0 && c.idles(e)
	c.mu.Unlock()
	close(e.ready)
	if shed {
		_ = c.shed() // nobody waits for this value, nor for an error of closing it
	}
}

// leave ends one use. An opening that nobody waits for is cancelled; a value that is too many goes.
func (c *Cache[K, V]) leave(e *entry[K, V]) error {
	c.mu.Lock()
	e.users--
	c.touch(e)
	shed := false
	switch {
	case e.users > 0 || e.err != nil:
	case e.open:
		shed = c.idles(e)
	default:
		e.abandoned = true
		e.cancel()
	}
	c.mu.Unlock()
	if shed {
		return c.shed()
	}
	return nil
}

// idles notes that nobody uses a value any more and reports whether some have to go. mu is held.
func (c *Cache[K, V]) idles(e *entry[K, V]) bool {
	e.idleFrom = time.Now()
	c.armTimer(c.options.Idle)
	return c.closed || c.crowded() || c.over(0, c.options.Bytes)
}

// crowded reports whether more values are open than Count allows. mu is held.
func (c *Cache[K, V]) crowded() bool {
	return c.options.Count < 0 || c.options.Count > 0 && len(c.entries) > c.options.Count
}

// over reports whether bytes more would pass a limit. mu is held.
func (c *Cache[K, V]) over(bytes, limit int64) bool {
	return c.options.Bytes > 0 && c.stats.Bytes+bytes > limit
}

// shed closes what is beyond the limits; after Close all that is idle.
func (c *Cache[K, V]) shed() error {
	c.room.Lock()
	defer c.room.Unlock()
	return c.makeRoom(0)
}

// Drop closes the value of a key where it is open and idle.
func (c *Cache[K, V]) Drop(key K) error {
	c.room.Lock()
	defer c.room.Unlock()
	c.mu.Lock()
	e := c.entries[key]
	if e == nil || !e.open || e.users > 0 {
		c.mu.Unlock()
		return nil
	}
	return c.remove(e)
}

// Clear closes every idle value.
func (c *Cache[K, V]) Clear() error {
	c.room.Lock()
	defer c.room.Unlock()
	return c.evict(func(*entry[K, V]) bool { return true })
}

// Close closes every idle value, and those in use when they are released. Openings are cancelled and waited for. Acquire then fails with
// ErrClosed. Close may be called again.
func (c *Cache[K, V]) Close() error {
	c.mu.Lock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	for _, e := range c.entries {
		e.cancel()
	}
	c.mu.Unlock()
	c.opening.Wait()
	return c.Clear()
}
