package serve_test

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/internal/catalog"
)

func TestSchema(t *testing.T) {
	c := of(t, servetest.Start(t, servetest.Options{Idle: true}))
	steps := c.do("GET", "/v1/schema", nil).table(t)["properties"].(map[string]any)["num_inference_steps"].(map[string]any)
	assert.EqualValues(t, 1000, steps["maximum"])
}

// TestAdapter asks for adapters by name, as the list has them and as it has not.
func TestAdapter(t *testing.T) {
	dir := t.TempDir()
	data, err := os.ReadFile("../../../models/nano/nano-lora-outline.safetensors")
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "loras"), 0o700))
	for name, data := range map[string][]byte{"loras/outline": data, "loras/inks/wash": data, "loras/broken": data[:1000], "secret": data} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".safetensors"), data, 0o600))
	}
	c := of(t, servetest.Start(t, servetest.Options{Idle: true, Catalog: catalog.Options{LoRAs: []string{filepath.Join(dir, "loras")}}}))
	for _, name := range []string{"outline", "inks/wash"} {
		a := c.do("GET", "/v1/catalog/adapters/"+url.PathEscape(name), nil)
		require.Equal(t, 200, a.status, string(a.body))
		info := a.table(t)
		assert.Equal(t, name, info["name"])
		assert.Equal(t, []any{"outlined"}, info["trigger_words"])
		assert.Equal(t, []any{4.0}, info["ranks"])
		assert.NotContains(t, string(a.body), dir)
	}
	a := c.do("GET", "/v1/catalog/adapters/broken", nil)
	assert.Equal(t, 422, a.status, string(a.body))
	assert.Contains(t, a.table(t)["detail"], "broken.safetensors")
	assert.NotContains(t, string(a.body), dir)
	for _, name := range []string{"nothing", "../secret", filepath.Join(dir, "secret"), "wash", "out",
		filepath.Join(dir, "secret.safetensors")} {
		a := c.do("GET", "/v1/catalog/adapters/"+url.PathEscape(name), nil)
		assert.Equal(t, 404, a.status, "%s: %s", name, a.body)
	}
}

// square is a PNG file: a white square on black.
func square(t *testing.T) []byte {
	img := image.NewGray(image.Rect(0, 0, 64, 64))
	for y := 16; y < 48; y++ {
		for x := 16; x < 48; x++ {
			img.SetGray(x, y, color.Gray{Y: 255})
		}
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

// TestControlMap makes maps of a picture in the request, and of an upload. Nothing else is read.
func TestControlMap(t *testing.T) {
	server := servetest.Start(t, servetest.Options{Idle: true})
	c := of(t, server)
	inline := "data:image/png;base64," + base64.StdEncoding.EncodeToString(square(t))
	uploaded := c.do("POST", "/v1/uploads", square(t), "Content-Type", "application/octet-stream").table(t)["ref"].(string)
	for _, picture := range []string{inline, uploaded} {
		a := c.do("POST", "/v1/controlmap", map[string]any{"image": picture, "preprocessor": "canny"})
		require.Equal(t, 200, a.status, string(a.body))
		assert.Equal(t, "image/png", a.header.Get("Content-Type"))
		img, err := png.Decode(bytes.NewReader(a.body))
		require.NoError(t, err)
		assert.Equal(t, image.Rect(0, 0, 64, 64), img.Bounds())
		white := 0
		for x := range 32 {
			if y, _, _, _ := img.At(x, 32).RGBA(); y > 0x8000 {
				white++
			}
		}
		assert.Equal(t, 1, white, "the left edge, and nothing else")
	}
	a := c.do("POST", "/v1/controlmap?width=32&height=16", map[string]any{"image": inline, "preprocessor": "canny"})
	img, err := png.Decode(bytes.NewReader(a.body))
	require.NoError(t, err)
	assert.Equal(t, image.Rect(0, 0, 32, 16), img.Bounds())
	missing := catalog.UploadScheme + "00" + uploaded[len(catalog.UploadScheme)+2:]
	file := filepath.Join(server.Dir, "square.png")
	require.NoError(t, os.WriteFile(file, square(t), 0o600))
	for name, body := range map[string]any{
		"no picture": map[string]any{"preprocessor": "canny"}, "a path": map[string]any{"image": file, "preprocessor": "canny"},
		"a URL":              map[string]any{"image": "http://127.0.0.1/x.png", "preprocessor": "canny"},
		"an unknown upload":  map[string]any{"image": missing, "preprocessor": "canny"},
		"no preprocessor":    map[string]any{"image": inline, "preprocessor": "nothing"},
		"an unknown key":     map[string]any{"image": inline, "preprocesor": "canny"},
		"an option":          map[string]any{"image": inline, "preprocessor": "canny", "preprocessor_options": map[string]any{"low": 1}},
		"no picture's bytes": map[string]any{"image": "data:image/png;base64,AAAA", "preprocessor": "canny"},
		"a list":             []any{}, "no JSON": "{", "a text": `"x"`, "null": "null",
	} {
		a := c.do("POST", "/v1/controlmap", body)
		assert.Contains(t, []int{400, 422}, a.status, "%s: %s", name, a.body)
		assert.Equal(t, "application/problem+json", a.header.Get("Content-Type"), name)
	}
}
