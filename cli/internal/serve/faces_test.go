package serve_test

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/a1111"
	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/cli/internal/openai"
	"github.com/daguerre-go/daguerre/cli/internal/serve"
	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/cli/internal/webpage"
	"github.com/daguerre-go/daguerre/internal/catalog"
)

// allFaces are those of the program.
var allFaces = []face.Face{openai.Face(), a1111.Face(), webpage.Face()}

// wrong are statuses of requests that are refused.
var wrong = []int{400, 403, 404, 413, 422}

// place is a field of a face's request that may name a file: % is the name.
type place struct{ path, body string }

// places are the fields of the other faces that name files, models or pictures.
var places = []place{
	{"/v1/images/generations", `{"model": "%", "prompt": "x"}`},
	{"/v1/images/generations", `{"prompt": "<lora:%:1> x"}`},
	{"/v1/images/generations", `{"prompt": "x", "init_image": "%"}`},
	{"/v1/images/generations", `{"prompt": "x", "file": "%"}`},
	{"/v1/images/generations", `{"prompt": "x", "prompt_file": "%"}`},
	{"/v1/images/generations", `{"prompt": "x", "styles": ["%"]}`},
	{"/v1/images/generations", `{"prompt": "x", "lora": [{"name": "%"}]}`},
	{"/v1/images/generations", `{"prompt": "x", "lora": [{"path": "%"}]}`},
	{"/v1/images/generations", `{"prompt": "x", "controlnet": [{"model": "%", "image": "data:;base64,iVBORw0KGgo="}]}`},
	{"/v1/images/edits", `{"prompt": "x", "images": [{"image_url": "%"}]}`},
	{"/v1/images/edits", `{"prompt": "x", "images": ["%"]}`},
	{"/v1/images/edits", `{"prompt": "x", "images": [{"image_url": "data:;base64,iVBORw0KGgo="}], "mask": {"image_url": "%"}}`},
	{"/sdapi/v1/txt2img", `{"prompt": "x", "override_settings": {"sd_model_checkpoint": "%"}}`},
	{"/sdapi/v1/txt2img", `{"prompt": "x", "override_settings": {"sd_vae": "%"}}`},
	{"/sdapi/v1/txt2img", `{"prompt": "<lora:%:1>"}`},
	{"/sdapi/v1/txt2img", `{"prompt": "x", "styles": ["%"]}`},
	{"/sdapi/v1/txt2img", `{"prompt": "x", "prompt_file": "%"}`},
	{"/sdapi/v1/txt2img", `{"prompt": "x", "alwayson_scripts": {"controlnet": {"args": [{"image": "%", "model": "None"}]}}}`},
	{"/sdapi/v1/txt2img", `{"prompt": "x", "alwayson_scripts": {"controlnet": {"args": [{"image": "iVBORw0KGgo=", "model": "%"}]}}}`},
	{"/sdapi/v1/img2img", `{"prompt": "x", "init_images": ["%"]}`},
	{"/sdapi/v1/img2img", `{"prompt": "x", "init_images": ["iVBORw0KGgo="], "mask": "%"}`},
	{"/sdapi/v1/extra-single-image", `{"image": "%", "upscaling_resize": 2, "upscaler_1": "Lanczos"}`},
	{"/sdapi/v1/extra-single-image", `{"image": "iVBORw0KGgo=", "upscaling_resize": 2, "upscaler_1": "%"}`},
	{"/sdapi/v1/extra-batch-images", `{"imageList": [{"data": "%", "name": "x"}], "upscaling_resize": 2, "upscaler_1": "Lanczos"}`},
	{"/sdapi/v1/png-info", `{"image": "%"}`},
	{"/controlnet/detect", `{"controlnet_module": "canny", "controlnet_input_images": ["%"]}`},
	{"/sdapi/v1/options", `{"sd_model_checkpoint": "%"}`},
}

