package download

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// web serves one file. fault may answer the n-th request, from 1, in its place.
type web struct {
	*httptest.Server
	mu     sync.Mutex
	data   []byte
	tag    string
	n      int
	ranges []string
	fault  func(n int, w http.ResponseWriter, r *http.Request) bool
}

func serve(t *testing.T, data []byte) *web {
	t.Helper()
	s := &web{data: data, tag: `"one"`}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.n++
		n, data, tag, fault := s.n, s.data, s.tag, s.fault
		s.ranges = append(s.ranges, r.Header.Get("Range"))
		s.mu.Unlock()
		if fault != nil && fault(n, w, r) {
			return
		}
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func (s *web) file(t *testing.T, connections int) *File {
	t.Helper()
	u, err := url.Parse(s.URL + "/file")
	require.NoError(t, err)
	p := Patient
	p.Pause = func(int) time.Duration { return time.Millisecond }
	p.Stall = 30 * time.Second
	client := NewClient()
	t.Cleanup(client.CloseIdleConnections)
	return &File{Client: client, URL: u, Agent: "test", Part: filepath.Join(t.TempDir(), "part"), Patience: p, Connections: connections,
		Chunk: 10_000, Sum: true, Alone: -1}
}

// random are bytes that no two places have alike.
func random(n int) []byte {
	out := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(out) // it does not fail
	return out
}

// whole makes sure that the part has the data, and that the sum is the data's.
func whole(t *testing.T, f *File, data []byte) {
	t.Helper()
	have, err := os.ReadFile(f.Part)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, have), "the part is not the file")
	assert.Equal(t, sumOf(data), f.SHA256())
}

// TestConnections fetches over several connections, in chunks that cover the file once.
func TestConnections(t *testing.T) {
	data := random(123_456)
	for _, connections := range []int{1, 2, 4, 16} {
		s := serve(t, data)
		f := s.file(t, connections)
		var last Progress
		f.Progress = func(p Progress) { last = p }
		require.NoError(t, f.Run(t.Context()))
		whole(t, f, data)
		assert.Equal(t, int64(len(data)), last.Done)
		assert.Equal(t, connections > 1, f.Pieces())
		if connections == 1 {
			assert.Equal(t, []string{""}, s.ranges)
			continue
		}
		want := []string{""} // the first answer is the whole file, of which one chunk is read
		for at := 10_000; at < len(data); at += 10_000 {
			if end := at + 10_000; end < len(data) {
				want = append(want, fmt.Sprintf("bytes=%d-%d", at, end-1))
			} else {
				want = append(want, fmt.Sprintf("bytes=%d-", at))
			}
		}
		assert.ElementsMatch(t, want, s.ranges)
		s.ranges = nil
		require.NoError(t, f.Run(t.Context()))
		whole(t, f, data)
		assert.Empty(t, s.ranges, "a part that is whole is not asked for")
	}
}

// TestServersOfRanges are servers that do not do what they were asked.
func TestServersOfRanges(t *testing.T) {
	data := random(100_000)
	other := random(200_000)[100_000:]
	serveData := func(w http.ResponseWriter, r *http.Request, data []byte, tag string) {
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}
	for _, c := range []struct {
		name  string
		fault func(s *web, n int, w http.ResponseWriter, r *http.Request) bool
		want  []byte
		notes string
	}{
		{"no ranges", func(_ *web, _ int, w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write(data); return true }, data, ""},
		{"ranges promised and not given", func(_ *web, _ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("ETag", `"one"`)
			w.Header().Set("Accept-Ranges", "bytes")
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data)
			return true
		}, nil, "the file on the server has changed"},
		{"the file changes after the first answer", func(s *web, n int, _ http.ResponseWriter, _ *http.Request) bool {
			if n == 2 {
				s.mu.Lock()
				s.data, s.tag = other, `"two"`
				s.mu.Unlock()
				return true // and this request gets nothing
			}
			return false
		}, other, "has changed"},
		{"a range of another file", func(_ *web, n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 3 {
				serveData(w, &http.Request{Method: r.Method, Header: http.Header{"Range": r.Header["Range"]}}, other, `"two"`)
			}
			return n == 3
		}, data, "another part than was asked for"},
		{"too many connections", func(_ *web, n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 3 || n == 4 {
				http.Error(w, "slow down", http.StatusTooManyRequests)
			}
			return n == 3 || n == 4
		}, data, "with fewer connections"},
		{"cut again and again", func(_ *web, n int, w http.ResponseWriter, r *http.Request) bool {
			if n%2 == 0 && n < 20 {
				serveData(&cutting{ResponseWriter: w, left: 3000}, r, data, `"one"`)
				return true
			}
			return false
		}, data, "trying again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, data)
			s.fault = func(n int, w http.ResponseWriter, r *http.Request) bool { return c.fault(s, n, w, r) }
			f := s.file(t, 4)
			var notes []string
			f.Note = func(text string) { notes = append(notes, text) }
			err := f.Run(t.Context())
			if c.want == nil {
				require.ErrorIs(t, err, ErrFailed)
				assert.ErrorContains(t, err, c.notes)
				return
			}
			require.NoError(t, err)
			whole(t, f, c.want)
			assert.Contains(t, strings.Join(notes, "\n"), c.notes)
		})
	}
}

