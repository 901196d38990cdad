package a1111

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"image"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/recall"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// stepped is a backend whose UNet makes a step for each value of steps.
func stepped() (h hook, steps chan bool) {
	steps = make(chan bool)
	return func(ctx context.Context, call fake.Call) error {
		if call.Op != fake.OpUNet {
			return nil
		}
		select {
		case <-steps:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, steps
}

// answerOf is what a request that is being answered ends with.
type answerOf struct {
	status int
	body   any
}

// TestProgress follows a request, and interrupts it after its first picture.
func TestProgress(t *testing.T) {
	h, steps := stepped()
	s := start(t, h)
	_, out, _ := call(t, s, http.MethodPost, root+"options", `{"show_progress_every_n_steps":1}`)
	require.Nil(t, out)
	done := make(chan answerOf, 1)
	go func() {
		status, body, _ := call(t, s, http.MethodPost, root+"txt2img",
			`{"prompt":"x","seed":5,"steps":40,"cfg_scale":3,"width":64,"height":64,"n_iter":20,"batch_size":1}`)
		done <- answerOf{status, body}
	}()
	until := func(what string, ok func(p object) bool) object {
		var last any
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
			select {
			case steps <- true: // a step is made between two looks
			default:
			}
			_, out, _ := call(t, s, http.MethodGet, root+"progress", "")
			if last = out; ok(out.(object)) {
				return out.(object)
			}
		}
		require.Fail(t, "never "+what, "%v", last)
		return nil
	}
	p := until("a picture in work", func(p object) bool { return p["current_image"] != nil && p["progress"].(float64) > 0.02 })
	assert.Equal(t, []any{20.0, 40.0, "scripts_txt2img"}, []any{p["state"].(object)["job_count"], p["state"].(object)["sampling_steps"],
		p["state"].(object)["job"]})
	data, err := base64.StdEncoding.DecodeString(p["current_image"].(string))
	require.NoError(t, err)
	_, _, err = image.Decode(strings.NewReader(string(data)))
	require.NoError(t, err)
	_, out, _ = call(t, s, http.MethodGet, root+"progress?skip_current_image=true", "")
	assert.Nil(t, out.(object)["current_image"])
	status, out, _ := call(t, s, http.MethodPost, root+"skip", "")
	assert.Equal(t, http.StatusConflict, status, out)
	until("the second picture", func(p object) bool { return p["state"].(object)["job_no"].(float64) >= 1 })
	status, _, _ = call(t, s, http.MethodPost, root+"interrupt", "")
	assert.Equal(t, http.StatusOK, status)
	a := <-done
	require.Equal(t, http.StatusOK, a.status, a.body)
	finished := len(a.body.(object)["images"].([]any))
	assert.True(t, finished >= 1 && finished < 20, "%d pictures were finished", finished)
	assert.Contains(t, a.body.(object)["info"], `"interrupted":true`)
	until("idle", func(p object) bool { return p["progress"] == 0.0 && p["state"].(object)["job_count"] == 0.0 })
	_, _, header := call(t, s, http.MethodPost, root+"interrupt", "")
	assert.Contains(t, header.Get("Daguerre-Warning"), "nothing is being made")
}

// TestExtras enlarges pictures without a model.
func TestExtras(t *testing.T) {
	s, picture := start(t, nil), pictureFile(t) // 64 x 32
	for fields, want := range map[string]image.Point{
		``: {128, 64}, `,"upscaling_resize":1.5,"upscaler_1":"Lanczos"`: {96, 48}, `,"upscaler_1":"Nearest","upscaling_resize":4`: {256, 128},
		`,"resize_mode":1,"upscaling_resize_w":80,"upscaling_resize_h":80`:                        {80, 80},
		`,"resize_mode":1,"upscaling_resize_w":80,"upscaling_resize_h":80,"upscaling_crop":false`: {80, 40},
	} {
		_, out, _ := call(t, s, http.MethodPost, root+"extra-single-image", `{"image":"`+picture+`"`+fields+`}`)
		require.Contains(t, out, "image", fields)
		data, err := base64.StdEncoding.DecodeString(out.(object)["image"].(string))
		require.NoError(t, err)
		img, _, err := image.Decode(strings.NewReader(string(data)))
		require.NoError(t, err)
		assert.Equal(t, want, img.Bounds().Size(), fields)
	}
	_, out, _ := call(t, s, http.MethodPost, root+"extra-batch-images", `{"imageList":[{"data":"`+picture+`","name":"../a"},{"data":"`+picture+
		`","name":"b"}],"upscaler_1":"Nearest","x":1}`)
	assert.Len(t, out.(object)["images"], 2)
	status, out, _ := call(t, s, http.MethodPost, control+"detect", `{"controlnet_module":"canny","controlnet_images":["`+picture+`"]}`)
	assert.Equal(t, http.StatusOK, status, out)
	assert.Len(t, out.(object)["images"], 1)
}

// TestPNGInfo reads back what a picture file carries.
func TestPNGInfo(t *testing.T) {
	s := start(t, nil)
	text := "a cat\nin a hat\nNegative prompt: dogs\nSteps: 4, Sampler: \"A, B\", CFG scale: 5.5, Seed: 7, Size: 64x32"
	file, err := imagefile.Encode(image.NewNRGBA(image.Rect(0, 0, 8, 8)), imagefile.PNG,
		imagefile.EncodeOptions{Text: []imagefile.Text{{Keyword: "parameters", Value: text}}})
	require.NoError(t, err)
	body, err := json.Marshal(map[string]string{"image": "data:image/png;base64," + base64.StdEncoding.EncodeToString(file)})
	require.NoError(t, err)
	_, out, _ := call(t, s, http.MethodPost, root+"png-info", string(body))
	assert.Equal(t, text, out.(object)["info"])
	assert.Equal(t, object{"Prompt": "a cat\nin a hat", "Negative prompt": "dogs", "Steps": "4", "Sampler": "A, B", "CFG scale": "5.5",
		"Seed": "7", "Size-1": "64", "Size-2": "32"}, out.(object)["parameters"])
	_, out, _ = call(t, s, http.MethodPost, root+"png-info", `{"image":"`+pictureFile(t)+`"}`)
	assert.Equal(t, object{"info": "", "items": object{}, "parameters": object{}}, out)
}

func FuzzInfotext(f *testing.F) {
	f.Add("a\nNegative prompt: b\nSteps: 1, Sampler: x, Seed: 2, Size: 3x4")
	f.Add("Steps: \"\\u12\", a b: , : ,")
	f.Fuzz(func(t *testing.T, text string) {
		for key := range recall.Infotext(text) {
			if key == "" {
				t.Fatal("a setting without a name")
			}
		}
	})
}
