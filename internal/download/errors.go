package download

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/daguerre-go/daguerre/internal/disk"
	"github.com/daguerre-go/daguerre/internal/words"
)

// What can go wrong, for errors.Is. Beside these there are the context's errors.
var (
	ErrFailed      = errors.New("the download failed") // the network, or the server
	ErrUnavailable = errors.New("no such file")        // the server does not have it
	ErrWrite       = errors.New("cannot write")        // the folder of the part: permission, a full disk
)

// Failure is an error with words of its own that matches a sentinel, which its words do not repeat.
type Failure struct {
	Is  error
	Err error
}

// Error is the error's own words.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap lets errors.Is match the sentinel and the cause.
func (f *Failure) Unwrap() []error { return []error{f.Is, f.Err} }

// Failed makes a Failure.
func Failed(is error, format string, args ...any) error {
	return &Failure{is, fmt.Errorf(format, args...)}
}

// StatusError is the answer of a server that does not give the file.
type StatusError struct {
	Code   int
	Status string // "403 Forbidden"
	Reason string // X-Error-Message, as the hub of Hugging Face sends it; cut, and "" where there is none
}

// Error tells the answer.
func (e *StatusError) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("the server answers %q (%s)", e.Status, e.Reason)
	}
	return fmt.Sprintf("the server answers %q", e.Status)
}

// temporary marks an error that another try may mend.
type temporary struct {
	error
	wait  time.Duration // that the server asks for
	fewer bool          // fewer connections may help
	gone  bool          // nobody is there
}

func (t *temporary) Unwrap() error { return t.error }

// errChanged stops all connections: what the server has is no longer the file that was begun with.
var errChanged = errors.New("the file on the server has changed")

func changed(text string) error { return &Failure{errChanged, errors.New(text)} }

// errSentOn is a server's wish to be left for another address that is not followed.
var errSentOn = errors.New("the server sends on to another address")

// NoRoom is the error of a place that cannot be written to, with what is needed where the disk is full.
func NoRoom(err error, size int64) error {
	if size > 0 && disk.Full(err) {
		return Failed(ErrWrite, "%w; the file takes %s", err, words.Bytes(size))
	}
	return Failed(ErrWrite, "%w", err)
}

// unreached is why no answer came, or not all of it. Names that do not exist and wrong certificates are not tried again.
func unreached(ctx context.Context, err error) error {
	if stalled, ok := errors.AsType[*temporary](context.Cause(ctx)); ok {
		return stalled
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the address, which may hold a token
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &temporary{error: errors.New("the connection was cut")}
	}
	name, isName := errors.AsType[*net.DNSError](err)
	_, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	if isName && name.IsNotFound || isCertificate || errors.Is(err, errSentOn) {
		return Failed(ErrFailed, "%w", err)
	}
	dial, ok := errors.AsType[*net.OpError](err)
	isDial := ok && dial.Op == "dial"
	return &temporary{error: err, fewer: isDial, gone: isDial}
}
