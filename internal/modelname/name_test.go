package modelname

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	t.Setenv("HF_ENDPOINT", "https://hub.example.com")
	commit := strings.Repeat("ab", 20)
	for text, want := range map[string]Name{
		"a/b": {Source: HuggingFace, Repository: "a/b"},
		"stabilityai/stable-diffusion-xl-base-1.0": {Source: HuggingFace, Repository: "stabilityai/stable-diffusion-xl-base-1.0"},
		"a/b@main":                             {Source: HuggingFace, Repository: "a/b", Revision: "main"},
		"a/b@refs/pr/1:c/d.safetensors":        {Source: HuggingFace, Repository: "a/b", Revision: "refs/pr/1", File: "c/d.safetensors"},
		"a/b@" + commit:                        {Source: HuggingFace, Repository: "a/b", Revision: commit},
		"a/b:.":                                {Source: HuggingFace, Repository: "a/b", File: Whole},
		"hf:a/b.safetensors":                   {Source: HuggingFace, Repository: "a/b.safetensors"},
		"HF:a/b":                               {Source: HuggingFace, Repository: "a/b"},
		"https://huggingface.co/a/b":           {Source: HuggingFace, Repository: "a/b"},
		"https://huggingface.co/a/b/":          {Source: HuggingFace, Repository: "a/b"},
		"https://hub.example.com/a/b/tree/v1":  {Source: HuggingFace, Repository: "a/b", Revision: "v1"},
		"https://hf.co/a/b/blob/main/c/d.gguf": {Source: HuggingFace, Repository: "a/b", Revision: "main", File: "c/d.gguf"},
		"https://huggingface.co/a/b/resolve/refs%2Fpr%2F1/d.gguf?download=true": {Source: HuggingFace, Repository: "a/b", Revision: "refs/pr/1",
			File: "d.gguf"},
		"civitai:128078":                                {Source: Civitai, Revision: "128078"},
		"civitai:101055@128078":                         {Source: Civitai, Repository: "101055", Revision: "128078"},
		"urn:air:sdxl:checkpoint:civitai:101055@128078": {Source: Civitai, Repository: "101055", Revision: "128078"},
		"air:sdxl:lora:CIVITAI:1@2.safetensors":         {Source: Civitai, Repository: "1", Revision: "2"},
		"urn:air:sdxl:checkpoint:huggingface:a/b@main:c.safetensors": {Source: HuggingFace, Repository: "a/b", Revision: "main",
			File: "c.safetensors"},
		"https://civitai.com/models/1/name?modelVersionId=2":           {Source: Civitai, Repository: "1", Revision: "2"},
		"https://www.civitai.com/api/download/models/2?type=Model&a=b": {Source: Civitai, Revision: "2"},
		"https://example.com/x/y.safetensors?token=S&v=1": {Source: Web, File: "y.safetensors",
			URL: "https://example.com/x/y.safetensors?token=S&v=1"},
	} {
		got, err := Parse(text)
		require.NoError(t, err, text)
		want.Text = text
		assert.Equal(t, want, got, text)
		again, err := Parse(got.String())
		require.NoError(t, err, "%s is %s", text, got)
		assert.Equal(t, got.String(), again.String(), text)
	}
	for text, says := range map[string]string{
		"":                                    "a repository is written owner/name",
		"model":                               "a repository is written owner/name",
		"a/b/c":                               "a repository is written owner/name",
		"../b":                                "a repository is written owner/name",
		"a/..":                                "a repository is written owner/name",
		"/a/b":                                "a repository is written owner/name",
		"a/b--c":                              `no "--"`,
		"a/b.git":                             "no repository is called so",
		"a/" + strings.Repeat("x", 100):       "at most 96 characters",
		"models/x.safetensors":                "write hf:models/x.safetensors",
		"a/b@":                                "is no branch, tag or commit",
		"a/b@../../x":                         "is no branch, tag or commit",
		"a/b@x//y":                            "is no branch, tag or commit",
		"a/b:":                                "is no path of a file",
		"a/b:../c.safetensors":                "is no path of a file",
		"a/b:/etc/passwd":                     "is no path of a file",
		`a/b:c\d`:                             "is no path of a file",
		"a/b:c/./d":                           "is no path of a file",
		"a/b:c\x00d":                          "is no path of a file",
		"civitai:x":                           "write civitai:VERSION",
		"civitai:1@":                          "write civitai:VERSION",
		"civitai:@1":                          "write civitai:VERSION",
		"civitai:99999999999999999999":        "write civitai:VERSION",
		"urn:air:sdxl:checkpoint":             "an AIR is written",
		"urn:air:sdxl:checkpoint:civitai:1":   "it names no version",
		"urn:air:sdxl:checkpoint:leonardo:1":  "models of \"leonardo\" cannot be fetched",
		"https://civitai.com/models/1":        "it names no version",
		"https://civitai.com/images/1":        "names no model of Civitai",
		"https://huggingface.co/a":            "names no repository",
		"https://huggingface.co/a/b/settings": "names neither a repository nor a file",
		"https://example.com/":                "the address names no file",
		"https://":                            "it is no address",
		"http://%zz":                          "it is no address",
		strings.Repeat("a/", 2000):            "more than 2048 characters",
	} {
		_, err := Parse(text)
		require.ErrorIs(t, err, ErrName, text)
		assert.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), "\n")
	}
}

