package command

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/hubtest"
	"github.com/daguerre-go/daguerre/models/nano"
)

const theSecret = "hf_SECRETSECRETSECRET"

// hubBench is a bench with a hub that has the nano model as a stranger's.
type hubBench struct {
	*bench
	hub    *hubtest.Server
	home   string // of the caches
	commit string
	seen   strings.Builder // everything that was printed
}

func newHubBench(t *testing.T) *hubBench {
	b := &hubBench{bench: newBench(t), hub: hubtest.New(), home: t.TempDir()}
	t.Cleanup(b.hub.Close)
	for key, value := range map[string]string{"HF_ENDPOINT": b.hub.Hub.URL, "CIVITAI_ENDPOINT": b.hub.Hub.URL, "HF_HOME": b.home,
		"HF_HUB_CACHE": "", "HUGGINGFACE_HUB_CACHE": "", "XDG_DATA_HOME": filepath.Join(b.home, "data"), "HF_TOKEN": theSecret,
		"CIVITAI_TOKEN":  theSecret,
		"HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": "", "DAGUERRE_MODELS": b.write("names.toml", "[mine]\nmodel = \"test/nano\"\n"),
		"DAGUERRE_CACHE": filepath.Join(b.home, "cache")} {
		t.Setenv(key, value)
	}
	path, err := nano.Path(t.Context())
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	b.commit = b.hub.Commit("test/nano", "main", map[string][]byte{"nano.safetensors": data, "README.md": []byte("x")})
	b.hub.Change("test/nano", func(r *hubtest.Repo) { r.Private = true })
	b.hub.SetToken(theSecret)
	return b
}

func (b *hubBench) run(args ...string) int {
	b.t.Helper()
	code := b.bench.run(args...)
	b.seen.WriteString(b.stdout + b.stderr)
	return code
}

// TestModelsByName pulls, lists, uses, verifies and removes a model. Its name stands for it wherever a path does.
func TestModelsByName(t *testing.T) {
	b := newHubBench(t)
	b.real = true
	out := b.path("out.png")
	generate := []string{"generate", "--model", "test/nano", "--prompt", "a red circle", "--steps", "1", "--seed", "1", "-o", out}
	require.Equal(t, ExitFile, b.run(generate...), b.stderr)
	assert.Contains(t, b.stderr, "--model: test/nano: there is no such file or folder, and no model of this name was pulled")
	assert.Empty(t, b.hub.Requests(), "nothing is fetched without being told")
	assert.NoFileExists(t, out)

	require.Equal(t, ExitOK, b.run("models", "pull", "mine"), b.stderr)
	assert.Contains(t, b.stdout, "nano.safetensors")
	b.hub.Requests()
	require.Equal(t, ExitOK, b.run("models", "list"), b.stderr)
	assert.Contains(t, b.stdout, "test/nano@"+b.commit[:12]+":nano.safetensors")
	assert.Contains(t, b.stdout, nano.BaseSHA256()[:10])
	assert.Contains(t, b.stdout, "sdxl-base")
	require.Equal(t, ExitOK, b.run("models", "list", "--json"), b.stderr)
	var list []listedModel
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &list))
	require.Len(t, list, 1)
	assert.Equal(t, []string{"mine"}, list[0].Short)
	assert.Equal(t, nano.BaseSHA256()[:10], list[0].Hash)
	assert.Equal(t, "F16", list[0].Is.Type)

	for _, name := range []string{"mine", "test/nano", "hf:test/nano", "test/nano@main", "test/nano:nano.safetensors",
		"test/nano@" + b.commit[:10]} {
		require.Equal(t, ExitOK, b.run("models", "inspect", name), b.stderr)
		assert.Contains(t, b.stdout, "sdxl-base")
	}
	require.Equal(t, ExitOK, b.run(generate...), b.stderr)
	png, err := os.ReadFile(out)
	require.NoError(t, err)
	source := `"source":{"source":"huggingface","repository":"test/nano","revision":"` + b.commit + `","file":"nano.safetensors"}`
	assert.Equal(t, 2, bytes.Count(png, []byte(source)), "of the model and of its file")
	assert.True(t, bytes.Contains(png, []byte(nano.BaseSHA256())))
	assert.False(t, bytes.Contains(png, []byte(b.home)), "folders are nobody else's business")
	vae := []string{"generate", "--model", "nano", "--vae", "mine", "--prompt", "x", "--steps", "1", "-o", b.path("vae.png")}
	require.Equal(t, ExitOK, b.run(vae...), b.stderr)
	require.Equal(t, ExitOK, b.run("vae", "check", "mine"), b.stderr)
	require.Equal(t, ExitOK, b.run("models", "convert", "test/nano", b.path("q.safetensors"), "--type", "f32"), b.stderr)
	require.Equal(t, ExitOK, b.run("models", "verify"), b.stderr)
	assert.Contains(t, b.stdout, "1 file as the hub told")

	blob := filepath.Join(b.home, "hub", "models--test--nano", "blobs", nano.BaseSHA256())
	data, err := os.ReadFile(blob)
	require.NoError(t, err)
	data[len(data)-1] ^= 1
	require.NoError(t, os.WriteFile(blob, data, 0o600))
	assert.Equal(t, ExitFile, b.run("models", "verify", "mine"))
	assert.Contains(t, b.stdout, "where "+nano.BaseSHA256()+" is expected")
	require.NoError(t, os.Truncate(blob, 1000))
	assert.Equal(t, ExitFile, b.run(generate...))
	assert.Contains(t, b.stderr, "has not the")
	assert.Empty(t, b.hub.Requests(), "none of these makes a connection")

	require.Equal(t, ExitOK, b.run("models", "rm", "test/nano"), b.stderr)
	assert.NoDirExists(t, filepath.Join(b.home, "hub", "models--test--nano"))
	require.Equal(t, ExitOK, b.run("models", "list"), b.stderr)
	assert.Contains(t, b.stdout, "No models were fetched")
	require.Equal(t, ExitFile, b.run("models", "rm", "test/nano"))
	require.Equal(t, ExitOK, b.run(append(generate, "--pull")...), b.stderr)
	assert.NotEmpty(t, b.hub.Requests())
	require.Equal(t, ExitUsage, b.run("models", "pull"))
	require.Equal(t, ExitUsage, b.run("models", "pull", "mien"))
	assert.Contains(t, b.stderr, `did you mean "mine"?`)
	require.Equal(t, ExitUsage, b.run("models", "pull", "mine", "--sha256", "12"))
	require.Equal(t, ExitFile, b.run("models", "pull", "test/none"))
}

