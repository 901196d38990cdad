package webpage

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// each calls f for every file of the page.
func each(t *testing.T, f func(name, text string)) {
	t.Helper()
	n := 0
	require.NoError(t, fs.WalkDir(files, "files", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		n++
		f(strings.TrimPrefix(name, "files/"), string(data))
		return err
	}))
	require.Greater(t, n, 20)
}

func get(t *testing.T, mux http.Handler, at, tag string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, at, nil)
	r.Header.Set("If-None-Match", tag)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w
}

func TestEveryFileIsServedAndOpen(t *testing.T) {
	mux := http.NewServeMux()
	register(mux, nil)
	each(t, func(name, text string) {
		at := prefix + name
		if name == "index.html" {
			at = "/"
		}
		w := get(t, mux, at, "")
		assert.Equal(t, http.StatusOK, w.Code, at)
		assert.Equal(t, text, w.Body.String(), at)
		assert.Equal(t, types[path.Ext(name)], w.Header().Get("Content-Type"), at)
		assert.NotEmpty(t, w.Header().Get("Content-Type"), at)
		assert.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'self'", at)
		assert.NotContains(t, w.Header().Get("Content-Security-Policy"), "unsafe", at)
		assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"), at)
		assert.Equal(t, http.StatusNotModified, get(t, mux, at, w.Header().Get("ETag")).Code, at)
		assert.True(t, Open(at), at)
	})
}

func TestNothingElseIsServedOrOpen(t *testing.T) {
	mux := http.NewServeMux()
	register(mux, nil)
	for _, at := range []string{"/page/", "/page/js/", "/page/index.html", "/page/nothing.js", "/page/%2e%2e/webpage.go", "/index.html"} {
		assert.NotEqual(t, http.StatusOK, get(t, mux, at, "").Code, at)
	}
	for _, at := range []string{"/v1/runs", "/pages", "/sdapi/v1/options", "/metrics", ""} {
		assert.False(t, Open(at), at)
	}
}

var (
	imported = regexp.MustCompile(`(?:from|import) '([^']+)'`)
	linked   = regexp.MustCompile(`(?:href|src)="([^"]+)"`)
	inline   = regexp.MustCompile(`<script>|<style|\sstyle=|\son[a-z]+="`) // the policy refuses these
	address  = regexp.MustCompile(`https?://[^\s'")]+`)
)

// TestFilesHoldTogether: what a file of ours names is there, and comes from this server.
func TestFilesHoldTogether(t *testing.T) {
	each(t, func(name, text string) {
		if strings.HasPrefix(name, "vendor/") {
			return
		}
		for _, m := range imported.FindAllStringSubmatch(text, -1) {
			_, err := fs.Stat(files, path.Join("files", path.Dir(name), m[1]))
			assert.NoError(t, err, "%s imports %s", name, m[1])
		}
		if name == "index.html" {
			for _, m := range linked.FindAllStringSubmatch(text, -1) {
				if rest, ok := strings.CutPrefix(m[1], prefix); ok {
					_, err := fs.Stat(files, "files/"+rest)
					assert.NoError(t, err, m[1])
				} else {
					assert.Equal(t, "#pictures", m[1])
				}
			}
		}
		for _, m := range address.FindAllString(text, -1) {
			assert.Equal(t, "http://www.w3.org/2000/svg", m, "%s names another host", name)
		}
		assert.NotRegexp(t, inline, text, name)
		for i, line := range strings.Split(text, "\n") {
			assert.LessOrEqual(t, len([]rune(line)), 140, "%s:%d", name, i+1)
		}
		assert.Less(t, strings.Count(text, "\n"), 400, name)
	})
}
