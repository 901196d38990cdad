package openai

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/studio"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func start(t *testing.T, hook func(ctx context.Context, call fake.Call) error) *servetest.Server {
	return servetest.Start(t, servetest.Options{Hook: hook, Faces: []face.Face{Face()}})
}

// post posts JSON, and returns the answer.
func post(t *testing.T, s *servetest.Server, path, body string) (int, map[string]any, http.Header) {
	t.Helper()
	resp, err := http.Post(s.URL+path, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	return answer(t, resp)
}

func answer(t *testing.T, resp *http.Response) (int, map[string]any, http.Header) {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, json.Unmarshal(data, &out), string(data))
	return resp.StatusCode, out, resp.Header
}

// runOf is the run that an answer is about, as the server made it.
func runOf(t *testing.T, s *servetest.Server, id any) request.Request {
	t.Helper()
	run, err := s.Studio.Get(context.Background(), servetest.Local, id.(string))
	require.NoError(t, err)
	read, err := request.DecodeJSON(run.Request)
	require.NoError(t, err)
	require.Len(t, read.Jobs, 1)
	return read.Jobs[0]
}

func pictureIn(t *testing.T, item any) (image.Image, string) {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(item.(map[string]any)["b64_json"].(string))
	require.NoError(t, err)
	img, format, err := image.Decode(bytes.NewReader(data))
	require.NoError(t, err)
	return img, format
}

// TestGenerate looks at what each field becomes in the run, and at the answer.
func TestGenerate(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct {
		body     string
		check    func(t *testing.T, r request.Request)
		format   string
		warnings []string
	}{
		{`{"prompt":"a cat","size":"64x32","n":2,"seed":7}`, func(t *testing.T, r request.Request) {
			assert.Equal(t, "a cat", r.Prompt)
			assert.Equal(t, []int{64, 32, 2}, []int{r.Width, r.Height, r.NumImages})
			assert.EqualValues(t, 7, r.Seed)
		}, "png", nil},
		{`{"prompt":"a cat <sd_cpp_extra_args>{\"seed\":9,\"steps\":3,\"cfg_scale\":2.5,\"negative_prompt\":\"dogs\"}</sd_cpp_extra_args>",
			"size":"64x64"}`,
			func(t *testing.T, r request.Request) {
				assert.Equal(t, []any{"a cat", "dogs", int64(9), 3, 2.5},
					[]any{r.Prompt, r.NegativePrompt, r.Seed, r.NumInferenceSteps, r.GuidanceScale})
			}, "png", nil},
		{`{"prompt":"a <sd_cpp_extra_args>{\"sample_params\":{\"sample_steps\":4,\"sample_method\":\"heun\",\"scheduler\":\"karras\",` +
			`\"guidance\":{\"txt_cfg\":3}}}</sd_cpp_extra_args> b","size":"64x64"}`,
			func(t *testing.T, r request.Request) {
				assert.Equal(t, []any{"a b", 4, "heun", "karras", 3.0}, []any{r.Prompt, r.NumInferenceSteps, r.Scheduler, r.Sigmas, r.GuidanceScale})
			}, "png", nil},
		{`{"prompt":"a cat|dogs, mice","step":2,"size":"64x64"}`, func(t *testing.T, r request.Request) {
			assert.Equal(t, []any{"a cat", "dogs, mice", 2}, []any{r.Prompt, r.NegativePrompt, r.NumInferenceSteps})
		}, "png", []string{"divided at |"}},
		{`{"prompt":"a [cat|dog]","size":"64x64"}`, func(t *testing.T, r request.Request) {
			assert.Equal(t, "a [cat|dog]", r.Prompt)
		}, "png", nil},
		{`{"prompt":"a|b","negative_prompt":"c","size":"64x64"}`, func(t *testing.T, r request.Request) {
			assert.Equal(t, []string{"a|b", "c"}, []string{r.Prompt, r.NegativePrompt})
		}, "png", nil},
		{`{"prompt":"x","quality":"low","size":"64x64","background":"auto","user":"me","response_format":null}`,
			func(t *testing.T, r request.Request) { assert.Equal(t, 15, r.NumInferenceSteps) }, "png", nil},
		{`{"prompt":"x","quality":"high","steps":5,"size":"64x64"}`,
			func(t *testing.T, r request.Request) { assert.Equal(t, 5, r.NumInferenceSteps) }, "png", nil},
		{`{"prompt":"x","output_format":"jpeg","output_compression":40,"size":"64x64"}`,
			func(t *testing.T, r request.Request) { assert.Equal(t, 40, r.Quality) }, "jpeg", nil},
		{`{"prompt":"x","output_format":"webp","output_compression":40,"size":"64x64","style":"vivid","moderation":"low","sed":3}`,
			func(*testing.T, request.Request) {}, "webp",
			[]string{"low was left out: nothing is moderated", "did you mean \"seed\"", "vivid was left out", "lossless"}},
	} {
		t.Run(c.body, func(t *testing.T) {
			status, out, header := post(t, s, pathGenerate, c.body)
			require.Equal(t, http.StatusOK, status, out)
			r := runOf(t, s, out["run"])
			c.check(t, r)
			data := out["data"].([]any)
			require.Len(t, data, max(r.NumImages, 1))
			for i, item := range data {
				if c.format != "webp" { // which this test has no reader for
					img, format := pictureIn(t, item)
					assert.Equal(t, c.format, format)
					assert.Equal(t, image.Pt(max(r.Width, 64), r.Height), img.Bounds().Size())
				}
				assert.EqualValues(t, r.Seed+int64(i), item.(map[string]any)["seed"])
			}
			assert.Equal(t, c.format, out["output_format"])
			told := fmt.Sprint(out["warnings"]) + strings.Join(header.Values(face.HeaderWarning), "\n")
			for _, w := range c.warnings {
				assert.Equal(t, 2, strings.Count(told, w), "%q in the answer and the header: %s", w, told)
			}
			if c.warnings == nil {
				assert.Nil(t, out["warnings"])
			}
		})
	}
}

