package install

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type fault = func(n int, name string, w http.ResponseWriter, r *http.Request) bool

// archiveFault is a fault of archives only.
func archiveFault(f func(n int, w http.ResponseWriter, r *http.Request) bool) fault {
	return func(n int, name string, w http.ResponseWriter, r *http.Request) bool {
		return isArchiveName(name) && f(n, w, r)
	}
}

// TestServers is what servers and networks do, and what comes of it.
func TestServers(t *testing.T) {
	rel := newRelease(t, "cpu")
	archive := rel.files[archiveName("cpu")]
	size := len(archive)
	half := size / 2
	for _, c := range []struct {
		name  string
		fault fault
		is    error    // nil: the library is installed
		says  string   // of the error, or of a note
		asked []string // ranges that were asked for; nil: not looked at
	}{
		{"no fault", nil, nil, "taking the variant cpu: no driver of a GPU is here", []string{""}},
		{"cut once", archiveFault(func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				cut(w, archive, half)
			}
			return false
		}), nil, "the connection was cut; trying again", []string{"", fmt.Sprintf("bytes=%d-", half)}},
		{"cut ten times", archiveFault(func(n int, w http.ResponseWriter, r *http.Request) bool {
			var from int
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from) // 0 without one
			if n > 10 {
				return false
			}
			w.Header().Set("ETag", `"`+sum(archive)[:16]+`"`)
			w.Header().Set("Content-Length", fmt.Sprint(size-from))
			if from > 0 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, size-1, size))
				w.WriteHeader(http.StatusPartialContent)
			}
			_, _ = w.Write(archive[from : from+100])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}), nil, "", nil},
		{"cut for ever at one place", archiveFault(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			cut(w, archive, half)
			return true
		}), ErrDownload, "came and stay, and the next call goes on from there", nil},
		{"says a greater length", archiveFault(func(n int, w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Range") != "" {
				return false // 416, with the true size
			}
			w.Header().Set("ETag", `"`+sum(archive)[:16]+`"`)
			w.Header().Set("Content-Length", fmt.Sprint(size+1000))
			_, _ = w.Write(archive)
			return true
		}), nil, "the connection was cut", []string{"", fmt.Sprintf("bytes=%d-", size)}},
		{"says a smaller length", archiveFault(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", fmt.Sprint(size-1000))
			_, _ = w.Write(archive[:size-1000])
			return true
		}), ErrUnverified, "is not the file that it should be", []string{""}},
		{"says no length", archiveFault(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write(archive[:half])
			w.(http.Flusher).Flush()
			_, _ = w.Write(archive[half:])
			return true
		}), nil, "", []string{""}},
		{"ignores Range", archiveFault(func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				cut(w, archive, half)
			}
			_, _ = w.Write(archive)
			return true
		}), nil, "", []string{"", fmt.Sprintf("bytes=%d-", half)}},
		{"has no ETag, so that a part may belong to anything", archiveFault(func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n > 1 {
				return false
			}
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_, _ = w.Write(archive[:half])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}), nil, "", []string{"", ""}},
		{"answers another range", archiveFault(func(n int, w http.ResponseWriter, r *http.Request) bool {
			switch {
			case n == 1:
				cut(w, archive, half)
			case n == 2:
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", half-10, size-1, size))
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(archive[half-10:])
				return true
			}
			return false
		}), nil, "another part than was asked for", []string{"", fmt.Sprintf("bytes=%d-", half), ""}},
		{"pieces of two files", archiveFault(func(n int, w http.ResponseWriter, _ *http.Request) bool {
			switch {
			case n == 1:
				other := append([]byte("XXXX"), archive[4:]...)
				w.Header().Set("ETag", `"same"`)
				w.Header().Set("Content-Length", fmt.Sprint(size))
				_, _ = w.Write(other[:half])
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			case n == 2: // it does not look at If-Range
				w.Header().Set("ETag", `"same"`)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", half, size-1, size))
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(archive[half:])
				return true
			}
			return false
		}), nil, "pieces that do not belong together", []string{"", fmt.Sprintf("bytes=%d-", half), ""}},
		{"another file", archiveFault(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte("another file"))
			return true
		}), ErrUnverified, "where " + sum(archive) + " is expected", []string{""}},
		{"busy twice", archiveFault(func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n < 3 {
				http.Error(w, "busy", http.StatusServiceUnavailable)
			}
			return n < 3
		}), nil, `the server answers "503 Service Unavailable"`, []string{"", "", ""}},
		{"broken", func(_ int, _ string, w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "broken", http.StatusInternalServerError)
			return true
		}, ErrDownload, `SHA256SUMS cannot be fetched: the server answers "500 Internal Server Error"`, nil},
		{"forbidden", func(_ int, _ string, w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "no", http.StatusForbidden)
			return true
		}, ErrDownload, `the server answers "403 Forbidden"`, nil},
		{"nothing there", func(_ int, _ string, w http.ResponseWriter, r *http.Request) bool {
			http.NotFound(w, r)
			return true
		}, ErrUnavailable, "without SHA256SUMS no archive of version " + Version + " can be verified", nil},
		{"silent", archiveFault(func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				_, _ = w.Write(archive[:half])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}
			return false
		}), nil, "nothing came for 500ms; trying again", nil},
		{"never answers", archiveFault(func(n int, _ http.ResponseWriter, r *http.Request) bool {
			if n == 1 {
				<-r.Context().Done()
			}
			return false
		}), nil, "nothing came for 500ms; trying again", nil},
		{"sends for ever", func(_ int, name string, w http.ResponseWriter, r *http.Request) bool {
			for r.Context().Err() == nil && name == sumsName {
				_, _ = w.Write(make([]byte, 1<<16))
			}
			return name == sumsName
		}, ErrDownload, "it has more than 1.0 MiB, and no file of a release has", nil},
		{"sends on", archiveFault(func(_ int, w http.ResponseWriter, r *http.Request) bool {
			if r.URL.RawQuery == "" {
				http.Redirect(w, r, r.URL.Path+"?token=secret", http.StatusFound)
			}
			return r.URL.RawQuery == ""
		}), nil, "", nil},
		{"sends round in circles", archiveFault(func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		}), ErrDownload, "the server sends on to another address, ten times in a row", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, m := serve(t, rel), newMachine(t)
			s.fault = c.fault
			if strings.Contains(c.says, "nothing came for") { // elsewhere a busy machine may take its time
				usual := patient.Stall
				patient.Stall = 500 * time.Millisecond
				defer func() { patient.Stall = usual }()
			}
			var last Progress
			o := s.options()
			o.Progress = func(p Progress) {
				if p.Stage == StageDownload {
					last = p
				}
			}
			result, err := m.ensure(t.Context(), o)
			if c.asked != nil {
				assert.Equal(t, c.asked, s.ranges)
			}
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
				assert.ErrorContains(t, err, c.says)
				assert.NotContains(t, err.Error(), "\n", "an error is one line")
				for _, f := range m.left(t) {
					assert.True(t, strings.HasPrefix(f, partsName+"/"), "%s must not be there", f)
				}
				return
			}
			require.NoError(t, err)
			assert.Equal(t, whole, m.left(t), "nothing but the library stays")
			assert.True(t, result.Installed)
			assert.Equal(t, VerifiedSignature, result.Verified)
			assert.Equal(t, sum(archive), result.SHA256)
			assert.Equal(t, int64(size), last.Done)
			assert.Contains(t, strings.Join(result.Notes, "\n"), c.says)
		})
	}
}

