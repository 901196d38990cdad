package catalog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// file writes a file below a folder and returns its path.
func file(t *testing.T, text string, parts ...string) string {
	t.Helper()
	p := filepath.Join(parts...)
	require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o700))
	require.NoError(t, os.WriteFile(p, []byte(text), 0o600))
	return p
}

// TestStylesAndWildcards names styles and wildcards that are there, that are not, and files beside their folders.
func TestStylesAndWildcards(t *testing.T) {
	dir := t.TempDir()
	secret := file(t, "name,prompt\nhidden,x\n", dir, "secret.csv")
	file(t, "hidden\n", dir, "secret.txt")
	styles := file(t, "name,prompt,negative_prompt\nink,\"ink, {prompt}\",photo\n", dir, "styles", "styles.csv")
	words := filepath.Dir(file(t, "red\nblue\n", dir, "words", "colour.txt"))
	c, err := New(Options{Models: []string{"nano"}, Styles: []string{styles}, Wildcards: []string{words}})
	require.NoError(t, err)
	for body, says := range map[string]string{
		`{"prompt": "a cat", "styles": ["ink"]}`:                             "",
		`{"prompt": "a __colour__ cat"}`:                                     "",
		`{"prompt": "x", "negative_prompt": "__colour__"}`:                   "",
		`{"prompt": "x", "styles": ["inc"]}`:                                 `there is no style "inc"; did you mean "ink"?`,
		`{"prompt": "x", "styles": ["hidden"]}`:                              `there is no style "hidden"`,
		`{"prompt": "x", "styles": [` + quote(secret) + `]}`:                 "there is no style",
		`{"prompt": "a __../secret__"}`:                                      "", // no wildcard has such a name: a text
		`{"prompt": ` + quote("__"+filepath.Join(dir, "secret")+"__") + `}`:  "", // no wildcard has such a name: a text
		`{"prompt": "x", "prompt_2": "__../secret__"}`:                       "", // no wildcard has such a name: a text
		`{"prompt": "x", "negative_prompt": "__../*__"}`:                     "", // no wildcard has such a name: a text
		`{"prompt": "x", "negative_prompt_2": "{a|__../secret__}"}`:          "", // no wildcard has such a name: a text
		`{"prompt": "a __secret__"}`:                                         "there is no wildcard",
		`{"prompt": "a __secret__", "prompt_syntax": "plain"}`:               "", // a text
		`{"prompt": "x", "model": {"wildcard_directories": ["/"]}}`:          "is set by the server",
		`{"prompt": "x", "model": {"style_files": [` + quote(secret) + `]}}`: "is set by the server",
		`{"prompt_file": ` + quote(secret) + `}`:                             "is a file of the server's",
	} {
		_, _, _, err := c.Decode([]byte(body))
		if says == "" {
			assert.NoError(t, err, body)
			continue
		}
		if assert.ErrorContains(t, err, says, body) {
			assert.NotContains(t, err.Error(), words, body)
			assert.NotContains(t, err.Error(), styles, body)
		}
	}
	list, err := c.Styles(c.Models()[0])
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, "ink, {prompt}", list[0].Prompt)
}

func quote(s string) string { return `"` + filepath.ToSlash(s) + `"` }

// TestWrongPhrases starts with files that are not there, or no styles.
func TestWrongPhrases(t *testing.T) {
	for _, o := range []Options{{Styles: []string{"none.csv"}}, {Wildcards: []string{"none"}},
		{Styles: []string{file(t, "a,b\n", t.TempDir(), "x.csv")}}} {
		o.Models = []string{"nano"}
		_, err := New(o)
		assert.Error(t, err)
	}
}

// TestPulledModelsAreNotNames gives names of models in the cache of pulled ones: only what was listed for clients can be named.
func TestPulledModelsAreNotNames(t *testing.T) {
	c, err := New(Options{Models: []string{"nano"}, LoRAs: []string{t.TempDir()}, Nets: []string{t.TempDir()}})
	require.NoError(t, err)
	for _, name := range []string{"org/model", "hf:org/model", "civitai:1234", "https://example.com/x.safetensors", "sdxl-base", "sdxl-vae"} {
		for _, body := range []string{`{"prompt": "x", "model": "%"}`, `{"prompt": "x", "model": {"vae": "%"}}`,
			`{"prompt": "x", "model": {"refiner": "%"}}`, `{"prompt": "x", "model": {"upscaler": "%"}}`,
			`{"prompt": "x", "lora": [{"name": "%"}]}`, `{"prompt": "x <lora:%:1>"}`,
			`{"prompt": "x", "controlnet": [{"model": "%", "image": "data:;base64,iVBORw0KGgo="}]}`} {
			text := strings.ReplaceAll(body, "%", name)
			_, _, _, err := c.Decode([]byte(text))
			assert.Error(t, err, text)
		}
	}
}

// TestHide leaves out folders, whoever says them.
func TestHide(t *testing.T) {
	dir := t.TempDir()
	inside := filepath.Join(dir, "loras", "ink")
	file(t, "x", inside, "line.safetensors")
	c, err := New(Options{Models: []string{"nano", "other=nano"}, LoRAs: []string{filepath.Dir(inside)}})
	require.NoError(t, err)
	assert.Equal(t, "loras/ink/line.safetensors: it is no adapter; see org/model",
		filepath.ToSlash(c.Hide(filepath.Join(inside, "line.safetensors")+": it is no adapter; see org/model")))
	_, err = c.path(LoRA, "none")
	var missing *library.Error
	require.ErrorAs(t, err, &missing)
	assert.NotContains(t, c.Hide(err.Error()), dir)
	_, _, _, err = c.Decode([]byte(`{"prompt": "x", "lora": [{"name": "none"}]}`))
	assert.ErrorIs(t, err, request.ErrInvalid)
	assert.NotContains(t, err.Error(), dir)
}