// TestNoPathThroughOtherFaces puts paths and URLs into each field of the other faces that may name something: all are refused, and nothing
// is fetched.
func TestNoPathThroughOtherFaces(t *testing.T) {
	var hits atomic.Int64
	canary := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		_, _ = w.Write(pngFile(t))
	}))
	defer canary.Close()
	dir := t.TempDir()
	s := servetest.Start(t, servetest.Options{Idle: true, Faces: allFaces, Catalog: catalog.Options{Models: []string{"nano"},
		LoRAs: []string{dir}, Nets: []string{dir}, VAEs: []string{dir}, Upscalers: []string{dir}}})
	c := of(t, s)
	picture := base64.StdEncoding.EncodeToString(pngFile(t)) // in the place of one that is broken: the name alone is wrong
	names := append(paths(t), canary.URL+"/x.png", "gopher://127.0.0.1/x", "hf:org/model", "org/model")
	for _, p := range places {
		for _, name := range names {
			if strings.Contains(name, "\x00") || strings.Contains(name, `\`) {
				continue // no JSON; TestNoPathOfTheServer has them
			}
			a := c.do("POST", p.path, strings.ReplaceAll(strings.ReplaceAll(p.body, "%", name), "iVBORw0KGgo=", picture))
			assert.Contains(t, wrong, a.status, "%s %s with %s: %s", p.path, p.body, name, a.body)
			assert.NotContains(t, string(a.body), "root:", p.path)
		}
	}
	assert.Empty(t, c.do("GET", "/v1/runs", nil).table(t)["runs"], "no run was accepted")
	for _, k := range []string{"init_image", "mask_image", "latents", "noise"} {
		assert.Equal(t, 422, c.do("POST", "/v1/runs", run(k, canary.URL+"/x.png")).status, k)
	}
	assert.Equal(t, 422, c.do("POST", "/v1/controlmap", `{"image": "`+canary.URL+`/x.png", "preprocessor": "canny"}`).status)
	assert.Zero(t, hits.Load(), "the server fetches no URL")
}

// TestNamesOfFormFiles uploads a picture to edit under names that lead elsewhere: only its bytes count.
func TestNamesOfFormFiles(t *testing.T) {
	s := servetest.Start(t, servetest.Options{Faces: allFaces})
	c := of(t, s)
	for _, name := range []string{"../../x.png", "/etc/passwd", "..\\x.png", "x", "C:\\x.png"} {
		body := "--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nx\r\n" +
			"--b\r\nContent-Disposition: form-data; name=\"steps\"\r\n\r\n2\r\n" +
			"--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"" + name + "\"\r\nContent-Type: image/png\r\n\r\n" +
			string(pngFile(t)) + "\r\n--b--\r\n"
		a := c.do("POST", "/v1/images/edits", body, "Content-Type", "multipart/form-data; boundary=b")
		assert.Equal(t, 200, a.status, "%s: %s", name, a.body)
	}
}

// TestOthersAreInvisibleThroughFaces makes pictures with one token, and looks for them with another through each face.
func TestOthersAreInvisibleThroughFaces(t *testing.T) {
	g := make(gate)
	s := servetest.Start(t, servetest.Options{Faces: allFaces, Hook: g.hook, Serve: serve.Options{Tokens: tokens(t, "")}})
	a, b := of(t, s).as(alice), of(t, s).as(bob)
	answered := make(chan answer, 1)
	go func() { answered <- a.do("POST", "/sdapi/v1/txt2img", run()) }()
	select {
	case g <- struct{}{}: // it is in work
	case early := <-answered:
		t.Fatalf("%d %s", early.status, early.body)
	}
	for _, path := range []string{"/sdapi/v1/progress", "/sdapi/v1/progress?skip_current_image=true"} {
		assert.EqualValues(t, 0, b.do("GET", path, nil).table(t)["progress"], path)
	}
	for _, path := range []string{"/sdapi/v1/interrupt", "/sdapi/v1/skip"} {
		b.do("POST", path, nil)
	}
	go func() {
		for {
			select {
			case g <- struct{}{}:
			case <-t.Context().Done():
				return
			}
		}
	}()
	made := <-answered
	require.Equal(t, 200, made.status, "another's interrupt gives nothing up: %s", made.body)
	assert.Len(t, made.table(t)["images"], 1)
	urls := a.do("POST", "/v1/images/generations", run("response_format", "url"))
	require.Equal(t, 200, urls.status, string(urls.body))
	url := urls.table(t)["data"].([]any)[0].(map[string]any)["url"].(string)
	url = url[strings.Index(url, "/v1/"):]
	assert.Equal(t, 200, a.do("GET", url, nil).status)
	assert.Equal(t, 404, b.do("GET", url, nil).status)
	assert.Equal(t, 401, of(t, s).do("GET", url, nil).status)
	assert.Empty(t, b.do("GET", "/v1/runs", nil).table(t)["runs"])
	assert.Equal(t, 200, of(t, s).do("GET", "/", nil).status, "the page itself tells nothing")
	for _, p := range places {
		for _, token := range []string{"", "wrong-token-0123456789", bob + "x"} {
			status := of(t, s).as(token).do("POST", p.path, p.body).status
			assert.Contains(t, []int{401, 429}, status, p.path)
		}
	}
}

// TestBodiesOfAllFaces sends bodies that are too large, with and without a length, to everything that takes one.
func TestBodiesOfAllFaces(t *testing.T) {
	s := servetest.Start(t, servetest.Options{Idle: true, Faces: allFaces, Serve: serve.Options{MaxBody: 1 << 20}})
	big := `{"prompt": "` + base64.StdEncoding.EncodeToString(make([]byte, 1<<20)) + `"}`
	tried := map[string]bool{"/v1/runs": true, "/v1/plan": true, "/v1/uploads": true, "/v1/controlmap": true}
	for _, p := range places {
		tried[p.path] = true
	}
	for path := range tried {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = strings.NewReader(big)
			if chunked {
				body = io.MultiReader(body) // of a length that the client does not know
			}
			req, err := http.NewRequest("POST", s.URL+path, body)
			require.NoError(t, err)
			req.Header.Set("Content-Type", map[bool]string{true: "application/octet-stream", false: "application/json"}[path == "/v1/uploads"])
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				continue // the server has closed the connection while the client was still sending
			}
			data, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			assert.Equal(t, 413, res.StatusCode, "%s: %s", path, data)
		}
	}
}

// TestSlowlorisOnAllListeners opens far more connections than the server has room for, in each state that a client can leave one in: it
// goes on answering others.
func TestSlowlorisOnAllListeners(t *testing.T) {
	s := servetest.Start(t, servetest.Options{Faces: allFaces, Serve: serve.Options{Connections: 8, BodyTime: time.Hour}})
	addr := strings.TrimPrefix(s.URL, "http://")
	c := of(t, s)
	for name, sent := range map[string]string{
		"nothing": "", "a part of a line": "GET /v1/ru", "headers without an end": "GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
		"a body without an end": "POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
		"chunks without an end": "POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n",
		"a form without an end": "POST /v1/images/edits HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n" +
			"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n",
		"an idle connection": "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
	} {
		for range 24 {
			conn, err := net.Dial("tcp", addr)
			require.NoError(t, err, name)
			t.Cleanup(func() { _ = conn.Close() })
			_, _ = conn.Write([]byte(sent)) // the server may have closed it already
		}
		http.DefaultClient.CloseIdleConnections()
		require.Eventually(t, func() bool {
			res, err := http.Get(s.URL + "/livez")
			return err == nil && res.Body.Close() == nil && res.StatusCode == 200
		}, long, 10*time.Millisecond, name)
	}
	assert.Equal(t, 200, c.do("GET", "/v1/runs", nil).status)
}