// TestNextProcessGoesOn is a download that one process began, and what the next one makes of it.
func TestNextProcessGoesOn(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, s *web, m *machine)
		whole  bool // it begins anew
	}{
		{"as it was", func(*testing.T, *web, *machine) {}, false},
		{"the release was made anew", func(t *testing.T, s *web, _ *machine) {
			s.release.with(archiveName("cpu"), tarGz(t, usual("cpu")...))
		}, true},
		{"the part is of another address", func(t *testing.T, _ *web, m *machine) {
			mark := filepath.Join(m.root, partsName, archiveName("cpu")+".part.json")
			require.NoError(t, os.WriteFile(mark, []byte(`{"url": "https://example.com/x", "validator": "\"x\""}`), 0o644))
		}, true},
		{"the mark is damaged", func(t *testing.T, _ *web, m *machine) {
			mark := filepath.Join(m.root, partsName, archiveName("cpu")+".part.json")
			require.NoError(t, os.WriteFile(mark, []byte(`{"url`), 0o644))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, m := serve(t, newRelease(t, "cpu")), newMachine(t)
			archive := s.release.files[archiveName("cpu")]
			half := len(archive) / 2
			s.fault = archiveFault(func(_ int, w http.ResponseWriter, _ *http.Request) bool { cut(w, archive, half); return true })
			_, err := m.ensure(t.Context(), s.options())
			require.ErrorIs(t, err, ErrDownload)
			require.Len(t, m.left(t), 2, "the part and its mark")
			c.change(t, s, m)
			s.fault, s.ranges = nil, nil
			_, err = m.ensure(t.Context(), s.options())
			require.NoError(t, err)
			want := []string{fmt.Sprintf("bytes=%d-", half)}
			if c.whole && strings.HasPrefix(c.name, "the part") || c.whole && strings.HasPrefix(c.name, "the mark") {
				want = []string{""}
			}
			assert.Equal(t, want, s.ranges)
			assert.Equal(t, whole, m.left(t))
		})
	}
}

