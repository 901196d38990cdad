package a1111

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/face"
	"github.com/daguerre-go/daguerre/cli/internal/serve"
	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// hook is a fake backend's.
type hook = func(ctx context.Context, call fake.Call) error

func start(t *testing.T, h hook) *servetest.Server {
	return servetest.Start(t, servetest.Options{Hook: h, Catalog: catalog.Options{Models: []string{"nano", "other=nano"}},
		Faces: []face.Face{Face()}})
}

// call sends a request, and returns the answer: an object, a list or nil.
func call(t *testing.T, s *servetest.Server, method, path, body string) (int, any, http.Header) {
	t.Helper()
	return callAs(t, s, "", method, path, body)
}

// callAs is call with a token, as A1111's clients send it.
func callAs(t *testing.T, s *servetest.Server, token, method, path, body string) (int, any, http.Header) {
	t.Helper()
	r, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	if token != "" {
		r.SetBasicAuth("any", token)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var out any
	require.NoError(t, json.Unmarshal(data, &out), string(data))
	return resp.StatusCode, out, resp.Header
}

type object = map[string]any

// made is an answer of txt2img or img2img.
type made struct {
	info   object
	images []image.Image
	job    request.Request
	model  request.Model
	params object
	told   string
}

func generate(t *testing.T, s *servetest.Server, path, body string) made {
	t.Helper()
	status, out, header := call(t, s, http.MethodPost, root+path, body)
	require.Equal(t, http.StatusOK, status, out)
	var m made
	require.NoError(t, json.Unmarshal([]byte(out.(object)["info"].(string)), &m.info))
	for _, v := range out.(object)["images"].([]any) {
		data, err := base64.StdEncoding.DecodeString(v.(string))
		require.NoError(t, err)
		img, _, err := image.Decode(bytes.NewReader(data))
		require.NoError(t, err)
		m.images = append(m.images, img)
	}
	run, err := s.Studio.Get(context.Background(), servetest.Local, m.info["run"].(string))
	require.NoError(t, err)
	read, err := request.DecodeJSON(run.Request)
	require.NoError(t, err)
	m.job, m.model, m.params = read.Jobs[0], read.Model, out.(object)["parameters"].(object)
	m.told = strings.Join(header.Values(face.HeaderWarning), "\n")
	return m
}

func pictureFile(t *testing.T) string {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 64, 32))
	for i := range 64 * 32 {
		img.SetNRGBA(i%64, i/64, color.NRGBA{uint8(i), uint8(i / 9), 40, 255})
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

const whole = `"steps":2,"cfg_scale":3,"width":64,"height":64`

// TestFields looks at what the fields of requests become, and at what is told of them.
func TestFields(t *testing.T) {
	s, picture := start(t, nil), pictureFile(t)
	for _, c := range []struct {
		path, body string
		check      func(t *testing.T, m made)
		told       []string // each in the header and in info
	}{
		{"txt2img", `{"prompt":"a cat","negative_prompt":"dogs","seed":7,"n_iter":2,"batch_size":2,` + whole + `}`, func(t *testing.T, m made) {
			assert.Equal(t, []any{"a cat", "dogs", 2, 3.0, 4}, []any{m.job.Prompt, m.job.NegativePrompt, m.job.NumInferenceSteps,
				m.job.GuidanceScale, m.job.NumImages})
			require.Len(t, m.images, 4)
			assert.Equal(t, image.Pt(64, 64), m.images[0].Bounds().Size())
			assert.Equal(t, []any{7.0, 8.0, 9.0, 10.0}, m.info["all_seeds"])
			assert.Len(t, m.info["infotexts"], 4)
			assert.Contains(t, m.info["infotexts"].([]any)[0], "Sampler: Euler")
			assert.Equal(t, []any{"a cat", 2.0, 64.0, "nano", "Euler", 1.0}, []any{m.info["prompt"], m.info["batch_size"], m.info["width"],
				m.info["sd_model_name"], m.info["sampler_name"], m.info["steps"]}, "as the picture says")
			assert.Equal(t, "a cat", m.params["prompt"])
		}, nil},
		{"txt2img", `{"prompt":"x"}`, func(t *testing.T, m made) {
			assert.Zero(t, m.job.NumInferenceSteps)
		}, []string{"steps is left out", "cfg_scale is left out", "width is left out", "height is left out"}},
		{"txt2img", `{` + whole + `,"stepz":9,"seed":1,"init_images":["x"]}`, func(t *testing.T, m made) {
			assert.Equal(t, request.NoPrompt, m.job.Prompt)
			assert.Equal(t, []any{"stepz", "init_images"}, m.info["ignored"])
		}, []string{`did you mean "steps"`, "txt2img starts from no picture"}},
		{"txt2img", `{"prompt":"x",` + whole + `,"sampler_name":"DPM++ 2M","scheduler":"Automatic","eta":1}`, func(t *testing.T, m made) {
			assert.Equal(t, []string{"DPM++ 2M", "karras"}, []string{m.job.Scheduler, m.job.Sigmas})
			assert.Empty(t, m.job.SchedulerOptions)
		}, nil},
		{"txt2img", `{"prompt":"x",` + whole + `,"sampler_index":"Euler a","scheduler":"Exponential","eta":0.5}`, func(t *testing.T, m made) {
			assert.Equal(t, []string{"Euler a", "Exponential"}, []string{m.job.Scheduler, m.job.Sigmas})
		}, []string{"eta is 0.5 and was left out"}},
		{"txt2img", `{"prompt":"x",` + whole + `,"sampler_name":"DDIM","eta":0.5}`, func(t *testing.T, m made) {
			assert.Equal(t, map[string]any{"eta": 0.5}, m.job.SchedulerOptions)
		}, nil},
		{"txt2img", `{"prompt":"x",` + whole + `,"override_settings":{"sd_model_checkpoint":"other.safetensors [0123456789]","sd_vae":"Automatic",
			"samples_format":"jpg","jpeg_quality":55,"randn_source":"NV","CLIP_stop_at_last_layers":2,"eta_noise_seed_delta":0,"font":"x"}}`,
			func(t *testing.T, m made) {
				assert.Equal(t, []any{"other", 55, "gpu"}, []any{m.model.Model, m.job.Quality, m.job.RNG})
				assert.Equal(t, []any{"override_settings.font"}, m.info["ignored"])
			}, []string{"the setting font is not known", "infotexts are empty"}},
		{"txt2img", `{"prompt":"x",` + whole + `,"send_images":false,"save_images":true,"alwayson_scripts":{"ADetailer":{"args":[false]},
			"controlnet":{"args":[]}}}`, func(t *testing.T, m made) {
			assert.Empty(t, m.images)
			assert.Len(t, m.info["all_seeds"], 1)
		}, nil},
		{"img2img", `{"prompt":"x",` + whole + `,"init_images":["` + picture + `"]}`, func(t *testing.T, m made) {
			assert.InDelta(t, 0.75, m.job.Strength, 0)
			assert.NotEmpty(t, m.job.InitImage.Path)
			assert.NotContains(t, m.params, "init_images")
		}, nil},
		{"img2img", `{"prompt":"x",` + whole + `,"init_images":["data:image/png;base64,` + picture + `"],"mask":"` + picture + `",
			"denoising_strength":0.5,"mask_blur":0,"inpainting_fill":1,"inpaint_full_res":false,"include_init_images":true}`,
			func(t *testing.T, m made) {
				assert.InDelta(t, 0.5, m.job.Strength, 0)
				assert.NotEmpty(t, m.job.MaskImage.Path)
				assert.Contains(t, m.params, "init_images")
			}, nil},
	} {
		t.Run(c.path+c.body[:min(len(c.body), 90)], func(t *testing.T) {
			m := generate(t, s, c.path, c.body)
			c.check(t, m)
			warnings := fmt.Sprint(m.info["warnings"])
			for _, text := range c.told {
				assert.Contains(t, warnings, text)
				assert.Contains(t, m.told, text)
			}
			if c.told == nil {
				assert.Equal(t, "[]", warnings)
			}
		})
	}
}

// TestRefused looks at the form of errors: nothing that would change a picture is passed over.
func TestRefused(t *testing.T) {
	s, picture := start(t, nil), pictureFile(t)
	for _, c := range []struct {
		path, body string
		status     int
		field      string // "": the detail is a text
		says       string
	}{
		{"txt2img", `[`, 400, "", "cannot be read"},
		{"txt2img", `{"prompt":"x","steps":-1}`, 422, "steps", ""},
		{"txt2img", `{"prompt":"x","width":"big"}`, 422, "width", "integer"},
		{"txt2img", `{"prompt":"x","restore_faces":true}`, 422, "restore_faces", "not offered"},
		{"txt2img", `{"prompt":"x","subseed_strength":0.5}`, 422, "subseed_strength", "not offered"},
		{"txt2img", `{"prompt":"x","model":"nano"}`, 422, "model", "sd_model_checkpoint"},
		{"txt2img", `{"prompt":"x","override_settings":{"sd_model_checkpoint":"nono"}}`, 422, "override_settings.sd_model_checkpoint",
			`did you mean "nano"`},
		{"txt2img", `{"prompt":"x","override_settings":{"eta_noise_seed_delta":31337}}`, 422, "override_settings.eta_noise_seed_delta",
			"not offered"},
		{"txt2img", `{"prompt":"x","override_settings":{"sd_vae":"../../etc/passwd"}}`, 422, "", "there is no vae"},
		{"txt2img", `{"prompt":"x","override_settings":[1]}`, 422, "override_settings", "expected a table"},
		{"txt2img", `{"prompt":"x","alwayson_scripts":{"ADetailer":{"args":[true,{}]}}}`, 422, "alwayson_scripts.ADetailer", "not offered"},
		{"txt2img", `{"prompt":"x","alwayson_scripts":{"controlnet":{"args":[{"model":"none there","image":"` + picture + `"}]}}}`, 422,
			"alwayson_scripts.controlnet.args[0].model", "no controlnet"},
		{"txt2img", `{"prompt":"x","alwayson_scripts":{"controlnet":{"args":[{"module":"ip-adapter-auto","model":"ip-adapter_none","image":"` +
			picture + `"}]}}}`, 422, "alwayson_scripts.controlnet.args[0].model", "no ip_adapter"},
		{"txt2img", `{"prompt":"x","alwayson_scripts":{"controlnet":{"args":[{"module":"ip-adapter_face_id","model":"ip-adapter-faceid"}]}}}`,
			422, "alwayson_scripts.controlnet.args[0].module", "finds faces"},
		{"img2img", `{"prompt":"x"}`, 422, "init_images", "is missing"},
		{"img2img", `{"prompt":"x","init_images":["/etc/passwd"]}`, 422, "init_images", "no upload"},
		{"img2img", `{"prompt":"x","init_images":["http://127.0.0.1/x.png"]}`, 422, "init_images", "no upload"},
		{"img2img", `{"prompt":"x","init_images":["` + picture + `"],"resize_mode":1}`, 422, "resize_mode", "not offered"},
		{"png-info", `{"image":"http://127.0.0.1/x.png"}`, 422, "image", "fetches none"},
		{"interrogate", `{"image":"` + picture + `"}`, 422, "", "describes"},
		{"extra-single-image", `{"image":"` + picture + `","upscaler_1":"R-ESRGAN 4x+"}`, 422, "upscaler_1", "there is no upscaler"},
		{"extra-single-image", `{"image":"` + picture + `","gfpgan_visibility":0.5}`, 422, "gfpgan_visibility", "not offered"},
		{"extra-single-image", `{"image":"aGVsbG8=","upscaler_1":"Lanczos"}`, 422, "image", ""},
		{"extra-single-image", `{"image":"` + picture + `","upscaling_resize":17}`, 422, "upscaling_resize", "16"},
		{"options", `{"samples_format":"bmp"}`, 422, "samples_format", "png, jpg or webp"},
		{"unload-checkpoint", `{}`, 404, "", "is not offered"},
	} {
		t.Run(c.path+c.body[:min(len(c.body), 90)], func(t *testing.T) {
			status, out, _ := call(t, s, http.MethodPost, root+c.path, c.body)
			assert.Equal(t, c.status, status, out)
			e := out.(object)
			assert.Contains(t, e["errors"], c.says)
			if c.field == "" {
				return
			}
			list, ok := e["detail"].([]any)
			require.True(t, ok, out)
			assert.Equal(t, []any{"body", c.field}, list[0].(object)["loc"])
		})
	}
	list, _ := s.Studio.List(servetest.Local, nil, "", 10)
	assert.Empty(t, list)
}

// TestOptions sets the model for requests that name none.
func TestOptions(t *testing.T) {
	s := start(t, nil)
	_, out, _ := call(t, s, http.MethodGet, root+"options", "")
	assert.Equal(t, "nano", out.(object)[setModel])
	status, out, header := call(t, s, http.MethodPost, root+"options",
		`{"sd_model_checkpoint":"other","samples_format":"webp","sd_model_x":"x"}`)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, []any{"sd_model_x"}, out.(object)["ignored"])
	assert.Contains(t, header.Get(face.HeaderWarning), "sd_model_x")
	_, out, _ = call(t, s, http.MethodPost, root+"options", `{"samples_format":"png"}`)
	assert.Nil(t, out)
	_, out, _ = call(t, s, http.MethodGet, root+"options", "")
	assert.Equal(t, []any{"other", "png"}, []any{out.(object)[setModel], out.(object)[setFormat]})
	assert.Equal(t, "other", generate(t, s, "txt2img", `{"prompt":"x",`+whole+`}`).model.Model)
}

