package download

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
)

// follower computes the sum of a part from its first byte on, close behind the connections, while its bytes are still in memory.
type follower struct {
	*job
	more  *sync.Cond // of job.mu: bytes came, or nothing will come any more
	hash  hash.Hash  // of the goroutine
	at    int64
	round int // counts resets
	over  bool
	done  chan struct{}
	err   error
}

func newFollower(j *job) *follower {
	w := &follower{job: j, more: sync.NewCond(&j.mu), hash: sha256.New(), done: make(chan struct{})}
	go w.run()
	return w
}

// reset begins anew with an empty part. The lock is held.
func (w *follower) reset() {
	w.at = 0
	w.round++
}

func (w *follower) run() {
	defer close(w.done)
	buffer := make([]byte, bufferBytes)
	round := 0
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for w.mark.Done.front() <= w.at && !w.over {
			w.more.Wait()
		}
		if w.round != round {
			round = w.round
			w.hash.Reset()
		}
		at := w.at
		n := min(w.mark.Done.front()-at, int64(len(buffer)))
		if n <= 0 || w.ctx.Err() != nil {
			return // it is over
		}
		w.mu.Unlock()
		_, err := w.part.ReadAt(buffer[:n], at)
		if err == nil {
			w.hash.Write(buffer[:n])
		}
		w.mu.Lock()
		switch {
		case w.round != round: // what was read is no longer there
		case err != nil:
			w.err = err
			return
		default:
			if w.at += n; w.over {
				w.tell(StageVerify, w.at)
			}
		}
	}
}

// finish waits until all that is there was read.
func (w *follower) finish() error {
	w.mu.Lock()
	w.over = true
	w.more.Broadcast()
	w.mu.Unlock()
	<-w.done
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	if w.err != nil {
		return w.err
	}
	w.File.sum = hex.EncodeToString(w.hash.Sum(nil))
	return nil
}

// stop ends the follower where it is.
func (w *follower) stop() {
	w.job.stop(nil)
	w.mu.Lock()
	w.over = true
	w.more.Broadcast()
	w.mu.Unlock()
	<-w.done
}
