package download

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
)

// followBuffers is how many buffers wait for the sum.
const followBuffers = 4

// follower computes the sum of a part from its first byte on, close behind the connections. It takes the buffer that brings the next
// bytes. What came out of turn it reads back from the part.
type follower struct {
	*job
	moved *sync.Cond // of job.mu: there is more to do, or less, or nothing will come any more
	hash  hash.Hash  // of the goroutine
	at    int64      // of the next byte to sum
	taken [][]byte   // the bytes that follow
	spare [][]byte   // buffers that were summed
	next  int64      // where they, or what is read back, end
	round int        // counts resets
	over  bool
	done  chan struct{}
	err   error
}

func newFollower(j *job) *follower {
	w := &follower{job: j, moved: sync.NewCond(&j.mu), hash: sha256.New(), done: make(chan struct{})}
	go w.run()
	return w
}

// reset begins anew with an empty part. The lock is held.
func (w *follower) reset() {
	w.at, w.next, w.taken = 0, 0, nil
	w.round++
}

// take takes the buffer of bytes that are in the part now, if its turn has come, and returns one to go on with. It waits while enough
// buffers wait for their turn. The lock is held.
func (w *follower) take(at int64, buffer []byte) []byte {
	for at == w.next && len(w.taken) == followBuffers && !w.over {
		w.moved.Wait()
	}
	w.moved.Broadcast()
	if at != w.next || w.over {
		return buffer
	}
	w.taken, w.next = append(w.taken, buffer), at+int64(len(buffer))
	if n := len(w.spare) - 1; n >= 0 {
		buffer, w.spare = w.spare[n], w.spare[:n]
		return buffer
	}
	return make([]byte, bufferBytes)
}

func (w *follower) run() {
	defer close(w.done)
	buffer := make([]byte, bufferBytes)
	w.mu.Lock()
	defer w.mu.Unlock()
	for round := 0; ; {
		for len(w.taken) == 0 && w.mark.Done.front() <= w.at && !w.over {
			w.moved.Wait()
		}
		if w.round != round {
			round = w.round
			w.hash.Reset()
		}
		if w.ctx.Err() != nil {
			w.end(nil)
			return
		}
		var piece []byte
		back := len(w.taken) == 0
		if back {
			piece = buffer[:max(min(w.mark.Done.front()-w.at, int64(len(buffer))), 0)]
			w.next = w.at + int64(len(piece))
		} else {
			piece, w.taken = w.taken[0], w.taken[1:]
		}
		if len(piece) == 0 {
			w.end(nil) // it is over
			return
		}
		at := w.at
		w.mu.Unlock()
		var err error
		if back {
			_, err = w.part.ReadAt(piece, at)
		}
		if err == nil {
			w.hash.Write(piece)
		}
		w.mu.Lock()
		switch {
		case w.round != round: // what was read is no longer there
			continue
		case err != nil:
			w.end(err)
			return
		}
		if w.at += int64(len(piece)); !back {
			w.spare = append(w.spare, piece[:cap(piece)])
		}
		w.moved.Broadcast()
		if w.over {
			w.tell(StageVerify, w.at)
		}
	}
}

// end ends the follower. The lock is held.
func (w *follower) end(err error) {
	w.err, w.over, w.taken = err, true, nil
	w.moved.Broadcast()
}

// finish waits until all that is there was read.
func (w *follower) finish() error {
	w.mu.Lock()
	w.over = true
	w.moved.Broadcast()
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
	w.moved.Broadcast()
	w.mu.Unlock()
	<-w.done
}
