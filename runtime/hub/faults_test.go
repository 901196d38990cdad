package hub

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/hubtest"
)

// cut sends the first bytes of an answer and ends the connection.
func cut(w http.ResponseWriter, r *http.Request, data []byte, n int) {
	hubtest.Serve(&cutting{w, n}, r, data)
}

type cutting struct {
	http.ResponseWriter
	left int
}

func (c *cutting) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	_, _ = c.ResponseWriter.Write(p[:n]) // the client may be gone
	c.ResponseWriter.(http.Flusher).Flush()
	if c.left -= n; c.left == 0 {
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

// TestFaults is what hubs and networks do, and what comes of it. No name ever stands for wrong bytes.
func TestFaults(t *testing.T) {
	weights := hubtest.Safetensors(1, 400_000)
	other := hubtest.Safetensors(2, 400_000)
	onCDN := func(f hubtest.Fault) hubtest.Fault {
		return func(n int, w http.ResponseWriter, r *http.Request) bool { return len(r.URL.Path) == 65 && f(n, w, r) }
	}
	onAPI := func(f hubtest.Fault) hubtest.Fault {
		return func(n int, w http.ResponseWriter, r *http.Request) bool {
			return strings.HasPrefix(r.URL.Path, "/api/models/") && f(n, w, r)
		}
	}
	status := func(code, times int) hubtest.Fault {
		return func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n <= times {
				http.Error(w, "no", code)
			}
			return n <= times
		}
	}
	for _, c := range []struct {
		name  string
		fault hubtest.Fault
		is    error  // nil: the model is there
		says  string // of the error, or of the notes
	}{
		{"no fault", nil, nil, "fetching base.safetensors"},
		{"API busy twice", onAPI(status(503, 2)), nil, "trying again"},
		{"API broken", onAPI(status(500, 1000)), ErrDownload, `the server answers "500 Internal Server Error"`},
		{"API 404", onAPI(status(404, 1000)), ErrUnavailable, "is the name right, and the revision?"},
		{"API 401", onAPI(status(401, 1000)), ErrAccess, "there is no such repository, or it is private or gated"},
		{"API 403", onAPI(status(403, 1000)), ErrAccess, "agree to the terms"},
		{"API no JSON", onAPI(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte("<html>"))
			return true
		}),
			ErrDownload, "the answer is no JSON of a hub"},
		{"API without a commit", onAPI(func(_ int, w http.ResponseWriter, _ *http.Request) bool { _, _ = w.Write([]byte("{}")); return true }),
			ErrDownload, "tells no commit"},
		{"rate limit", onCDN(status(429, 2)), nil, "429 Too Many Requests"},
		{"CDN broken for ever", onCDN(status(502, 1000)), ErrDownload, "502 Bad Gateway"},
		{"a signature that has expired", onCDN(status(403, 2)), nil, "403 Forbidden"},
		{"cut once", onCDN(func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				cut(w, r, weights, 30_000)
			}
			return false
		}), nil, "trying again"},
		{"cut for ever", onCDN(func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				cut(w, r, weights, 30_000)
			}
			panic(http.ErrAbortHandler)
		}), ErrDownload, "the next call goes on from there"},
		{"other bytes", onCDN(func(_ int, w http.ResponseWriter, r *http.Request) bool { hubtest.Serve(w, r, other); return true }),
			ErrUnverified, "where " + hubtest.SHA256(weights) + " is expected; nothing was kept"},
		{"other bytes at first", onCDN(func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n < 3 {
				hubtest.Serve(w, r, other)
			}
			return n < 3
		}), nil, "changed"},
		{"one wrong bit, and the ETag of the right file", onCDN(func(_ int, w http.ResponseWriter, r *http.Request) bool {
			bad := append([]byte(nil), weights...)
			bad[200_000] ^= 1
			hubtest.Serve(w, r, bad)
			return true
		}), ErrUnverified, "nothing was kept"},
		{"one wrong bit in pieces, and right as a whole", onCDN(func(_ int, w http.ResponseWriter, r *http.Request) bool {
			bad := append([]byte(nil), weights...)
			bad[200_000] ^= 1
			if r.Header.Get("Range") != "" {
				hubtest.Serve(w, r, bad)
				return true
			}
			return false
		}), nil, "the pieces do not belong together"},
		{"shorter", onCDN(func(_ int, w http.ResponseWriter, r *http.Request) bool {
			hubtest.Serve(w, r, weights[:300_000])
			return true
		}),
			ErrDownload, "the server's file has 300,000 bytes, and 400,000 are expected"},
		{"longer", onCDN(func(_ int, w http.ResponseWriter, r *http.Request) bool {
			hubtest.Serve(w, r, append(append([]byte(nil), weights...), 1))
			return true
		}), ErrDownload, "the server's file has 400,001 bytes"},
		{"a login page", onCDN(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte("<!DOCTYPE html><html>log in"))
			return true
		}), ErrDownload, "cannot be fetched"},
		{"a listing that leads elsewhere", onAPI(func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/tree/") {
				w.Header().Set("Link", `<http://elsewhere.example/next>; rel="next"`)
			}
			return false
		}), ErrDownload, "goes on at another server"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t)
			commit := m.Commit(repo, "main", map[string][]byte{"base.safetensors": weights})
			m.SetFault(c.fault)
			if c.is != nil {
				assert.Contains(t, m.fails(repo, c.is, nil), c.says)
				for _, file := range m.left() {
					assert.Contains(t, file, partSuffix, "nothing but a part may stay")
				}
				_, err := m.roots.Resolve(nameOf(t, repo))
				require.ErrorIs(t, err, ErrNotPulled)
				m.SetFault(nil) // and it is mended by the next pull
			}
			model := m.pull(repo, nil)
			assert.Equal(t, commit, model.Revision)
			holds(t, model.Path, weights)
			if c.is == nil {
				assert.Contains(t, m.said(), c.says)
			}
		})
	}
}

