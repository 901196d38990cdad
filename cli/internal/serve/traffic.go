package serve

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/listen"
)

// What a client may take for its body where Options does not say: some time, and more for each byte.
const (
	DefaultBodyTime = 30 * time.Second
	bodyRate        = 32 << 10 // bytes a second
)

// body is a request's body with a limit on its size and on the time that it takes.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	ctx     context.Context
	began   time.Time
	limit   time.Duration // for nothing at all
	read    int64
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	listen.Waits(b.ctx, true)
	allowed := b.limit + time.Duration(b.read/bodyRate)*time.Second
	_ = b.control.SetReadDeadline(b.began.Add(allowed)) // without one the connection's holds
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if err != nil {
		listen.Waits(b.ctx, false)
		_ = b.control.SetReadDeadline(time.Time{}) // what follows is not the body's
	}
	return n, err
}

// answer is the way to a client: it notes what was sent, and gives the client so much time to take it.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	request *http.Request // with a bounded body
	status  int
	bytes   int64
}

// Unwrap serves http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.hurry()
	a.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (a *answer) Write(data []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	a.hurry()
	n, err := a.ResponseWriter.Write(data)
	a.bytes += int64(n)
	return n, err
}

// hurry gives the client some time from now to take what is sent.
func (a *answer) hurry() {
	_ = a.control.SetWriteDeadline(time.Now().Add(writeTime)) // a writer that knows no deadlines has the connection's
}

// finish is called when the handler has returned: what is left to be sent has some time, too.
func (a *answer) finish() {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	a.hurry()
}

// writeTime is how long a client may take to take a piece of an answer.
const writeTime = 30 * time.Second

// bounded limits a request's body, and watches the answer.
func bounded(w http.ResponseWriter, r *http.Request, limit int64, took time.Duration) *answer {
	a := &answer{ResponseWriter: w, control: http.NewResponseController(w), request: r}
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = http.MaxBytesReader(a, &body{ReadCloser: r.Body, control: a.control, ctx: r.Context(), began: time.Now(), limit: took}, limit)
	}
	return a
}