// TestOptionsAreTheOwners changes a setting with one token: others keep theirs.
func TestOptionsAreTheOwners(t *testing.T) {
	s := servetest.Start(t, servetest.Options{Faces: []face.Face{Face()}, Catalog: catalog.Options{Models: []string{"nano", "other=nano"}},
		Serve: serve.Options{Tokens: servetest.Tokens(t, map[string]string{"alice": "", "bob": ""})}})
	status, _, _ := callAs(t, s, servetest.Token("alice"), http.MethodPost, root+"options", `{"sd_model_checkpoint":"other"}`)
	require.Equal(t, http.StatusOK, status)
	for owner, want := range map[string]string{"alice": "other", "bob": "nano"} {
		_, out, _ := callAs(t, s, servetest.Token(owner), http.MethodGet, root+"options", "")
		assert.Equal(t, want, out.(object)[setModel], owner)
	}
}

// TestLists looks at the lists: files have names, and no folders.
func TestLists(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "style"), 0o755))
	for _, name := range []string{"one.safetensors", filepath.Join("style", "two.safetensors")} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	d := []string{dir}
	styles := filepath.Join(dir, "styles.csv")
	require.NoError(t, os.WriteFile(styles, []byte("name,prompt,negative_prompt\nink,\"ink, {prompt}\",photo\n"), 0o600))
	shown := filepath.Join(dir, "shown")
	require.NoError(t, os.Mkdir(shown, 0o700))
	for _, name := range []string{"ip-adapter_sdxl", "IP_Adapter-plus", "encoder"} {
		require.NoError(t, os.WriteFile(filepath.Join(shown, name+".safetensors"), nil, 0o600))
	}
	s := servetest.Start(t, servetest.Options{Faces: []face.Face{Face()}, Catalog: catalog.Options{Styles: []string{styles}, LoRAs: d, Nets: d,
		VAEs: d, Upscalers: d, Embeddings: d, IPAdapters: []string{shown}}})
	for path, wants := range map[string][]string{
		root + "sd-models": {`"title":"nano"`, `"model_name":"nano"`}, root + "loras": {`"name":"one"`}, root + "sd-vae": {`"model_name":"one"`},
		root + "upscalers": {`"Lanczos"`, `"name":"one"`}, root + "embeddings": {`"loaded":{"one"`},
		root + "samplers":   {`"DPM++ 2M"`, `"Euler a"`},
		root + "schedulers": {`"label":"Karras"`}, root + "latent-upscale-modes": {`"Latent"`}, root + "hypernetworks": {`[]`},
		root + "prompt-styles": {`[{"name":"ink","negative_prompt":"photo","prompt":"ink, {prompt}"}]`}, root + "scripts": {`"controlnet"`}, root + "cmd-flags": {`"api":true`}, root + "memory": {`"ram"`},
		control + "model_list":  {`"one"`, `"IP_Adapter-plus","ip-adapter_sdxl"]`},
		control + "module_list": {`"canny"`, `"none"`, `"ip-adapter-auto"`}, control + "version": {`"version":2`},
		root + "progress": {`"progress":0`, `"job_count":0`},
	} {
		status, out, _ := call(t, s, http.MethodGet, path, "")
		data, err := json.Marshal(out)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, status, path)
		for _, want := range wants {
			assert.Contains(t, string(data), want, path)
		}
		assert.NotContains(t, string(data), dir, path)
	}
	m := generate(t, s, "txt2img", `{"prompt":"x","styles":["ink"],`+whole+`}`)
	assert.Equal(t, []any{"ink"}, m.info["styles"])
	status, _, _ := call(t, s, http.MethodPost, root+"txt2img", `{"prompt":"x","styles":["inc"]}`)
	assert.Equal(t, http.StatusUnprocessableEntity, status)
	for _, what := range []string{"checkpoints", "vae", "loras"} {
		status, out, _ := call(t, s, http.MethodPost, root+"refresh-"+what, "")
		assert.Equal(t, []any{http.StatusOK, nil}, []any{status, out})
	}
}

// TestSamplers checks that each name that is listed can be asked for.
func TestSamplers(t *testing.T) {
	for _, s := range wireSamplers() {
		for _, c := range wireSchedules() {
			_, err := request.DecodeJSON(fmt.Appendf(nil, `{"prompt":"x","sampler_name":%q,"scheduler":%q}`, s.Name, c.Label))
			assert.NoError(t, err, "%s with %s", s.Name, c.Label)
		}
	}
}