// TestRefusals looks at the form of errors.
func TestRefusals(t *testing.T) {
	s := start(t, nil)
	for _, c := range []struct {
		body   string
		status int
		param  any
		code   string
		says   string
	}{
		{`{`, 400, nil, "invalid_request", "cannot be read"},
		{`[]`, 400, nil, "invalid_request", "cannot be read"},
		{`{}`, 400, "prompt", "invalid_request", "is missing"},
		{`{"prompt":"x","model":"dall-e-3"}`, 404, "model", "model_not_found", "GET /v1/models"},
		{`{"prompt":"x","size":"big"}`, 400, "size", "invalid_request", "such as 1024x1024"},
		{`{"prompt":"x","size":"1001x1000"}`, 400, "size", "invalid_request", "multiples of 8"},
		{`{"prompt":"x","n":0}`, 400, "n", "invalid_request", "it must be 1 to"},
		{`{"prompt":"x","n":1.5}`, 400, "n", "invalid_request", "integer"},
		{`{"prompt":"x","quality":"best"}`, 400, "quality", "invalid_request", "must be auto"},
		{`{"prompt":"x","background":"transparent"}`, 400, "background", "invalid_request", "opaque"},
		{`{"prompt":"x","output_format":"svg"}`, 400, "output_format", "invalid_request", "png"},
		{`{"prompt":"x","svg":{}}`, 400, "svg", "invalid_request", "vector"},
		{`{"prompt":"x","response_format":"file"}`, 400, "response_format", "invalid_request", "b64_json"},
		{`{"prompt":"x","stream":true,"response_format":"url"}`, 400, "response_format", "invalid_request", "b64_json"},
		{`{"prompt":"x","partial_images":4}`, 400, "partial_images", "invalid_request", "0 to 3"},
		{`{"prompt":"x","steps":-1}`, 400, "steps", "invalid_request", ""},
		{`{"prompt":"x","n":2,"num_images":3}`, 400, "num_images", "invalid_request", "twice"},
		{`{"prompt":"x","init_image":"/etc/passwd"}`, 400, "init_image", "invalid_request", "no upload"},
		{`{"prompt":"x","init_image":"http://127.0.0.1/x.png"}`, 400, "init_image", "invalid_request", "no upload"},
		{`{"prompt":"x","file":"http://127.0.0.1/x.png"}`, 400, "file", "invalid_request", "fetches none"},
		{`{"prompt":"x <sd_cpp_extra_args>{</sd_cpp_extra_args>"}`, 400, "prompt", "invalid_request", "no JSON object"},
		{`{"prompt":"x <sd_cpp_extra_args>{}"}`, 400, "prompt", "invalid_request", "without"},
		{`{"prompt":"x","restore_faces":true}`, 400, "restore_faces", "invalid_request", "not offered"},
	} {
		t.Run(c.body, func(t *testing.T) {
			status, out, _ := post(t, s, pathGenerate, c.body)
			assert.Equal(t, c.status, status)
			e := out["error"].(map[string]any)
			assert.Equal(t, []any{c.param, c.code, "invalid_request_error"}, []any{e["param"], e["code"], e["type"]})
			assert.Contains(t, e["message"], c.says)
		})
	}
	list, _ := s.Studio.List(servetest.Local, nil, "", 10)
	assert.Empty(t, list, "a refused request is no run")
}