// TestCancel stops in the middle of a download. What came stays for the next call.
func TestCancel(t *testing.T) {
	s, m := serve(t, newRelease(t, "cpu")), newMachine(t)
	archive := s.release.files[archiveName("cpu")]
	ctx, cancel := context.WithCancel(t.Context())
	s.fault = archiveFault(func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 1 {
			return false
		}
		w.Header().Set("ETag", `"`+sum(archive)[:16]+`"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(archive)))
		_, _ = w.Write(archive[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	})
	o := s.options()
	o.Progress = func(Progress) { cancel() }
	began := time.Now()
	_, err := m.ensure(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, time.Since(began), patient.Stall)
	o.Progress = nil
	_, err = m.ensure(t.Context(), o)
	require.NoError(t, err)
	assert.Equal(t, []string{"", "bytes=1000-"}, s.ranges)

	ended, end := context.WithCancel(t.Context())
	end()
	_, err = newMachine(t).ensure(ended, o)
	require.ErrorIs(t, err, context.Canceled)
}

// TestUnreachable is about addresses that nobody answers at. They are named, without passwords.
func TestUnreachable(t *testing.T) {
	const gone = "http://127.0.0.1:1" // a port of a server that was closed may belong to another by now
	for address, says := range map[string]string{
		gone:                                     "connection refused",
		strings.Replace(gone, "//", "//u:p@", 1): "u:xxxxx@",
		gone + "/?token=secret":                  "?...",
	} {
		_, err := newMachine(t).ensure(t.Context(), Options{URL: address})
		require.ErrorIs(t, err, ErrDownload)
		assert.Contains(t, strings.ToLower(err.Error()), says)
		assert.NotContains(t, err.Error(), "secret")
	}
}

// TestRedirectsKeepEncryption refuses to be sent from https to http.
func TestRedirectsKeepEncryption(t *testing.T) {
	check := Options{}.client().CheckRedirect
	request := func(address string) *http.Request {
		u, err := url.Parse(address)
		require.NoError(t, err)
		return &http.Request{URL: u}
	}
	secure, plain := request("https://example.com/a"), request("http://example.com/b")
	require.ErrorContains(t, check(plain, []*http.Request{secure}), "the server sends on to another address without encryption")
	require.NoError(t, check(secure, []*http.Request{secure}))
	require.NoError(t, check(plain, []*http.Request{plain}))
}
