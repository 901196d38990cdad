package lease

import (
	"errors"
	"fmt"
	"time"
)

// Reserve books bytes for the value of a key that is being opened, and makes room for them first. An open function calls it when it
// knows its need before it takes memory. What open returns replaces the booking.
func (c *Cache[K, V]) Reserve(key K, bytes int64) error {
	c.mu.Lock()
	e := c.entries[key]
	misused := e == nil || e.open
	c.mu.Unlock()
	if misused {
		return fmt.Errorf("lease: Reserve of %v, which is not being opened", key)
	}
	c.room.Lock()
	defer c.room.Unlock()
	if err := c.makeRoom(bytes - e.bytes); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.book(e, bytes)
}

// settle books what a value takes in fact, and makes room for what was not foreseen. A value that does not fit is closed.
func (c *Cache[K, V]) settle(e *entry[K, V], value V, bytes int64) error {
	c.room.Lock()
	defer c.room.Unlock()
	err := c.makeRoom(bytes - e.bytes)
	if err == nil {
		c.mu.Lock()
		err = c.book(e, bytes)
		c.mu.Unlock()
	}
	if err != nil {
		err = errors.Join(err, c.close(value))
	}
	return err
}

// book counts bytes for an entry. mu and room are held.
func (c *Cache[K, V]) book(e *entry[K, V], bytes int64) error {
	if more := bytes - e.bytes; more > 0 && c.options.Strict && c.over(more, c.options.Bytes) {
		return &LimitError{Needed: bytes, InUse: c.stats.Bytes - e.bytes, Limit: c.options.Bytes}
	}
	c.stats.Bytes += bytes - e.bytes
	e.bytes = bytes
	c.stats.PeakBytes = max(c.stats.PeakBytes, c.stats.Bytes)
	return nil
}

// makeRoom closes idle values until bytes more are within the limits. Where Bytes would be passed it goes down to the threshold. room
// is held.
func (c *Cache[K, V]) makeRoom(bytes int64) error {
	limit := c.options.Bytes
	c.mu.Lock()
	if c.over(bytes, limit) {
		limit = int64(c.options.Threshold * float64(limit))
	}
	c.mu.Unlock()
	return c.evict(func(*entry[K, V]) bool { return c.closed || c.crowded() || c.over(bytes, limit) })
}

// evict closes idle values, the least recently used first, as long as more says so of the next one. more is called with mu held. Bytes
// count as used until they are free. room is held.
func (c *Cache[K, V]) evict(more func(next *entry[K, V]) bool) error {
	var errs []error
	for {
		c.mu.Lock()
		e := c.leastRecent()
		if e == nil || !more(e) {
			c.mu.Unlock()
			return errors.Join(errs...)
		}
		errs = append(errs, c.remove(e))
	}
}

// remove closes an idle value. room and mu are held; mu is given back.
func (c *Cache[K, V]) remove(e *entry[K, V]) error {
	delete(c.entries, e.key)
	c.mu.Unlock()
	err := c.close(e.value) // may wait for a computation
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Bytes -= e.bytes
	c.stats.Evictions++
	return err
}

func (c *Cache[K, V]) close(value V) error {
	if c.options.Close == nil {
		return nil
	}
	return c.options.Close(value)
}

// leastRecent is the idle value that was not used for the longest time; nil where there is none. mu is held.
func (c *Cache[K, V]) leastRecent() *entry[K, V] {
	var oldest *entry[K, V]
	for _, e := range c.entries {
		if e.open && e.users == 0 && (oldest == nil || e.lastUse < oldest.lastUse) {
			oldest = e
		}
	}
	return oldest
}

// armTimer has expire called after a time, unless it will be called anyway. mu is held.
func (c *Cache[K, V]) armTimer(after time.Duration) {
	if c.options.Idle > 0 && c.timer == nil && !c.closed {
		c.timer = time.AfterFunc(after, c.expire)
	}
}

// expire closes what was idle for the idle time and comes again for the rest.
func (c *Cache[K, V]) expire() {
	c.room.Lock()
	defer c.room.Unlock()
	// An error of closing has nobody here who could act on it.
	_ = c.evict(func(e *entry[K, V]) bool { return time.Since(e.idleFrom) >= c.options.Idle })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = nil
	if e := c.leastRecent(); e != nil {
		c.armTimer(c.options.Idle - time.Since(e.idleFrom))
	}
}