// TestServerErrors checks the errors that the server itself finds, in this face's form.
func TestServerErrors(t *testing.T) {
	for _, c := range []struct {
		p      studio.Problem
		status int
		kind   string
		code   string
	}{
		{studio.Problem{Kind: studio.Unknown, Code: "unauthorized"}, 401, "invalid_request_error", "invalid_api_key"},
		{studio.Problem{Kind: studio.TooMany, Code: "queue_full"}, 429, "rate_limit_error", "rate_limit_exceeded"},
		{studio.Problem{Kind: studio.Forbidden, Code: "forbidden"}, 403, "invalid_request_error", "forbidden"},
		{studio.Problem{Kind: studio.TooLarge, Code: "too_large"}, 413, "invalid_request_error", "too_large"},
		{studio.Problem{Kind: studio.Unavailable, Code: "shutting_down"}, 503, "server_error", "shutting_down"},
		{studio.Problem{Code: "failed"}, 500, "server_error", "failed"},
	} {
		e, status := wireErrorOf(&c.p)
		assert.Equal(t, []any{c.status, c.kind, c.code}, []any{status, e.Type, *e.Code})
	}
	for path, want := range map[string]bool{"/v1/images/edits": true, "/v1/models": true, "/v1/models/a": true, "/v1/runs": false,
		"/": false} {
		assert.Equal(t, want, owns(path), path)
	}
}

func TestModels(t *testing.T) {
	s := servetest.Start(t, servetest.Options{Faces: []face.Face{Face()},
		Catalog: catalog.Options{Models: []string{"nano", "small/one=nano"}}})
	resp, err := http.Get(s.URL + pathModels)
	require.NoError(t, err)
	_, out, _ := answer(t, resp)
	assert.Equal(t, "list", out["object"])
	require.Len(t, out["data"], 2)
	assert.Equal(t, "nano", out["data"].([]any)[0].(map[string]any)["id"])
	for name, status := range map[string]int{"nano": 200, "small/one": 200, "other": 404} {
		resp, err := http.Get(s.URL + pathModels + "/" + name)
		require.NoError(t, err)
		got, _, _ := answer(t, resp)
		assert.Equal(t, status, got, name)
	}
}

func TestURLs(t *testing.T) {
	s := start(t, nil)
	status, out, _ := post(t, s, pathGenerate, `{"prompt":"x","size":"64x64","response_format":"url"}`)
	require.Equal(t, http.StatusOK, status, out)
	url := out["data"].([]any)[0].(map[string]any)["url"].(string)
	assert.Equal(t, fmt.Sprintf("%s/v1/runs/%s/pictures/0/0", s.URL, out["run"]), url)
}

