package download

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/words"
)

// bufferBytes is how much is read at once.
const bufferBytes = 512 << 10

// fetch asks for a range once, and writes what comes. It tells whether anything came.
func (j *job) fetch(s span) (brought bool, err error) {
	ctx, cancel := context.WithCancelCause(j.ctx)
	defer cancel(nil)
	stall := j.Patience.Stall
	watch := time.AfterFunc(stall, func() { cancel(&temporary{error: fmt.Errorf("nothing came for %s", stall)}) })
	defer watch.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.URL.String(), nil)
	if err != nil {
		return false, Failed(ErrFailed, "%w", err)
	}
	j.mu.Lock()
	m := j.mark
	j.mu.Unlock()
	j.ask(req, m, s)
	resp, err := j.Client.Do(req)
	if err != nil {
		return false, unreached(ctx, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		s, err = j.wholeFile(resp, s)
	case http.StatusPartialContent:
		s, err = j.continues(m, resp, s)
	case http.StatusRequestedRangeNotSatisfiable:
		return false, j.beyond(m, resp, s)
	default:
		return false, j.refused(resp)
	}
	if err != nil {
		return false, err
	}
	j.mu.Lock()
	j.answer = resp.Header
	j.mu.Unlock()
	return j.receive(ctx, resp.Body, s, func() { watch.Reset(stall) })
}

// ask fills in what is asked for.
func (j *job) ask(req *http.Request, m mark, s span) {
	for key, values := range j.Header {
		req.Header[key] = values
	}
	req.Header.Set("User-Agent", j.Agent)
	req.Header.Set("Accept-Encoding", "identity") // so that lengths and ranges are those of the file
	switch {
	case s[0] == 0 && (s[1] == forever || s[1] == m.Size):
		return
	case s[1] == forever || s[1] == m.Size:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", s[0]))
	default:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", s[0], s[1]-1))
	}
	req.Header.Set("If-Range", m.Validator)
}

// wholeFile takes an answer with the whole file: it is the first, or the file has changed, or the server knows no ranges.
func (j *job) wholeFile(resp *http.Response, s span) (span, error) {
	j.mu.Lock()
	wide, first := j.wide, j.mark.Done == nil
	j.mu.Unlock()
	if wide {
		return s, changed("the file on the server has changed; it is fetched anew")
	}
	m := mark{Validator: validator(resp.Header), Size: max(resp.ContentLength, 0)}
	if err := j.fits(m.Size); err != nil {
		return s, err
	}
	if err := j.begin(m); err != nil {
		return s, err
	}
	s = span{0, forever}
	if m.Size > 0 {
		s[1] = m.Size
	}
	j.mu.Lock()
	j.ranges = first && strings.EqualFold(resp.Header.Get("Accept-Ranges"), "bytes")
	j.mu.Unlock()
	return s, nil
}

// fits makes sure that a file has the size that is known, and no forbidden one.
func (j *job) fits(size int64) error {
	switch {
	case j.Most > 0 && size > j.Most:
		j.Discard()
		return j.tooLarge()
	case j.Size > 0 && size > 0 && size != j.Size:
		return &temporary{error: fmt.Errorf("the server's file has %s bytes, and %s are expected", words.Thousands(size),
			words.Thousands(j.Size))}
	}
	return nil
}

// beyond is what to do where the server has nothing after what came: that was all, or the file is another one now.
func (j *job) beyond(m mark, resp *http.Response, s span) error {
	var size int64
	n, _ := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes */%d", &size)
	if n == 1 && size == s[0] && size > 0 && m.Done.total() == size {
		j.whole(size)
		return nil
	}
	return changed("the file is shorter than what came of it; it was changed")
}

// continues checks that an answer is the range of the same file.
func (j *job) continues(m mark, resp *http.Response, s span) (span, error) {
	var first, last, size int64
	n, _ := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size)
	v := validator(resp.Header)
	if n != 3 || first != s[0] || last < first || m.Size > 0 && m.Size != size || v != "" && v != m.Validator {
		return s, changed("the server answered with another part than was asked for, or of another file")
	}
	j.mu.Lock()
	j.mark.Size, j.pieces, j.ranges = size, true, true
	j.mu.Unlock()
	s[1] = min(s[1], size)
	return s, j.fits(size)
}

