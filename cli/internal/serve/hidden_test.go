package serve_test

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/serve/servetest"
	"github.com/daguerre-go/daguerre/internal/catalog"
)

// TestNoFolderIsTold has the server fail over each kind of its files: neither answers nor events tell where a file is. Its log does.
func TestNoFolderIsTold(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "whereabouts")
	in := func(name, text string) string {
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return filepath.Dir(file)
	}
	const broken = "no weights at all"
	styles := filepath.Join(in("styles/styles.csv", "name,prompt\nink,ink\n"), "styles.csv")
	s := servetest.Start(t, servetest.Options{Catalog: catalog.Options{Models: []string{"nano"}, Styles: []string{styles},
		LoRAs: []string{in("loras/bad.safetensors", broken)}, Nets: []string{in("nets/bad.safetensors", broken)},
		VAEs: []string{in("vaes/bad.safetensors", broken)}, Refiners: []string{in("refiners/bad.safetensors", broken)},
		Upscalers: []string{in("upscalers/bad.safetensors", broken)}, Embeddings: []string{in("embeddings/bad.safetensors", broken)},
		Detectors: []string{in("detectors/bad.safetensors", broken)}, Wildcards: []string{in("words/empty.txt", "# nothing\n")}}})
	c := of(t, s)
	up := c.do("POST", "/v1/uploads", pngFile(t), "Content-Type", "application/octet-stream").table(t)["ref"]
	net := func(model string) map[string]any {
		return run("controlnet", []any{map[string]any{"model": model, "image": up}})
	}
	text := c.do("POST", "/v1/uploads", []byte("x"), "Content-Type", "application/octet-stream").table(t)["ref"]
	accepted := 0
	for name, body := range map[string]map[string]any{
		"adapter":            run("lora", []any{map[string]any{"name": "bad"}}),
		"no adapter":         run("lora", []any{map[string]any{"name": "none"}}),
		"tag":                run("prompt", "x <lora:bad:1>"),
		"no tag":             run("prompt", "x <lora:none:1>"),
		"ControlNet":         net("bad"),
		"no ControlNet":      net("none"),
		"detector":           run("detail", []any{map[string]any{"detector": "bad", "prompt": "x"}}),
		"no detector":        run("detail", []any{map[string]any{"detector": "none", "prompt": "x"}}),
		"VAE":                run("model", map[string]any{"vae": "bad"}),
		"refiner":            run("model", map[string]any{"refiner": "bad"}),
		"upscaler":           run("model", map[string]any{"upscaler": "bad"}, "hires", map[string]any{"scale": 2, "upscaler": "model"}),
		"embedding":          run("prompt", "a bad thing"),
		"style":              run("styles", []any{"none"}),
		"wildcard":           run("prompt", "a __none__"),
		"empty wildcard":     run("prompt", "a __empty__"),
		"picture, no upload": run("init_image", "upload:x"),
		"no picture":         run("init_image", text),
	} {
		told := string(c.do("POST", "/v1/plan", body).body)
		a := c.do("POST", "/v1/runs", body)
		told += string(a.body)
		if a.status == http.StatusAccepted {
			accepted++
			id := a.table(t)["id"].(string)
			told += string(c.do("GET", "/v1/runs/"+id+"/events", nil).body) + string(c.do("GET", "/v1/runs/"+id, nil).body) +
				string(c.do("GET", "/v1/runs/"+id+"/pictures/0/0", nil).body)
		} else {
			assert.Equal(t, http.StatusUnprocessableEntity, a.status, name)
		}
		assert.NotContains(t, told, "whereabouts", name)
	}
	assert.Greater(t, accepted, 3, "what is wrong with a file is found when it is read")
	for _, path := range []string{"/v1/catalog/adapters/bad", "/v1/catalog/adapters/none", "/v1/catalog/adapters", "/v1/catalog/styles",
		"/v1/catalog/styles?model=none", "/v1/catalog/vaes", "/v1/catalog/models", "/v1/devices", "/v1/runs", "/readyz", "/metrics"} {
		assert.NotContains(t, string(c.do("GET", path, nil).body), "whereabouts", path)
	}
	assert.Equal(t, []any{map[string]any{"name": "ink", "prompt": "ink", "negative_prompt": ""}},
		c.do("GET", "/v1/catalog/styles", nil).table(t)["styles"])
}