// fileOf is a PNG file, whose left half is transparent where hole is set.
func fileOf(t *testing.T, hole bool) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for y := range 64 {
		for x := range 64 {
			c := color.NRGBA{uint8(x * 4), uint8(y * 4), 90, 255}
			if hole && x < 32 {
				c.A = 0
			}
			img.SetNRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

// TestEdit edits pictures that come in a form and in JSON.
func TestEdit(t *testing.T) {
	s := start(t, nil)
	whole, holed := fileOf(t, false), fileOf(t, true)
	url := func(data []byte) string { return "data:image/png;base64," + base64.StdEncoding.EncodeToString(data) }
	form := func(files map[string][]byte, fields map[string]string) (string, []byte) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for name, data := range files {
			part, err := w.CreateFormFile(name, "../../x.png")
			require.NoError(t, err)
			_, err = part.Write(data)
			require.NoError(t, err)
		}
		for name, text := range fields {
			require.NoError(t, w.WriteField(name, text))
		}
		require.NoError(t, w.Close())
		return w.FormDataContentType(), b.Bytes()
	}
	said := map[string]string{"prompt": "a hat", "n": "2", "seed": "5", "steps": "4"}
	inJSON := func(body string) (string, []byte) { return "application/json", []byte(body) }
	for name, c := range map[string]struct {
		kind     string
		body     []byte
		masked   bool
		channel  string
		strength float64
		refused  string
	}{
		"a mask with holes":    with(form(map[string][]byte{"image": whole, "mask": holed}, said)).masked("alpha"),
		"a mask without holes": with(form(map[string][]byte{"image": whole, "mask": whole}, said)).masked("luma"),
		"holes in the picture": with(form(map[string][]byte{"image": holed}, said)).masked("alpha"),
		"a list of one":        with(form(map[string][]byte{"image[]": whole}, said)).whole(0.75),
		"a strength": with(form(map[string][]byte{"image": whole},
			map[string]string{"prompt": "a hat", "n": "2", "seed": "5", "steps": "4", "strength": "0.5"})).whole(0.5),
		"JSON": with(inJSON(`{"prompt":"a hat","n":2,"seed":5,"steps":4,"images":[{"image_url":"` + url(whole) + `"}],"mask":{"image_url":"` +
			url(holed) + `"}}`)).masked("alpha"),
		"no picture":   with(form(nil, said)).refused("image: is missing"),
		"two pictures": with(form(map[string][]byte{"image[0]": whole, "image[1]": whole}, said)).refused("SDXL edits one"),
		"no file":      with(form(map[string][]byte{"image": []byte("GIF89a")}, said)).refused("image: "),
		"other files":  with(form(map[string][]byte{"image": whole, "markup": whole}, said)).refused("only image and mask"),
		"a URL":        with(inJSON(`{"prompt":"x","images":[{"image_url":"https://example.com/x.png"}]}`)).refused("fetches none"),
		"a text":       with("text/plain", nil).refused("multipart/form-data"),
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := http.Post(s.URL+pathEdit, c.kind, bytes.NewReader(c.body))
			require.NoError(t, err)
			status, out, _ := answer(t, resp)
			if c.refused != "" {
				assert.Equal(t, http.StatusBadRequest, status)
				assert.Contains(t, out["error"].(map[string]any)["message"], c.refused)
				return
			}
			require.Equal(t, http.StatusOK, status, out)
			assert.Len(t, out["data"], 2)
			r := runOf(t, s, out["run"])
			assert.Equal(t, []any{"a hat", 2, int64(5), 4}, []any{r.Prompt, r.NumImages, r.Seed, r.NumInferenceSteps})
			assert.NotEmpty(t, r.InitImage.Path)
			assert.Equal(t, c.masked, r.MaskImage.Path != "")
			if c.masked {
				assert.Equal(t, c.channel, r.MaskChannel)
			}
			assert.InDelta(t, c.strength, r.Strength, 0)
		})
	}
}