// TestNoTokenShows greps everything that was printed and written for the tokens, after all kinds of failures.
func TestNoTokenShows(t *testing.T) {
	b := newHubBench(t)
	b.hub.SetPage("/plain/x.safetensors", hubtest.Safetensors(1, 4000))
	b.hub.SetVersion("5", hubtest.Version{Model: 4, Private: true, Files: []hubtest.File{{Name: "a.safetensors", Type: "Model",
		Data: hubtest.Safetensors(2, 9000)}}})
	plain := strings.Replace(b.hub.Hub.URL, "127.0.0.1", "localhost", 1) + "/plain/"
	names := []string{"test/nano", "mine", "civitai:5", plain + "x.safetensors?token=" + theSecret,
		plain + "none.safetensors?api_key=" + theSecret,
		strings.Replace(plain, "://", "://me:"+theSecret+"@", 1) + "x.safetensors", "https://civitai.com/models/4?token=" + theSecret,
		"https://%zz/" + theSecret + "?x", "civitai:99", "test/none"}
	faults := []hubtest.Fault{nil,
		func(_ int, w http.ResponseWriter, r *http.Request) bool { // a server that says what it was told
			http.Error(w, r.Header.Get("Authorization")+r.URL.String(), http.StatusForbidden)
			return true
		},
		func(_ int, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("X-Error-Message", r.URL.RawQuery)
			http.Error(w, "no", http.StatusUnauthorized)
			return true
		},
		func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "/"+r.URL.RawQuery+"?Signature=SIGNED"+theSecret, http.StatusFound) // for ever
			return true
		}}
	for i, fault := range faults {
		b.hub.SetFault(fault)
		for _, name := range names {
			if strings.Contains(name, "/%zz/") {
				name = strings.Replace(name, theSecret, "x", 1) // a path is no place for a token
			}
			b.run("models", "pull", name, word(i%2 == 0, "--force", "--json"))
			b.run("generate", "--model", name, "--prompt", "x", "-o", b.path("x.png"))
			b.run("models", "inspect", name)
			b.run("models", "rm", name)
		}
	}
	assert.Contains(t, b.seen.String(), "the server answers", "it was not for nothing")
	for line := range strings.Lines(b.seen.String()) {
		assert.NotContains(t, line, theSecret)
	}
	for _, dir := range []string{b.home, b.dir} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return nil // a link to nothing
			}
			assert.False(t, bytes.Contains(data, []byte(theSecret)), path)
			assert.NotContains(t, path, theSecret)
			return nil
		}))
	}
	for _, r := range b.hub.Requests() {
		assert.False(t, r.CDN && r.Authorization != "", "a token went to another server")
	}
}
