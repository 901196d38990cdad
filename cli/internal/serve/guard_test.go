package serve_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/serve"
	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/runtime/request"
)

var alice, bob, root = servetest.Token("alice"), servetest.Token("bob"), servetest.Token("root")

// tokens are those of alice, of whom more says more, bob, and an administrator.
func tokens(t *testing.T, more string) *serve.Tokens {
	return servetest.Tokens(t, map[string]string{"alice": more, "bob": "", "root": "admin = true"})
}

// TestTokens tries missing, wrong and right tokens on every operation.
func TestTokens(t *testing.T) {
	s := servetest.Start(t, servetest.Options{Serve: serve.Options{Tokens: tokens(t, "")}})
	c := of(t, s)
	for _, path := range []string{"/v1/runs", "/v1/runs/x", "/v1/catalog/models", "/v1/devices", "/metrics", "/v1/openapi.json",
		"/", "/nothing"} {
		for _, token := range []string{"", "wrong-token-0123456789", alice[:len(alice)-1], alice + "x", strings.ToUpper(alice)} {
			a := c.as(token).do("GET", path, nil)
			require.Contains(t, []int{401, 429}, a.status, "%s with %q", path, token)
			if a.status == 401 {
				assert.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"))
			}
		}
	}
	assert.Equal(t, 200, c.as(alice).do("GET", "/v1/runs", nil).status)
	assert.Equal(t, 200, c.do("GET", "/livez", nil).status)
	assert.Equal(t, 200, c.do("GET", "/readyz", nil).status)
	req, err := http.NewRequest("GET", s.URL+"/v1/runs", nil)
	require.NoError(t, err)
	req.SetBasicAuth("anybody", alice)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	assert.Equal(t, 200, res.StatusCode)
	for _, secret := range []string{alice, "wrong-token"} {
		assert.NotContains(t, s.Log.String(), secret)
	}
}

// TestOthersRunsAreInvisible looks at a run with another token: every answer is the one for a run that does not exist. An administrator
// sees it.
func TestOthersRunsAreInvisible(t *testing.T) {
	s := servetest.Start(t, servetest.Options{Serve: serve.Options{Tokens: tokens(t, "")}})
	a, b := of(t, s).as(alice), of(t, s).as(bob)
	up := a.do("POST", "/v1/uploads", pngFile(t), "Content-Type", "application/octet-stream").table(t)["ref"]
	id := a.submit(run("num_images", 1))
	require.Equal(t, "done", a.end(id).name)
	missing := "r" + strings.Repeat("0", 24)
	for _, o := range []struct{ method, path, body string }{
		{"GET", "", ""}, {"DELETE", "", ""}, {"PATCH", "", `{"priority": 1}`}, {"POST", "/cancel", ""}, {"POST", "/resubmit", ""},
		{"GET", "/events", ""}, {"GET", "/preview", ""}, {"GET", "/pictures/0/0", ""}, {"GET", "/pictures/0/0/manifest", ""},
		{"PATCH", "/adapters/x", `{"weight": 1}`},
	} {
		var body any
		if o.body != "" {
			body = o.body
		}
		got, want := b.do(o.method, "/v1/runs/"+id+o.path, body), b.do(o.method, "/v1/runs/"+missing+o.path, body)
		assert.Equal(t, 404, got.status, o.method+o.path)
		delete(got.header, "X-Request-Id")
		delete(want.header, "X-Request-Id")
		delete(got.header, "Date")
		delete(want.header, "Date")
		assert.Equal(t, want.header, got.header)
		g, w := got.table(t), want.table(t)
		delete(g, "request_id")
		delete(w, "request_id")
		assert.Equal(t, w, g)
	}
	assert.Empty(t, b.do("GET", "/v1/runs", nil).table(t)["runs"])
	assert.Equal(t, 422, b.do("POST", "/v1/runs", run("init_image", up)).status, "another's upload is as if it was not there")
	assert.NotEqual(t, id, b.do("POST", "/v1/runs", run(), "Idempotency-Key", "k").table(t)["id"])
	admin := of(t, s).as(root)
	assert.Equal(t, "alice", admin.do("GET", "/v1/runs/"+id, nil).table(t)["owner"])
	assert.Equal(t, 200, admin.do("GET", pictureURL(id, 0, 0), nil).status)
}