type editCase = struct {
	kind     string
	body     []byte
	masked   bool
	channel  string
	strength float64
	refused  string
}

type editBody struct {
	kind string
	body []byte
}

func with(kind string, body []byte) editBody { return editBody{kind, body} }

func (b editBody) masked(channel string) editCase {
	return editCase{b.kind, b.body, true, channel, 0, ""}
}
func (b editBody) whole(s float64) editCase    { return editCase{b.kind, b.body, false, "", s, ""} }
func (b editBody) refused(why string) editCase { return editCase{b.kind, b.body, false, "", 0, why} }

// TestStream follows a stream: as many partial pictures as were asked for, then each picture.
func TestStream(t *testing.T) {
	s := start(t, nil)
	resp, err := http.Post(s.URL+pathGenerate, "application/json",
		strings.NewReader(`{"prompt":"x","size":"64x64","n":2,"seed":3,"steps":9,"stream":true,"partial_images":2,"sed":1}`))
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	assert.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	partial, done := map[any]int{}, map[any]any{}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	name := ""
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			name = text
		}
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &e))
		assert.Equal(t, name, e["type"])
		_, format := pictureIn(t, e)
		assert.Equal(t, "png", format)
		switch name {
		case "image_generation.partial_image":
			assert.EqualValues(t, partial[e["index"]], e["partial_image_index"])
			assert.Nil(t, done[e["index"]], "after the picture")
			partial[e["index"]]++
		case "image_generation.completed":
			assert.Equal(t, "64x64", e["size"])
			assert.Contains(t, fmt.Sprint(e["warnings"]), "did you mean")
			done[e["index"]] = e["seed"]
		default:
			t.Errorf("unknown event %s: %s", name, text)
		}
	}
	require.NoError(t, lines.Err())
	assert.Equal(t, map[any]any{0.0: 3.0, 1.0: 4.0}, done)
	for index, n := range partial {
		assert.LessOrEqual(t, n, 2, index)
	}
}

// TestFailures looks at runs that fail, in a stream and without one.
func TestFailures(t *testing.T) {
	s := start(t, func(_ context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			return fmt.Errorf("planted")
		}
		return nil
	})
	status, out, header := post(t, s, pathGenerate, `{"prompt":"x","size":"64x64"}`)
	assert.Equal(t, http.StatusInternalServerError, status)
	assert.Equal(t, "false", header.Get("X-Should-Retry"))
	assert.Equal(t, "server_error", out["error"].(map[string]any)["type"])
	resp, err := http.Post(s.URL+pathGenerate, "application/json", strings.NewReader(`{"prompt":"x","size":"64x64","stream":true}`))
	require.NoError(t, err)
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Contains(t, string(data), "event: error\ndata: {\"error\":{")
}

// TestGone has a client go away: its run is given up, but not one with a key, to which the client may come back.
func TestGone(t *testing.T) {
	begun, release := make(chan struct{}, 100), make(chan struct{})
	s := start(t, func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			begun <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	ask := func(ctx context.Context, key string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+pathGenerate,
			strings.NewReader(`{"prompt":"x","size":"64x64","seed":1,"steps":2}`))
		require.NoError(t, err)
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		return http.DefaultClient.Do(r)
	}
	leave := func(key string) studio.Run {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			resp, err := ask(ctx, key)
			if err == nil {
				_ = resp.Body.Close()
			}
			done <- err
		}()
		<-begun
		stop()
		require.Error(t, <-done)
		list, _ := s.Studio.List(servetest.Local, nil, "", 1)
		return list[0]
	}
	run, err := s.Studio.Wait(context.Background(), servetest.Local, leave("").ID)
	require.NoError(t, err)
	assert.EqualValues(t, "cancelled", run.State)
	kept := leave("again")
	close(release)
	resp, err := ask(context.Background(), "again")
	require.NoError(t, err)
	status, out, _ := answer(t, resp)
	assert.Equal(t, []any{http.StatusOK, kept.ID}, []any{status, out["run"]})
}