// TestSecrets: a token in an address is in no error and in no name.
func TestSecrets(t *testing.T) {
	for _, text := range []string{"https://me:SECRET@example.com/", "https://example.com/?token=SECRET",
		"https://civitai.com/models/1?token=SECRET", "https://huggingface.co/a?token=SECRET", "https://exa mple.com/x?token=SECRET",
		"https://%zz?token=SECRET"} {
		_, err := Parse(text)
		require.ErrorIs(t, err, ErrName, text)
		assert.NotContains(t, err.Error(), "SECRET")
	}
	for _, text := range []string{"https://me:SECRET@example.com/x.safetensors#SECRET", "https://example.com/x.safetensors?api_key=SECRET",
		"https://example.com/x.safetensors?X-Amz-Signature=SECRET&X-Amz-Credential=SECRET"} {
		n, err := Parse(text)
		require.NoError(t, err)
		assert.Equal(t, "https://example.com/x.safetensors", n.String())
	}
}

func TestRegistry(t *testing.T) {
	t.Setenv(EnvList, "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("AppData", t.TempDir())
	r, err := Load()
	require.NoError(t, err)
	for _, name := range []string{"sdxl", "sdxl-refiner", "sdxl-vae-fp16-fix", "sdxl-turbo", "taesdxl", "controlnet-canny",
		"ip-adapter-plus"} {
		n, err := r.Parse(name)
		require.NoError(t, err)
		assert.Equal(t, name, n.Entry.Name)
		assert.NotEmpty(t, n.File)
	}
	for _, e := range r.Entries() {
		assert.Equal(t, e.SHA256 == "", e.Size == 0, "%s: both are known, or none", e.Name)
		n, err := Parse(e.Model)
		require.NoError(t, err)
		assert.Equal(t, e.Pickle, IsPickle(n.File), e.Name)
	}
	e, ok := r.ByHash("31E35C80FC")
	assert.True(t, ok)
	assert.Equal(t, "sdxl", e.Name)
	_, ok = r.ByHash("31e35")
	assert.False(t, ok, "too few digits")
	_, err = r.Parse("sdlx")
	require.ErrorIs(t, err, ErrName)
	assert.ErrorContains(t, err, `did you mean "sdxl"?`)

	for text, says := range map[string]string{
		"[x]\nmodel = \"a/b\"":                       "",
		"[sdxl]\nmodel = \"a/b\"":                    "",
		"[x]":                                        "model",
		"[x]\nmodel = \"sdxl\"":                      "owner/name",
		"[X]\nmodel = \"a/b\"":                       "lower-case",
		"[nano]\nmodel = \"a/b\"":                    "part of the program",
		"[x]\nmodel = \"a/b\"\nsha = \"1\"":          `did you mean "sha256"?`,
		"[x]\nmodel = \"a/b\"\nsha256 = \"1\"":       "64 hexadecimal digits",
		"[x]\nmodel = \"a/b\"\nsize = -1":            "number of bytes",
		"[x]\nmodel = \"a/b:c.ckpt\"\npickle = true": "needs the sha256",
		"[x]\nmodel = \"a/b\"\nsize = \"many\"":      "size",
		"[x":                                         "expected",
		"x = 1":                                      "x",
		"[x]\nmodel = \"a/b@../c\"\nabout = \"\\u001b[2J\"": "branch",
	} {
		path := filepath.Join(t.TempDir(), "models.toml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		t.Setenv(EnvList, path)
		r, err := Load()
		if says == "" {
			require.NoError(t, err, text)
			n, err := r.Parse(strings.Trim(strings.SplitN(text, "]", 2)[0], "["))
			require.NoError(t, err)
			assert.Equal(t, "a/b", n.Repository)
			assert.True(t, n.Entry.Own)
			continue
		}
		require.ErrorContains(t, err, says, text)
		assert.ErrorContains(t, err, path)
	}
	t.Setenv(EnvList, filepath.Join(t.TempDir(), "none.toml"))
	_, err = Load()
	require.ErrorIs(t, err, os.ErrNotExist, "a list that is named must be there")
}

// FuzzParse: no name leads outside of its folder, and each can be written and read again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"a/b@main:c.safetensors", "civitai:1@2", "urn:air:sdxl:lora:civitai:1@2",
		"https://hf.co/a/b/resolve/main/c.bin",
		"https://example.com/a.safetensors?token=SECRET", "hf:a/b", "sdxl", "a/b:../c", "urn:air:x:y:huggingface:a/b@c:d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil {
			require.ErrorIs(t, err, ErrName)
			return
		}
		for _, part := range []string{n.Repository, n.Revision, n.File} {
			require.False(t, n.Source != Web && (strings.Contains(part, "..") && !strings.Contains(part, ".../") && part != n.File) ||
				strings.HasPrefix(part, "/") || strings.ContainsAny(part, "\\\x00"), "%q", part)
		}
		require.True(t, n.File == "" || n.File == Whole || filepath.IsLocal(filepath.FromSlash(n.File)), "%q", n.File)
		again, err := Parse(n.String())
		require.NoError(t, err, "%q is %q", text, n)
		require.Equal(t, n.String(), again.String())
	})
}
