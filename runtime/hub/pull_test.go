package hub

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/hubtest"
)

const repo = "stabilityai/sdxl-test"

// TestPullFile fetches one file in the layout of huggingface_hub.
func TestPullFile(t *testing.T) {
	m := newMachine(t)
	weights := hubtest.Safetensors(1, 400_000)
	commit := m.Commit(repo, "main", map[string][]byte{"base.safetensors": weights, "README.md": []byte("read me")})
	model := m.pull(repo, nil)
	holds(t, model.Path, weights)
	assert.Equal(t, filepath.Join(m.roots.Hub, "models--stabilityai--sdxl-test", "snapshots", commit, "base.safetensors"), model.Path)
	assert.Equal(t, []string{"main"}, model.Refs)
	assert.Equal(t, int64(400_000), model.Size)
	assert.Equal(t, hubtest.SHA256(weights), model.SHA256)
	assert.ElementsMatch(t, []string{"models--stabilityai--sdxl-test/blobs/" + hubtest.SHA256(weights),
		"models--stabilityai--sdxl-test/refs/main", "models--stabilityai--sdxl-test/trees/" + commit + ".json",
		"models--stabilityai--sdxl-test/snapshots/" + commit + "/base.safetensors"}, m.left())
	target, err := os.Readlink(model.Path)
	require.NoError(t, err)
	assert.Equal(t, filepath.FromSlash("../../blobs/"+hubtest.SHA256(weights)), target)
	ref, err := os.ReadFile(filepath.Join(m.roots.Hub, "models--stabilityai--sdxl-test", "refs", "main"))
	require.NoError(t, err)
	assert.Equal(t, commit, string(ref))
	last := m.seen[len(m.seen)-1]
	assert.Equal(t, int64(400_000), last.Done)
	assert.Equal(t, int64(400_000), last.Total)

	m.Requests()
	again := m.pull(repo, nil)
	assert.Equal(t, model, again)
	assert.Empty(t, m.Requests(), "what is there is not asked for")
}

// files of a diffusers folder with two variants.
func folder() map[string][]byte {
	index := `{"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet2DConditionModel"],
		"vae": ["diffusers", "AutoencoderKL"], "text_encoder": ["transformers", "CLIPTextModel"]}`
	return map[string][]byte{"model_index.json": []byte(index), "unet/config.json": []byte("{}"), "vae/config.json": []byte("{ }"),
		"unet/diffusion_pytorch_model.safetensors": hubtest.Safetensors(1, 40_000), "README.md": []byte("x"),
		"unet/diffusion_pytorch_model.fp16.safetensors":     hubtest.Safetensors(2, 20_000),
		"unet/diffusion_pytorch_model.bin":                  hubtest.Bytes(3, 5000),
		"vae/diffusion_pytorch_model.safetensors":           hubtest.Safetensors(4, 8000),
		"text_encoder/model.safetensors":                    hubtest.Safetensors(5, 8000),
		"text_encoder/model.fp16.safetensors":               hubtest.Safetensors(6, 4000),
		"text_encoder/config.json":                          []byte("{  }"),
		"text_encoder/openvino_model.bin":                   hubtest.Bytes(7, 5000),
		"tokenizer/vocab.json":                              []byte("{   }"),
		"tokenizer/merges.txt":                              []byte("a b"),
		"picture.png":                                       hubtest.Bytes(8, 5000),
		"safety_checker/model.safetensors":                  hubtest.Safetensors(9, 4000),
		"unet/diffusion_pytorch_model.safetensors.notes.md": []byte("x")}
}

// TestPullFolder fetches one variant of a diffusers folder.
func TestPullFolder(t *testing.T) {
	small := []string{"model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json", "tokenizer/vocab.json",
		"tokenizer/merges.txt"}
	for variant, weights := range map[string][]string{
		"": {"unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"},
		"fp16": {"unet/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.safetensors",
			"text_encoder/model.fp16.safetensors"},
	} {
		m := newMachine(t)
		m.SetPageSize(3) // the listing comes in pages
		commit := m.Commit(repo, "main", folder())
		model := m.pull(repo, func(o *Options) { o.Variant = variant })
		assert.Equal(t, "", model.File)
		assert.ElementsMatch(t, append(weights, small...), m.roots.Repo(nameOf(t, repo)).FileList(commit), variant)
		for file, data := range folder() {
			if m.roots.Repo(nameOf(t, repo)).Has(commit, file, 0) {
				holds(t, filepath.Join(model.Path, file), data)
			}
		}
	}
	m := newMachine(t)
	m.Commit(repo, "main", folder())
	text := m.fails(repo, ErrUnavailable, func(o *Options) { o.Variant = "int8" })
	assert.Contains(t, text, "unet has no int8 weights; there is plain, fp16")
}