// receive writes what comes to its place.
func (j *job) receive(ctx context.Context, body io.Reader, s span, alive func()) (brought bool, err error) {
	buffer := make([]byte, bufferBytes)
	p := pace{at: s[0], since: time.Now(), alone: cmp.Or(j.Alone, 250*time.Millisecond)}
	for at := s[0]; ; {
		if p.slow(at) {
			s = j.widen(s, at)
		}
		n, err := body.Read(buffer[:min(int64(len(buffer)), s[1]-at)])
		alive()
		if _, err := j.part.WriteAt(buffer[:n], at); err != nil {
			return brought, NoRoom(err, j.size())
		}
		if n > 0 {
			next, err := j.wrote(at, buffer[:n])
			if err != nil {
				return brought, err
			}
			buffer = next
			at, brought = at+int64(n), true
		}
		switch {
		case j.Most > 0 && at > j.Most:
			j.Discard()
			return brought, j.tooLarge()
		case at == s[1]:
			return brought, nil
		case errors.Is(err, io.EOF) && s[1] == forever && (j.Size == 0 || j.Size == at):
			j.whole(at)
			return brought, nil
		case errors.Is(err, io.EOF):
			return brought, &temporary{error: errors.New("the connection ended before the file did")}
		case ctx.Err() != nil: // a connection may bring bytes for a while yet
			return brought, unreached(ctx, ctx.Err())
		case err != nil: // what came stays, whole or not: the sum tells
			return brought, unreached(ctx, err)
		}
	}
}

// pace tells how fast bytes come.
type pace struct {
	at    int64
	since time.Time
	alone time.Duration
}

// slow reports whether less than Enough came since it was last asked, if that is long enough ago to tell.
func (p *pace) slow(at int64) bool {
	took := time.Since(p.since)
	if took < p.alone {
		return false
	}
	few := float64(at-p.at) < Enough*took.Seconds()
	p.at, p.since = at, p.since.Add(took)
	return few || p.alone < 0
}

// size is how many bytes the file has, as far as it is known.
func (j *job) size() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return max(j.mark.Size, j.Size)
}

// whole marks the part as the file, whose size was not known.
func (j *job) whole(size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mark.Size, j.mark.Whole = size, true
	if j.follow != nil {
		j.follow.moved.Broadcast()
	}
}

// repeats reports whether a text of a server holds something of the request that may be secret.
func (j *job) repeats(resp *http.Response, text string) bool {
	var secrets []string
	for _, u := range []*url.URL{j.URL, resp.Request.URL} {
		password, _ := u.User.Password()
		secrets = append(secrets, password, u.RawQuery)
		for _, values := range u.Query() {
			secrets = append(secrets, values...)
		}
	}
	for _, values := range j.Header {
		for _, value := range values {
			secrets = append(secrets, strings.Fields(value)...)
		}
	}
	const least = 4 // characters of a secret
	return slices.ContainsFunc(secrets, func(s string) bool {
		return len(s) >= least && strings.Contains(text, s[:min(len(s), 20)]) // the text may be cut
	})
}

// refused is the error of an answer without a file.
func (j *job) refused(resp *http.Response) error {
	said := &StatusError{Code: resp.StatusCode, Status: words.Clip(resp.Status), Reason: words.Clip(resp.Header.Get("X-Error-Message"))}
	if j.repeats(resp, said.Status+said.Reason) { // a server that says what it was told
		said.Status, said.Reason = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)), ""
	}
	sentOn := resp.Request.URL.Host != j.URL.Host
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound || code == http.StatusGone:
		return Failed(ErrUnavailable, "%s is not there: %w", Shown(j.URL), said)
	case code == http.StatusForbidden && sentOn: // an address that was good for a while only
		return &temporary{error: said}
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return &temporary{error: said, wait: min(time.Duration(max(seconds, 0))*time.Second, 30*time.Second),
			fewer: code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable}
	}
	return Failed(ErrFailed, "%w", said)
}
