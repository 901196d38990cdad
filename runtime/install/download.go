package install

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/words"
)

// mostDownload is the largest archive that is taken, in bytes.
const mostDownload = 4 << 30

// patience is how long a download bears with a network.
type patience struct {
	tries int                                  // in a row that bring nothing
	most  int                                  // tries in all
	stall time.Duration                        // without a byte
	pause func(failures int) time.Duration     // between two tries
	after func(time.Duration) <-chan time.Time // the clock
}

var patient = patience{tries: 5, most: 50, stall: time.Minute, after: time.After,
	pause: func(failures int) time.Duration { return min(250*time.Millisecond<<failures, 8*time.Second) }}

// download fetches a file, in several tries if it must. What came stays in the file part, with a mark beside it that tells which file it is
// a part of. A later download goes on from there.
type download struct {
	client   *http.Client
	url      *url.URL
	part     string
	most     int64 // bytes; 0: mostDownload
	patience patience
	progress func(Progress)
	note     func(string)
	pieces   bool // what is there now came in several pieces, or in an earlier run
}

// mark tells which file a part belongs to.
type mark struct {
	URL       string `json:"url"`       // as people see it
	Validator string `json:"validator"` // ETag or Last-Modified, for If-Range; "": it cannot be continued
	Size      int64  `json:"size"`      // of the whole file; 0: unknown
	Whole     bool   `json:"whole"`     // the part is the file
}

func (d *download) markFile() string { return d.part + ".json" }

// mark reads the mark; what cannot be read belongs to nothing.
func (d *download) mark() (m mark) {
	data, err := os.ReadFile(d.markFile())
	if err != nil || json.Unmarshal(data, &m) != nil || m.URL != shown(d.url) {
		return mark{}
	}
	return m
}

func (d *download) setMark(m mark) error {
	m.URL = shown(d.url)
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.markFile(), data, 0o644); err != nil {
		return noRoom(err, 0)
	}
	return nil
}

// discard forgets what came.
func (d *download) discard() {
	_ = os.Remove(d.markFile()) // first: a part without a mark is not continued
	_ = os.Remove(d.part)
}

func (d *download) have() int64 {
	st, err := os.Stat(d.part)
	if err != nil {
		return 0
	}
	return st.Size()
}

// temporary marks an error that another try may mend.
type temporary struct {
	error
	wait time.Duration // that the server asks for
}

func (t *temporary) Unwrap() error { return t.error }