// TestLimits reaches each limit of a token.
func TestLimits(t *testing.T) {
	s := servetest.Start(t, servetest.Options{Idle: true, Serve: serve.Options{Tokens: tokens(t,
		"pixels = 8192\nsteps = 10\nimages = 4\npending = 2\npriority = 0\n")}})
	c := of(t, s).as(alice)
	for path, body := range map[string]map[string]any{
		"width":               run("width", 128, "height", 128),
		"num_inference_steps": run("num_inference_steps", 11),
		"num_images":          run("num_images", 5),
		"hires":               run("hires", map[string]any{"scale": 3}),
		"hires.steps":         run("hires", map[string]any{"scale": 1.2, "steps": 11}),
	} {
		a := c.do("POST", "/v1/runs", body)
		assert.Equal(t, 422, a.status, "%s: %s", path, a.body)
		assert.Contains(t, string(a.body), "you may", path)
		assert.Equal(t, 202, of(t, s).as(bob).do("POST", "/v1/runs", body).status, path)
	}
	assert.Equal(t, 422, c.do("POST", "/v1/runs?priority=1", run()).status)
	unsaid := run()
	delete(unsaid, "num_inference_steps")
	assert.Equal(t, 422, c.do("POST", "/v1/runs", unsaid).status, "the default has more steps")
	for range 2 {
		c.submit(run())
	}
	a := c.do("POST", "/v1/runs", run())
	assert.Equal(t, 429, a.status)
	assert.Equal(t, "queue_full", a.table(t)["code"])
	assert.NotEmpty(t, a.header.Get("Retry-After"))
}

// TestRequestsAMinute uses up the requests of a token; another one goes on.
func TestRequestsAMinute(t *testing.T) {
	s := servetest.Start(t, servetest.Options{Serve: serve.Options{Tokens: tokens(t, "requests = 3\n")}})
	c := of(t, s).as(alice)
	var refused answer
	for range 100 {
		if refused = c.do("GET", "/v1/runs", nil); refused.status == 429 {
			break
		}
	}
	require.Equal(t, 429, refused.status)
	assert.NotEmpty(t, refused.header.Get("Retry-After"))
	assert.Equal(t, 200, of(t, s).as(bob).do("GET", "/v1/runs", nil).status)
}

// paths are what no client may have the server read, write or fetch.
func paths(t *testing.T) []string {
	secret := filepath.Join(t.TempDir(), "secret.safetensors")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	return []string{secret, "/etc/passwd", "../../../../etc/passwd", "..\\..\\windows\\win.ini", "file:///etc/passwd", "C:\\x.png", "~/x.png",
		"http://127.0.0.1:1/x.png", "https://169.254.169.254/latest/meta-data", "upload:../../x", "upload:" + strings.Repeat("../", 21) + "x",
		"upload:", "models/../x", "\\\\host\\share\\x", "/dev/zero", "nano\x00.png"}
}

// TestNoPathOfTheServer puts paths and URLs into every key of a run that is one, as Keys lists them: no run is accepted.
func TestNoPathOfTheServer(t *testing.T) {
	dir := t.TempDir()
	s := servetest.Start(t, servetest.Options{Idle: true, Catalog: catalog.Options{Models: []string{"nano"}, LoRAs: []string{dir},
		Nets: []string{dir}, VAEs: []string{dir}, Embeddings: []string{dir}}})
	c := of(t, s)
	tried := 0
	for _, k := range request.Keys() {
		text := k.Table == "" && strings.Contains(k.Name, "prompt") && k.Name != "prompt_syntax"
		if !slices.Contains([]string{"path", "string", "list of strings"}, k.Type) || text {
			continue
		}
		if slices.Contains([]string{"output", "scheduler", "sigmas"}, k.Name) {
			continue // nothing is written under output: TestSameWhateverTheForm; the others are words that the command checks
		}
		for _, path := range paths(t) {
			var value any = path
			if strings.Contains(k.Type, "list") {
				value = []string{path}
			}
			body := run("model", map[string]any{"model": "nano"})
			nest(body, k.Table)[k.Name] = value
			a := c.do("POST", "/v1/runs", body)
			assert.Equal(t, 422, a.status, "%s.%s = %q: %s", k.Table, k.Name, path, a.body)
			assert.NotContains(t, string(a.body), "no such file", "the answer tells whether a file is there")
			tried++
		}
	}
	assert.Greater(t, tried, 40*len(paths(t)))
	assert.Empty(t, c.do("GET", "/v1/runs", nil).table(t)["runs"])
}

// nest returns the table of a run that a key is in, and makes it where it is missing.
func nest(body map[string]any, table string) map[string]any {
	for _, name := range strings.FieldsFunc(table, func(r rune) bool { return r == '.' }) {
		next, ok := body[name].(map[string]any)
		if !ok {
			next = map[string]any{}
			switch body[name] = next; name {
			case "lora":
				next["name"] = "x"
				body[name] = []any{next}
			case "controlnet":
				next["model"], next["image"] = "x", "data:;base64,iVBORw0KGgo="
				body[name] = []any{next}
			}
		}
		body = next
	}
	return body
}