// TestSeveralModels: a name that may mean several files is an error that lists them.
func TestSeveralModels(t *testing.T) {
	m := newMachine(t)
	files := folder()
	files["base.safetensors"] = hubtest.Safetensors(1, 3000)
	files["base.ckpt"] = hubtest.Bytes(1, 3000)
	commit := m.Commit(repo, "main", files)
	text := m.fails(repo, ErrAmbiguous, nil)
	for _, want := range []string{"--file base.safetensors (2.9 KiB)", "--file . for the diffusers folder", "--variant fp16 for"} {
		assert.Contains(t, text, want)
	}
	assert.NotContains(t, text, "ckpt")
	assert.Empty(t, m.left())
	file := m.pull(repo+":base.safetensors", nil)
	assert.Equal(t, "base.safetensors", file.File)
	assert.Equal(t, file, m.pull(repo, nil), "it is the only one here")
	whole := m.pull(repo+":.", nil)
	assert.Equal(t, filepath.Dir(file.Path), whole.Path)

	_, err := m.roots.Resolve(nameOf(t, repo))
	require.ErrorIs(t, err, ErrAmbiguous)
	at := repo + "@" + commit[:12]
	assert.ErrorContains(t, err, "2 models answer to this name; write one of "+at+":., "+at+":base.safetensors")
	for _, name := range []string{":.", ":base.safetensors", "@main:.", "@" + commit[:8] + ":."} {
		_, err := m.roots.Resolve(nameOf(t, repo+name))
		require.NoError(t, err, name)
	}
}

// TestRevisions tells files of one name in two revisions apart.
func TestRevisions(t *testing.T) {
	m := newMachine(t)
	one, two := hubtest.Safetensors(1, 4000), hubtest.Safetensors(2, 4000)
	first := m.Commit(repo, "main", map[string][]byte{"a.safetensors": one})
	m.pull(repo, nil)
	second := m.Commit(repo, "main", map[string][]byte{"a.safetensors": two})
	m.Commit(repo, "refs/pr/1", map[string][]byte{"a.safetensors": hubtest.Safetensors(3, 4000)})
	assert.Equal(t, first, m.pull(repo, nil).Revision, "what is there is not changed without a word")
	assert.Equal(t, second, m.pull(repo, func(o *Options) { o.Force = true }).Revision)
	m.pull(repo+"@refs/pr/1", nil)
	for name, data := range map[string][]byte{"": two, "@" + first: one, "@" + first[:10]: one, "@main": two,
		"@refs/pr/1": hubtest.Safetensors(3, 4000)} {
		found, err := m.roots.Resolve(nameOf(t, repo+name))
		require.NoError(t, err, name)
		holds(t, found.Path, data)
	}
	assert.Len(t, m.roots.List(), 3)

	n := newMachine(t) // only a commit was pulled: the name without it is not known to mean it
	n.Commit(repo, "main", map[string][]byte{"a.safetensors": one})
	commit := n.Commit(repo, "main", map[string][]byte{"a.safetensors": two})
	n.pull(repo+"@"+commit, nil)
	_, err := n.roots.Resolve(nameOf(t, repo))
	require.ErrorIs(t, err, ErrNotPulled)
	assert.ErrorContains(t, err, "write "+repo+"@"+commit[:12])
}

// TestRevisionMoves notices that a branch moves on during a pull.
func TestRevisionMoves(t *testing.T) {
	m := newMachine(t)
	one := hubtest.Safetensors(1, 4000)
	first := m.Commit(repo, "main", map[string][]byte{"a.safetensors": one})
	m.SetFault(func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n == 1 && strings.Contains(r.URL.Path, "/resolve/") {
			m.Commit(repo, "main", map[string][]byte{"a.safetensors": hubtest.Safetensors(2, 4000)})
		}
		return false
	})
	model := m.pull(repo, nil)
	assert.Equal(t, first, model.Revision)
	holds(t, model.Path, one)
	assert.Contains(t, m.said(), "main has moved on from "+first[:12])
}
