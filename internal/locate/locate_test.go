package locate

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/hubtest"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelname"
)

// write makes a file below a folder and returns its path.
func write(t *testing.T, data []byte, parts ...string) string {
	t.Helper()
	path := filepath.Join(parts...)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

// fetched puts a file into the cache as if it had been pulled.
func fetched(t *testing.T, name, file string, data []byte) string {
	t.Helper()
	n, err := modelname.Parse(name)
	require.NoError(t, err)
	repo := hubcache.FromEnv().Repo(n)
	commit := hubtest.GitSum(data)
	write(t, data, repo.Blob(hubtest.SHA256(data)))
	require.NoError(t, repo.Point(commit, file, hubtest.SHA256(data)))
	require.NoError(t, repo.SetRef("main", commit))
	return filepath.Join(repo.Snapshot(commit), file)
}

// TestFind tells paths from names. What may be two files is an error that lists both.
func TestFind(t *testing.T) {
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("HUGGINGFACE_HUB_CACHE", "")
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv(modelname.EnvList, write(t, []byte("[mine]\nmodel = \"our/mine\"\n"), t.TempDir(), "models.toml"))
	work, models := t.TempDir(), t.TempDir()
	t.Chdir(work)
	weights := hubtest.Safetensors(1, 4000)
	pulled := fetched(t, "our/pulled", "a.safetensors", weights)
	mine := fetched(t, "our/mine", "b.safetensors", hubtest.Safetensors(2, 4000))
	write(t, weights, work, "here.safetensors")
	write(t, weights, work, "both", "file.safetensors")
	write(t, weights, work, "dir", "file")
	listed := write(t, weights, models, "listed.safetensors")
	inSub := write(t, weights, models, "sub", "deep.gguf")
	files := Models(models)
	for text, want := range map[string]string{
		"": "", "nano": "nano", "here.safetensors": "here.safetensors", "./our/pulled": "./our/pulled",
		"dir/file": "dir/file", "our/pulled": pulled, "our/pulled:a.safetensors": pulled, "hf:our/pulled": pulled, "mine": mine, "our/mine": mine,
		"listed": listed, "LISTED": listed, "sub/deep": inSub, "deep": inSub, pulled: pulled, "C:\\x": "C:\\x", "~/x": "~/x",
		"listed.safetensors": listed,
	} {
		got, err := Find(text, files)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}

	for text, c := range map[string]struct {
		is   error
		says string
	}{
		"our/nothing":    {library.ErrNotFound, "no model of this name was pulled"},
		"our/pulle":      {library.ErrNotFound, `did you mean "our/pulled"?`},
		"our/pulled@v2":  {library.ErrNotFound, "revision v2 was not pulled"},
		"our/pulled:c":   {library.ErrNotFound, "has no such file here"},
		"civitai:5":      {library.ErrNotFound, `daguerre models pull civitai:5`},
		"civitai:x":      {modelname.ErrName, "write civitai:VERSION"},
		"sdxl":           {library.ErrNotFound, `get it with "daguerre models pull sdxl" (6.5 GiB)`},
		"sdlx":           {library.ErrNotFound, `did you mean "sdxl"?`},
		"hf:our/nothing": {library.ErrNotFound, "it was not pulled"},
		"https://example.com/x.safetensors?token=SECRET": {library.ErrAmbiguous, "must hold no token"},
	} {
		_, err := Find(text, files)
		require.ErrorIs(t, err, c.is, text)
		assert.ErrorContains(t, err, c.says)
		assert.NotContains(t, err.Error(), "SECRET")
	}

	for _, text := range []string{"some/where/else", "none.safetensors"} {
		got, err := Find(text, nil)
		require.NoError(t, err)
		assert.Equal(t, text, got, "whoever opens it says best what is wrong")
		_, err = Find(text, files)
		require.ErrorIs(t, err, library.ErrNotFound)
		assert.ErrorContains(t, err, "none of the 2 models in "+models)
	}

	// A path of the same name does not win without a word, nor does a file in the folders.
	local := write(t, hubtest.Safetensors(3, 4000), work, "our", "pulled")
	_, err := Find("our/pulled", files)
	require.ErrorIs(t, err, library.ErrAmbiguous)
	assert.ErrorContains(t, err, "write ."+string(filepath.Separator)+"our/pulled for our/pulled, or our/pulled@")
	assert.ErrorContains(t, err, pulled)
	got, err := Find("hf:our/pulled", files)
	require.NoError(t, err)
	assert.Equal(t, pulled, got)
	got, err = Find("./our/pulled", files)
	require.NoError(t, err)
	assert.Equal(t, "./our/pulled", got)
	require.NoError(t, os.Remove(local))
	require.NoError(t, os.Symlink(pulled, local))
	got, err = Find("our/pulled", files)
	require.NoError(t, err, "they are one file")
	assert.Equal(t, "our/pulled", got)
	write(t, hubtest.Safetensors(4, 4000), models, "mine.safetensors")
	_, err = Find("mine", Models(models))
	require.ErrorIs(t, err, library.ErrAmbiguous)
	assert.ErrorContains(t, err, filepath.Join(models, "mine.safetensors"))
	assert.ErrorContains(t, err, mine)
}

// TestAlso is how libraries of adapters and ControlNets find what was fetched.
func TestAlso(t *testing.T) {
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv(modelname.EnvList, write(t, nil, t.TempDir(), "models.toml"))
	dir := t.TempDir()
	lib := library.New(library.Options{Directories: []string{dir}, Extensions: []string{".safetensors"}, What: "adapters", Also: Also})
	pulled := fetched(t, "latent-consistency/lcm-lora-sdxl", "pytorch_lora_weights.safetensors", hubtest.Safetensors(1, 4000))
	other := write(t, hubtest.Safetensors(2, 4000), dir, "ink.safetensors")
	for name, want := range map[string]string{"latent-consistency/lcm-lora-sdxl": pulled, "ink": other, "ink.safetensors": other} {
		got, err := lib.Resolve(name)
		require.NoError(t, err, name)
		assert.Equal(t, want, got)
	}
	_, err := lib.Resolve("lcm-lora-sdxl")
	require.ErrorIs(t, err, library.ErrUnreadable, "it is there, and has another sum than the list tells")
	_, err = lib.Resolve("sdxl-lightning-4step")
	require.ErrorIs(t, err, library.ErrNotFound)
	assert.ErrorContains(t, err, "daguerre models pull sdxl-lightning-4step")
	_, err = lib.Resolve("nothing")
	assert.ErrorContains(t, err, "none of the 1 adapters")
	_, err = lib.Find("latent-consistency/lcm-lora-sdxl")
	require.ErrorIs(t, err, library.ErrNotFound, "names in prompts open nothing else")
	write(t, hubtest.Safetensors(3, 4000), dir, "latent-consistency", "lcm-lora-sdxl.safetensors")
	_, err = lib.Resolve("latent-consistency/lcm-lora-sdxl")
	require.ErrorIs(t, err, library.ErrAmbiguous)
	assert.ErrorContains(t, err, pulled)
}