// run fetches the file. Cancelling ctx stops it at once; what came stays.
func (d *download) run(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Dir(d.part), 0o755); err != nil {
		return noRoom(err, 0)
	}
	if m := d.mark(); m.Whole && m.Size == d.have() {
		d.pieces = true
		return nil // an earlier process fetched it, and ended before it was unpacked
	}
	for failures, all := 0, 1; ; all++ {
		before := d.have()
		err := d.try(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t, again := errors.AsType[*temporary](err)
		if !again && errors.Is(err, ErrDownload) {
			return fmt.Errorf("%s cannot be fetched: %w", shown(d.url), err)
		}
		if !again {
			return err
		}
		if d.have() > before {
			failures = 0
		}
		if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
			failures++ // nobody is there: fewer tries will do
		}
		if failures++; failures >= d.patience.tries || all >= d.patience.most {
			return failed(ErrDownload, "%s cannot be fetched: %w%s", shown(d.url), t.error, d.kept())
		}
		wait := max(d.patience.pause(failures), t.wait)
		if d.note != nil {
			d.note(fmt.Sprintf("%s: %v; trying again", shown(d.url), t.error))
		}
		select {
		case <-d.patience.after(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// kept tells what stays for the next call.
func (d *download) kept() string {
	if have := d.have(); have > 0 && d.mark().Validator != "" {
		return fmt.Sprintf("; %s came and stay, and the next call goes on from there", words.Bytes(have))
	}
	return ""
}

// try asks once for what is missing.
func (d *download) try(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(d.patience.stall, func() { cancel(&temporary{error: fmt.Errorf("nothing came for %s", d.patience.stall)}) })
	defer watch.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url.String(), nil)
	if err != nil {
		return failed(ErrDownload, "%w", err)
	}
	req.Header.Set("User-Agent", "daguerre/"+Version)
	req.Header.Set("Accept-Encoding", "identity") // so that lengths and ranges are those of the file
	m, have := d.mark(), d.have()
	if m.Validator == "" {
		have = 0
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		req.Header.Set("If-Range", m.Validator)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return unreached(ctx, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		have = 0
		m = mark{Validator: validator(resp.Header), Size: max(resp.ContentLength, 0)}
		err = d.begin(m)
	case http.StatusPartialContent:
		m, err = d.continues(m, have, resp)
	case http.StatusRequestedRangeNotSatisfiable:
		return d.beyond(m, have, resp)
	default:
		return d.refused(resp)
	}
	if err != nil {
		return err
	}
	alive := func() { watch.Reset(d.patience.stall) }
	return d.receive(ctx, resp.Body, m, have, alive)
}

// begin throws away what came and marks what comes.
func (d *download) begin(m mark) error {
	d.discard()
	d.pieces = false
	if err := os.WriteFile(d.part, nil, 0o644); err != nil {
		return noRoom(err, 0)
	}
	return d.setMark(m)
}

// beyond is what to do where the server has nothing after what came: that was all, or the file is another one now.
func (d *download) beyond(m mark, have int64, resp *http.Response) error {
	var size int64
	if n, _ := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes */%d", &size); n == 1 && size == have && have > 0 {
		return d.whole(m, have)
	}
	d.discard()
	return &temporary{error: errors.New("the file is shorter than what came of it; it was changed")}
}

// continues checks that an answer is the rest of the same file.
func (d *download) continues(m mark, have int64, resp *http.Response) (mark, error) {
	var first, last, size int64
	n, _ := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size)
	v := validator(resp.Header)
	if n != 3 || first != have || have == 0 || m.Size > 0 && m.Size != size || v != "" && v != m.Validator {
		d.discard()
		return m, &temporary{error: errors.New("the server answered with another part than was asked for, or of another file")}
	}
	m.Size, d.pieces = size, true
	return m, d.setMark(m)
}

// receive writes what comes to the end of the part.
func (d *download) receive(ctx context.Context, body io.Reader, m mark, have int64, alive func()) error {
	most := cmp.Or(d.most, mostDownload)
	tooLarge := failed(ErrDownload, "it has more than %s, and no file of a release has", words.Bytes(most))
	if m.Size > most {
		d.discard()
		return tooLarge
	}
	f, err := os.OpenFile(d.part, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return noRoom(err, 0)
	}
	defer f.Close() // finished closes it, too, and looks at the error
	buffer := make([]byte, 256<<10)
	for {
		n, err := body.Read(buffer)
		alive()
		if _, err := f.Write(buffer[:n]); err != nil {
			return noRoom(err, m.Size)
		}
		have += int64(n)
		d.tell(Progress{Stage: StageDownload, Done: have, Total: m.Size})
		switch {
		case have > most:
			d.discard()
			return tooLarge
		case m.Size > 0 && have > m.Size:
			d.discard()
			return &temporary{error: fmt.Errorf("more than the %d bytes of the file came", m.Size)}
		case errors.Is(err, io.EOF):
			return d.finished(f, m, have)
		case err != nil: // what came stays, whole or not: the sum tells
			return unreached(ctx, err)
		}
	}
}

// finished closes the part when the server says that this was all.
func (d *download) finished(f *os.File, m mark, have int64) error {
	if err := f.Close(); err != nil {
		return noRoom(err, m.Size)
	}
	if m.Size > 0 && have < m.Size {
		return &temporary{error: fmt.Errorf("the connection ended after %d of %d bytes", have, m.Size)}
	}
	return d.whole(m, have)
}

// whole marks the part as the file.
func (d *download) whole(m mark, have int64) error {
	m.Size, m.Whole = have, true
	d.tell(Progress{Stage: StageDownload, Done: have, Total: have})
	return d.setMark(m)
}

func (d *download) tell(p Progress) {
	if d.progress != nil {
		d.progress(p)
	}
}

// errSentOn is a server's wish to be left for another address that is not followed.
var errSentOn = errors.New("the server sends on to another address")

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
		return failed(ErrDownload, "%w", err)
	}
	return &temporary{error: err}
}

// refused is the error of an answer without a file.
func (d *download) refused(resp *http.Response) error {
	said := fmt.Sprintf("the server answers %q", resp.Status)
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		return failed(ErrUnavailable, "%s is not there: %s", shown(d.url), said)
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return &temporary{error: errors.New(said), wait: min(time.Duration(max(seconds, 0))*time.Second, 30*time.Second)}
	}
	return failed(ErrDownload, "%s", said)
}

// validator is what If-Range takes: a strong ETag, else the time of the last change; "" for none.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	return h.Get("Last-Modified")
}

// client is the options' client, or one that does not wait for ever for an answer. It does not let itself be sent from https to http.
func (o Options) client() *http.Client {
	if o.Client != nil {
		return o.Client
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 30 * time.Second
	transport.DisableCompression = true
	return &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) >= 10 {
			return fmt.Errorf("%w, ten times in a row", errSentOn)
		}
		if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
			return fmt.Errorf("%w without encryption", errSentOn)
		}
		return nil
	}}
}
