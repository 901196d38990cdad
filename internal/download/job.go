package download

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/words"
)

// A mark is written after so many bytes, and after so long. A process that is killed loses no more.
const (
	markBytes = 8 << 20
	markEvery = time.Second
)

// forever is the end of a file whose size is not known.
const forever = int64(1) << 62

// job fetches what is missing of a file, until the file on the server changes.
type job struct {
	*File
	ctx    context.Context
	stop   context.CancelCauseFunc
	tries  *tries
	others sync.WaitGroup // connections beside the first

	mu      sync.Mutex
	part    *os.File
	mark    mark
	claimed spans // being fetched
	active  int   // connections
	ranges  bool  // the server sends parts of this file
	wide    bool  // several connections fetch
	marked  int64 // bytes that were there when the mark was written
	at      time.Time
	follow  *follower // nil: no sum is wanted
}

func newJob(ctx context.Context, f *File, t *tries) *job {
	j := &job{File: f, tries: t, mark: f.readMark()}
	j.ctx, j.stop = context.WithCancelCause(ctx)
	if j.mark.Validator == "" && !j.mark.Whole {
		j.mark = mark{}
	}
	return j
}

func (j *job) run() error {
	defer j.stop(nil)
	flags := os.O_RDWR | os.O_CREATE
	if j.mark.Done == nil {
		flags |= os.O_TRUNC
	}
	part, err := os.OpenFile(j.Part, flags, 0o644)
	if err != nil {
		return NoRoom(err, 0)
	}
	j.part = part
	if j.Sum {
		j.follow = newFollower(j)
	}
	j.pieces = len(j.mark.Done) > 0
	if !j.mark.Whole {
		j.active = 1
		j.end(j.work())
		j.others.Wait()
	}
	err = context.Cause(j.ctx)
	if err == nil && j.mark.Done.total() != j.mark.Size {
		err = changed("not all of the file came") // a part is never taken for the file
	}
	if err == nil && j.follow != nil {
		err = j.follow.finish()
	}
	if j.follow != nil {
		j.follow.stop()
	}
	return j.close(err)
}

// end stops all connections if one failed for good.
func (j *job) end(err error) {
	if err != nil {
		j.stop(err)
	}
}

// close writes the mark of what is there.
func (j *job) close(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil {
		j.mark.Whole = true
		j.tell(StageDownload, j.mark.Size)
	}
	if closeErr := j.part.Close(); closeErr != nil && err == nil {
		j.mark.Whole = false
		err = NoRoom(closeErr, j.mark.Size)
	}
	if j.mark.Done == nil && err != nil {
		return err // nothing came
	}
	if markErr := j.writeMark(j.mark); markErr != nil && err == nil {
		err = markErr
	}
	return err
}

// work fetches range after range over one connection.
func (j *job) work() error {
	defer func() {
		j.mu.Lock()
		j.active--
		j.mu.Unlock()
	}()
	for {
		s, ok := j.claim()
		if !ok {
			return nil
		}
		brought, err := j.fetch(s)
		j.release(s)
		if err == nil {
			continue
		}
		if j.ctx.Err() != nil {
			return nil // somebody else's error, or the caller's wish
		}
		t, again := errors.AsType[*temporary](err)
		if !again {
			return err
		}
		j.mu.Lock()
		if t.fewer && j.active > 1 { // the others do its work
			j.mu.Unlock()
			j.say("%s: %v; going on with fewer connections", Shown(j.URL), t.error)
			return nil
		}
		wait, end := j.tries.count(t, brought)
		j.mu.Unlock()
		if end != nil {
			return end
		}
		if err := j.pause(j.ctx, wait, t.error); err != nil {
			return nil
		}
	}
}

// claim takes the first range that is missing and that nobody fetches.
func (j *job) claim() (span, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	size := j.mark.Size
	switch {
	case j.mark.Whole || j.ctx.Err() != nil || size > 0 && j.mark.Done.total() == size:
		return span{}, false
	case j.mark.Validator == "": // nothing tells whether the rest would be of the same file
		return span{0, forever}, true
	case size == 0:
		return span{j.mark.Done.front(), forever}, true
	}
	taken := j.mark.Done
	for _, s := range j.claimed {
		taken = append(spans(nil), taken...).add(s)
	}
	gaps := taken.without(span{0, size})
	if len(gaps) == 0 {
		return span{}, false
	}
	s := gaps[0]
	if j.wide {
		s[1] = min(s[1], s[0]+j.chunk())
	}
	j.claimed = append(j.claimed, s)
	return s, true
}

// release gives a range back. What came of it is among the bytes that are there.
func (j *job) release(s span) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, c := range j.claimed {
		if c[0] == s[0] {
			j.claimed = append(j.claimed[:i], j.claimed[i+1:]...)
			return
		}
	}
}

// widen lets other connections fetch what the first, which fetches s and is at a byte of it, need not. It returns what the first fetches
// then.
func (j *job) widen(s span, at int64) span {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.wide || !j.ranges || j.Connections < 2 || j.mark.Size == 0 || j.mark.Validator == "" {
		return s
	}
	missing := j.mark.Size - j.mark.Done.total()
	more := min(int64(j.Connections), missing/j.chunk()) - 1
	if more < 1 {
		return s
	}
	s[1] = min(s[1], at+j.chunk())
	j.claimed, j.wide, j.pieces = spans{s}, true, true
	for range more {
		j.active++
		j.others.Go(func() { j.end(j.work()) })
	}
	return s
}

// begin throws away what came and marks what comes.
func (j *job) begin(m mark) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if st, err := j.part.Stat(); err != nil || st.Size() > 0 {
		if err := j.part.Truncate(0); err != nil {
			return NoRoom(err, 0)
		}
	}
	if j.follow != nil {
		j.follow.reset()
	}
	j.mark, j.marked, j.pieces, j.claimed = m, 0, false, nil
	j.mark.Done = spans{}
	return j.writeMark(j.mark)
}

// wrote notes that the bytes of a buffer are there. It returns a buffer to go on with.
func (j *job) wrote(at int64, buffer []byte) ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mark.Done = j.mark.Done.add(span{at, at + int64(len(buffer))})
	if j.follow != nil {
		buffer = j.follow.take(at, buffer)
	}
	have := j.mark.Done.total()
	j.tell(StageDownload, have)
	now := time.Now()
	if have-j.marked < markBytes && now.Sub(j.at) < markEvery {
		return buffer[:cap(buffer)], nil
	}
	j.marked, j.at = have, now
	return buffer[:cap(buffer)], j.writeMark(j.mark)
}

// tell tells how far a stage is. The lock is held.
func (j *job) tell(stage string, done int64) {
	if j.Progress != nil {
		j.Progress(Progress{Stage: stage, Done: done, Total: max(j.mark.Size, j.Size)})
	}
}

// tooLarge is the error of a file that has more bytes than it may have.
func (j *job) tooLarge() error {
	return Failed(ErrFailed, "it has more than %s, and %s", words.Bytes(j.Most), j.TooLarge)
}
