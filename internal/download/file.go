package download

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/internal/words"
)

// Patience is how long a download bears with a network.
type Patience struct {
	Tries int                                  // in a row that bring nothing
	Most  int                                  // failed tries in all
	Stall time.Duration                        // without a byte
	Pause func(failures int) time.Duration     // between two tries
	After func(time.Duration) <-chan time.Time // the clock
}

// Patient is the usual Patience.
var Patient = Patience{Tries: 5, Most: 50, Stall: time.Minute, After: time.After,
	Pause: func(failures int) time.Duration { return min(250*time.Millisecond<<failures, 8*time.Second) }}

// The stages of Progress.
const (
	StageDownload = "download"
	StageVerify   = "verify" // the sum of what is there is computed
)

// Progress is how far a stage is.
type Progress struct {
	Stage       string
	Done, Total int64 // bytes; Total is 0 while it is unknown
}

// DefaultChunk is how much one of several connections fetches at a time.
const DefaultChunk = 32 << 20

// Enough is the speed, in bytes a second, at which one connection needs no others: 2 Gbit/s. They would only take turns with it at the
// processor and the disk.
const Enough = 250 << 20

// File is a file to fetch, in several tries if it must. Client, URL, Part and Patience are needed.
type File struct {
	Client   *http.Client
	URL      *url.URL
	Header   http.Header // of each request, such as Authorization; see NewClient for other servers
	Agent    string      // User-Agent
	Part     string      // where it is written to
	Patience Patience

	Size     int64  // that it must have; 0: unknown
	Most     int64  // bytes; 0: any number
	TooLarge string // says why a larger file cannot be right
	Chunk    int64  // of one connection beside others; 0: DefaultChunk
	Sum      bool   // compute the SHA-256 while bytes come

	Connections int           // at most; 0: one. The others come when the first is slower than Enough
	Alone       time.Duration // how long the first is timed, again and again; 0: a quarter of a second; less: the others come at once

	Progress func(Progress) // from one goroutine at a time; nil: nobody is told
	Note     func(string)   // what went wrong and is tried again; from one goroutine at a time

	pieces bool
	sum    string
	answer http.Header
	saying sync.Mutex
}

// Pieces tells whether what is there now came in several pieces, or in an earlier run. If its sum is wrong, a second try as a whole may
// help.
func (f *File) Pieces() bool { return f.pieces }

// SHA256 is the sum of the whole part, in hexadecimal, after Run with Sum.
func (f *File) SHA256() string { return f.sum }

// Answer is the head of the last answer that brought bytes; nil: there was none.
func (f *File) Answer() http.Header { return f.answer }

// Run fetches the file. Cancelling ctx stops it at once; what came stays. A full disk leaves nothing.
func (f *File) Run(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(f.Part), 0o755); err != nil {
		return NoRoom(err, 0)
	}
	f.pieces, f.sum = false, ""
	tries := &tries{patience: f.Patience}
	for {
		err := newJob(ctx, f, tries).run()
		if err == nil {
			return nil
		}
		if again, end := f.after(ctx, tries, err); end != nil || !again {
			return end
		}
	}
}

// after says what to do after a job that failed as a whole.
func (f *File) after(ctx context.Context, t *tries, err error) (again bool, end error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if disk.Full(err) {
		f.Discard() // it cannot become whole here, and others need the room
		return false, err
	}
	if !errors.Is(err, errChanged) {
		return false, f.named(err)
	}
	f.Discard()
	wait, end := t.count(&temporary{error: err}, false)
	if end != nil {
		return false, f.named(end)
	}
	return true, f.pause(ctx, wait, err)
}

// named puts the address before an error of the network.
func (f *File) named(err error) error {
	t, isTemporary := errors.AsType[*temporary](err)
	switch {
	case isTemporary:
		return Failed(ErrFailed, "%s cannot be fetched: %w%s", Shown(f.URL), t.error, f.kept())
	case errors.Is(err, ErrFailed):
		return fmt.Errorf("%s cannot be fetched: %w", Shown(f.URL), err)
	}
	return err
}

// kept tells what stays for the next call.
func (f *File) kept() string {
	if m := f.readMark(); m.Done.total() > 0 && m.Validator != "" {
		return fmt.Sprintf("; %s came and stay, and the next call goes on from there", words.Bytes(m.Done.total()))
	}
	return ""
}

// tries counts what failed.
type tries struct {
	patience Patience
	failures int // in a row that brought nothing
	all      int
}

// count counts a failure, and returns how long to wait before another try. There is an error if there were enough.
func (t *tries) count(err *temporary, brought bool) (time.Duration, error) {
	if brought {
		t.failures = 0
	}
	if err.gone {
		t.failures++ // fewer tries will do
	}
	t.all++
	if t.failures++; t.failures >= t.patience.Tries || t.all >= t.patience.Most {
		return 0, err
	}
	return max(t.patience.Pause(t.failures), err.wait), nil
}

// pause tells why something is tried again, and waits.
func (f *File) pause(ctx context.Context, wait time.Duration, why error) error {
	f.say("%s: %v; trying again", Shown(f.URL), why)
	select {
	case <-f.Patience.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// say tells what went wrong.
func (f *File) say(format string, args ...any) {
	if f.Note == nil {
		return
	}
	f.saying.Lock()
	defer f.saying.Unlock()
	f.Note(fmt.Sprintf(format, args...))
}

// chunk is how much one of several connections fetches at a time.
func (f *File) chunk() int64 { return cmp.Or(f.Chunk, DefaultChunk) }