// TestNextPullGoesOn: what came before is not asked for again.
func TestNextPullGoesOn(t *testing.T) {
	m := newMachine(t)
	weights := hubtest.Safetensors(1, 4_000_000)
	m.Commit(repo, "main", map[string][]byte{"base.safetensors": weights})
	m.SetFault(func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if len(r.URL.Path) == 65 {
			cut(w, r, weights, 1_000_000)
		}
		return false
	})
	m.fails(repo, ErrDownload, func(o *Options) { o.Connections, o.patience.Most = 1, 1 })
	m.SetFault(nil)
	m.Requests()
	holds(t, m.pull(repo, nil).Path, weights)
	for _, r := range m.Requests() {
		var from int64
		if _, err := fmt.Sscanf(r.Range, "bytes=%d-", &from); r.CDN {
			require.NoError(t, err)
			assert.GreaterOrEqual(t, from, int64(1_000_000), "a million bytes were there")
		}
	}
}

// TestTwoPulls: two pulls at once make one copy.
func TestTwoPulls(t *testing.T) {
	m := newMachine(t)
	weights := hubtest.Safetensors(1, 400_000)
	m.Commit(repo, "main", map[string][]byte{"base.safetensors": weights})
	var wait sync.WaitGroup
	var paths [4]string
	for i := range paths {
		o := m.options()
		wait.Go(func() {
			model, err := Pull(t.Context(), repo, o)
			assert.NoError(t, err)
			paths[i] = model.Path
		})
	}
	wait.Wait()
	for _, path := range paths {
		assert.Equal(t, paths[0], path)
	}
	holds(t, paths[0], weights)
	asked := map[string]int{}
	for _, r := range m.Requests() {
		if r.CDN {
			asked[r.Range]++
		}
	}
	for part, n := range asked {
		assert.Equal(t, 1, n, "%s was fetched more than once", part)
	}
	assert.Len(t, m.left(), 4)
}

// TestFullDiskIsToldBefore looks at the free room before anything is fetched.
func TestFullDiskIsToldBefore(t *testing.T) {
	m := newMachine(t)
	m.Commit(repo, "main", map[string][]byte{"base.safetensors": hubtest.Safetensors(1, 400_000)})
	text := m.fails(repo, ErrSpace, func(o *Options) { o.free = func(string) (int64, error) { return 64<<20 + 399_999, nil } })
	assert.Contains(t, text, "free some or name another disk")
	for _, r := range m.Requests() {
		assert.False(t, r.CDN)
	}
	m.pull(repo, func(o *Options) { o.free = func(string) (int64, error) { return 64<<20 + 400_000, nil } })
}