// TestTraversalInURLs asks for files by every part of a path.
func TestTraversalInURLs(t *testing.T) {
	s := servetest.Start(t, servetest.Options{})
	c := of(t, s)
	id := c.submit(run())
	require.Equal(t, "done", c.end(id).name)
	for _, bad := range []string{"..", "%2e%2e", "..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "x%00", "*", ">", "%2a",
		id + "%2f..", "%ff"} {
		for _, path := range []string{"/v1/runs/" + bad, "/v1/runs/" + bad + "/events", "/v1/runs/" + bad + "/pictures/0/0",
			"/v1/runs/" + id + "/pictures/" + bad + "/0", "/v1/runs/" + id + "/pictures/0/" + bad, "/v1/runs/" + bad + "/preview",
			"/v1/runs/" + id + "/pictures/0/0/" + bad} {
			a := c.do("GET", path, nil)
			assert.Contains(t, []int{400, 404, 422, 200}, a.status, path)
			assert.NotContains(t, string(a.body), "root:")
			if a.status == 200 { // the path was cleaned to that of something that is offered
				assert.Contains(t, []string{"image/png", "application/json"}, a.header.Get("Content-Type"), path)
			}
		}
	}
}

// TestPagesOfOtherSites sends what a browser sends for a page elsewhere, and what it sends where a site's name is this machine's address.
func TestPagesOfOtherSites(t *testing.T) {
	s := servetest.Start(t, servetest.Options{Idle: true, Serve: serve.Options{Origins: []string{"https://studio.example.com"}}})
	c := of(t, s)
	for _, h := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}, {"Origin", "null"}} {
		assert.Equal(t, 403, c.do("POST", "/v1/runs", run(), h...).status, h)
	}
	assert.Equal(t, 403, c.do("GET", "/v1/runs", nil, "Host", "evil.example:7860").status)
	for _, host := range []string{"localhost:7860", "127.0.0.1", "[::1]:7860", "192.168.0.2:7860"} {
		assert.Equal(t, 200, c.do("GET", "/v1/runs", nil, "Host", host).status, host)
	}
	a := c.do("POST", "/v1/runs", run(), "Origin", "https://studio.example.com", "Sec-Fetch-Site", "cross-site")
	assert.Equal(t, 202, a.status, string(a.body))
	assert.Equal(t, "https://studio.example.com", a.header.Get("Access-Control-Allow-Origin"))
	a = c.do("OPTIONS", "/v1/runs", nil, "Origin", "https://studio.example.com", "Access-Control-Request-Method", "POST")
	assert.Equal(t, 204, a.status)
	a = c.do("GET", "/v1/runs", nil, "Origin", "https://evil.example")
	assert.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
}

// TestBodies sends bodies that are too large, of other kinds, and none.
func TestBodies(t *testing.T) {
	c := of(t, servetest.Start(t, servetest.Options{Idle: true, Serve: serve.Options{MaxBody: 1 << 20}}))
	big := strings.Repeat("x", 1<<20)
	for _, path := range []string{"/v1/runs", "/v1/uploads", "/v1/plan"} {
		a := c.do("POST", path, `{"prompt": "`+big+`"}`, "Content-Type", map[bool]string{true: "application/octet-stream",
			false: "application/json"}[path == "/v1/uploads"])
		assert.Equal(t, 413, a.status, "%s: %s", path, a.body)
	}
	for _, body := range []string{"", "{", "[]", "null", "1", `"x"`, `{"prompt": "x"} {}`, "\x00", `{"prompt": 1}`,
		strings.Repeat("[", 100000), `{"a":` + strings.Repeat(`{"a":`, 10000)} {
		a := c.do("POST", "/v1/runs", body)
		assert.Contains(t, []int{400, 422}, a.status, "%.40q: %s", body, a.body)
		assert.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	}
	for path, want := range map[string]int{"/nothing": 404, "/v1/devices": 405, "/v1": 404} {
		a := c.do("POST", path, "{}")
		assert.Equal(t, want, a.status, path)
		assert.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	}
}

// TestSlowBody sends the beginning of a body and no more, on many connections: others are answered.
func TestSlowBody(t *testing.T) {
	s := servetest.Start(t, servetest.Options{Idle: true, Serve: serve.Options{Connections: 16, BodyTime: time.Hour}})
	addr := strings.TrimPrefix(s.URL, "http://")
	for range 64 {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = conn.Write([]byte("POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		res, err := http.Get(s.URL + "/livez")
		if err != nil {
			return false
		}
		return res.Body.Close() == nil && res.StatusCode == 200
	}, long, 100*time.Millisecond)
}