// cutting ends the connection after some bytes.
type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	_, _ = c.ResponseWriter.Write(p[:n])
	c.ResponseWriter.(http.Flusher).Flush()
	if c.left -= n; c.left == 0 {
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

// TestGoesOn cancels at many places, and goes on each time. No byte that was marked is asked for again.
func TestGoesOn(t *testing.T) {
	data := random(6_000_000)
	for _, connections := range []int{1, 3} {
		s := serve(t, data)
		f := s.file(t, connections)
		f.Chunk = 700_000
		for stop := int64(200_000); ; stop += 800_000 {
			ctx, cancel := context.WithCancel(t.Context())
			g := s.file(t, connections)
			g.Part, g.Chunk = f.Part, f.Chunk
			before := Have(f.Part)
			g.Progress = func(p Progress) {
				if p.Done >= stop {
					cancel()
				}
			}
			err := g.Run(ctx)
			cancel()
			if err == nil {
				whole(t, g, data)
				break
			}
			require.ErrorIs(t, err, context.Canceled)
			assert.GreaterOrEqual(t, Have(f.Part), max(before, min(stop, int64(len(data)))))
		}
		assert.Greater(t, len(s.ranges), 3)
	}
}

// TestMark is about marks that are not of this part.
func TestMark(t *testing.T) {
	data := random(100_000)
	for name, text := range map[string]string{
		"no JSON": "{", "of another address": `{"url":"http://example.com/x","validator":"\"one\"","size":100000,"done":[[0,50000]]}`,
		"more than is there":  `{"url":"URL","validator":"\"one\"","size":100000,"done":[[0,90000]]}`,
		"out of order":        `{"url":"URL","validator":"\"one\"","size":100000,"done":[[20000,30000],[0,10000]]}`,
		"negative":            `{"url":"URL","validator":"\"one\"","size":100000,"done":[[-5,10000]]}`,
		"whole and too small": `{"url":"URL","validator":"\"one\"","size":100000,"whole":true,"done":[[0,50000]]}`,
	} {
		s := serve(t, data)
		f := s.file(t, 1)
		require.NoError(t, os.WriteFile(f.Part, make([]byte, 50_000), 0o600))
		require.NoError(t, os.WriteFile(f.markFile(), []byte(strings.ReplaceAll(text, "URL", f.URL.String())), 0o600))
		require.NoError(t, f.Run(t.Context()), name)
		whole(t, f, data)
		assert.Equal(t, []string{""}, s.ranges, name)
	}
}

// TestSize refuses files that are not as long as they must be.
func TestSize(t *testing.T) {
	s := serve(t, random(100_000))
	f := s.file(t, 4)
	f.Size = 99_999
	err := f.Run(t.Context())
	require.ErrorIs(t, err, ErrFailed)
	require.ErrorContains(t, err, "the server's file has 100,000 bytes, and 99,999 are expected")
	f = s.file(t, 1)
	f.Most, f.TooLarge = 50_000, "no test has"
	require.ErrorContains(t, f.Run(t.Context()), "it has more than 48.8 KiB, and no test has")
	assert.NoFileExists(t, f.Part)
}

// TestSpans holds the ranges against a table of bytes.
func TestSpans(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	for range 200 {
		var s spans
		var have [40]bool
		for range 10 {
			a, b := random.Int64N(40), random.Int64N(41)
			s = s.add(span{a, b})
			for i := a; i < b; i++ {
				have[i] = true
			}
			require.True(t, s.ordered(), "%v", s)
			var listed, gaps [40]bool
			for _, x := range s {
				for i := x[0]; i < x[1]; i++ {
					listed[i] = true
				}
			}
			for _, x := range s.without(span{0, 40}) {
				for i := x[0]; i < x[1]; i++ {
					gaps[i] = true
				}
			}
			require.Equal(t, have, listed)
			for i := range gaps {
				require.Equal(t, have[i], !gaps[i])
			}
			front := slices.Index(have[:], false)
			if front < 0 {
				front = 40
			}
			require.Equal(t, int64(front), s.front())
		}
	}
}

// TestTokens: a token goes to the server that it is for, and to no other; no error and no mark has it.
func TestTokens(t *testing.T) {
	var got []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Authorization")+r.Header.Get("Referer"))
		http.Error(w, "no", http.StatusNotFound)
	}))
	defer other.Close()
	s := serve(t, nil)
	s.fault = func(_ int, w http.ResponseWriter, r *http.Request) bool {
		got = append(got, r.Header.Get("Authorization"))
		http.Redirect(w, r, other.URL+"/there?Signature=SECRET2", http.StatusFound)
		return true
	}
	f := s.file(t, 1)
	f.URL.RawQuery = "key=SECRET3"
	f.URL.User = url.UserPassword("me", "SECRET4")
	f.Header = http.Header{"Authorization": {"Bearer SECRET1"}}
	err := f.Run(t.Context())
	require.ErrorIs(t, err, ErrUnavailable)
	assert.Equal(t, []string{"Bearer SECRET1", ""}, got)
	assert.NotContains(t, err.Error(), "SECRET")
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// TestPace tells a fast connection, which needs no other, from a slow one.
func TestPace(t *testing.T) {
	p := &pace{since: time.Now(), alone: time.Hour}
	assert.False(t, p.slow(1), "it is too early to tell")
	p.since = p.since.Add(-2 * time.Hour)
	assert.True(t, p.slow(1<<20))
	assert.Equal(t, int64(1<<20), p.at, "the next time begins here")
	p.since = p.since.Add(-2 * time.Hour)
	assert.False(t, p.slow(1<<20+Enough*3*3600))
	assert.True(t, (&pace{since: time.Now(), alone: -1}).slow(0), "the others come at once")
}

// TestAlone leaves a fast connection alone, and gives it company once it is slow.
func TestAlone(t *testing.T) {
	data := random(123_456)
	s := serve(t, data)
	f := s.file(t, 4)
	f.Alone = time.Hour
	require.NoError(t, f.Run(t.Context()))
	whole(t, f, data)
	assert.Equal(t, []string{""}, s.ranges)

	s.mu.Lock()
	s.ranges, s.n = nil, 0
	company := make(chan struct{})
	var once sync.Once
	s.fault = func(n int, w http.ResponseWriter, _ *http.Request) bool {
		if n > 1 {
			once.Do(func() { close(company) })
			return false
		}
		w.Header().Set("ETag", `"one"`)
		w.Header().Set("Accept-Ranges", "bytes")
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		for at := 0; at < len(data); at++ { // a byte at a time, until others come
			_, _ = w.Write(data[at : at+1])
			select {
			case <-company:
			case <-time.After(time.Millisecond):
				w.(http.Flusher).Flush()
			}
		}
		return true
	}
	s.mu.Unlock()
	f = s.file(t, 4)
	f.Alone = time.Millisecond
	require.NoError(t, f.Run(t.Context()))
	whole(t, f, data)
	assert.Greater(t, len(s.ranges), 1)
}
