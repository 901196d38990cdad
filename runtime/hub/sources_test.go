package hub

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/hubtest"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelname"
)

// TestCivitai fetches versions of Civitai.
func TestCivitai(t *testing.T) {
	m := newMachine(t)
	weights := hubtest.Safetensors(1, 100_000)
	m.SetVersion("128078", hubtest.Version{Model: 101055, Files: []hubtest.File{
		{Name: "style.ckpt", Type: "Model", Data: hubtest.Bytes(1, 5000), Primary: true}, {Name: "style.safetensors", Type: "Model",
			Data: weights},
		{Name: "style.vae.safetensors", Type: "VAE", Data: hubtest.Safetensors(2, 5000)}, {Name: "images.zip", Type: "Training Data",
			Data: weights}}})
	want := hubcache.Origin{Source: modelname.Civitai, Repository: "101055", Revision: "128078", File: "style.safetensors"}
	for _, name := range []string{"civitai:128078", "civitai:101055@128078", "urn:air:sdxl:checkpoint:civitai:101055@128078",
		"https://civitai.com/models/101055/some-name?modelVersionId=128078", "https://civitai.com/api/download/models/128078?type=Model"} {
		model := m.pull(name, nil)
		holds(t, model.Path, weights)
		assert.Equal(t, want, model.Origin, name)
		assert.True(t, strings.HasPrefix(model.Path, m.roots.Own), "not into the cache of another program")
	}
	assert.Equal(t, 1, strings.Count(m.said(), "is taken"), "the others find it here")
	vae := newMachine(t)
	vae.SetVersion("5", hubtest.Version{Model: 4, Files: []hubtest.File{{Name: "a.safetensors", Type: "Model", Data: weights, Primary: true},
		{Name: "b.safetensors", Type: "VAE", Data: hubtest.Safetensors(2, 5000)}}})
	assert.Equal(t, "b.safetensors", vae.pull("civitai:5", func(o *Options) { o.File = "b.safetensors" }).File)
	assert.Contains(t, vae.fails("civitai:5", ErrUnavailable, func(o *Options) { o.File, o.Force = "c.safetensors", true }), "did you mean")

	m = newMachine(t)
	m.SetVersion("1", hubtest.Version{Model: 2, Files: []hubtest.File{{Name: "only.pt", Type: "Model", Data: hubtest.Bytes(1, 5000)}}})
	m.SetVersion("3", hubtest.Version{Model: 2, Files: []hubtest.File{{Name: "a.safetensors", Type: "Model", Data: weights,
		SHA256: hubtest.SHA256([]byte("x"))}}})
	m.SetVersion("4", hubtest.Version{Model: 2, Private: true, Files: []hubtest.File{{Name: "a.safetensors", Type: "Model", Data: weights}}})
	m.SetVersion("6", hubtest.Version{Model: 2, Files: []hubtest.File{{Name: "../../a.safetensors", Type: "Model", Data: weights}}})
	assert.Contains(t, m.fails("civitai:1", ErrPickle, nil), "only.pt is a pickle")
	assert.Contains(t, m.fails("civitai:3", ErrUnverified, nil), "nothing was kept")
	assert.Contains(t, m.fails("civitai:4", ErrAccess, nil), "CIVITAI_TOKEN")
	assert.Contains(t, m.fails("civitai:6", ErrUnavailable, nil), "no file of weights")
	m.fails("civitai:99", ErrUnavailable, nil)
	m.fails("civitai:7@1", ErrUnavailable, nil)
	m.SetToken("civ-SECRET")
	t.Setenv("CIVITAI_TOKEN", "civ-SECRET")
	holds(t, m.pull("civitai:4", nil).Path, weights)
}

// TestAddress fetches files of plain addresses.
func TestAddress(t *testing.T) {
	m := newMachine(t)
	weights := hubtest.Safetensors(1, 300_000)
	m.SetPage("/models/style.safetensors", weights)
	m.SetPage("/models/old.pt", hubtest.Bytes(1, 5000))
	m.SetPage("/models/page.safetensors", []byte("<!doctype html><title>log in"))
	m.SetPage("/models/torch.safetensors", torchZip(t))
	address := strings.Replace(m.CDN.URL, m.CDN.URL, m.Hub.URL, 1)
	t.Setenv(EnvEndpoint, m.CDN.URL) // so that the address is not the hub's
	model := m.pull(address+"/models/style.safetensors?token=SECRET&v=1", nil)
	holds(t, model.Path, weights)
	assert.Equal(t, hubcache.Origin{Source: modelname.Web, Repository: address + "/models/style.safetensors?v=1",
		Revision: hubtest.SHA256(weights)[:40], File: "style.safetensors"}, model.Origin)
	assert.Contains(t, m.said(), "nobody tells the sum of this file")
	found, err := m.roots.Resolve(nameOf(t, address+"/models/style.safetensors?v=1"))
	require.NoError(t, err)
	assert.Equal(t, model, found)

	right := func(o *Options) { o.SHA256, o.Force = hubtest.SHA256(weights), true }
	holds(t, m.pull(address+"/models/style.safetensors", right).Path, weights)
	n := newMachine(t)
	n.SetPage("/models/style.safetensors", weights)
	t.Setenv(EnvEndpoint, n.CDN.URL)
	wrong := func(o *Options) { o.SHA256 = hubtest.SHA256([]byte("x")) }
	n.fails(n.Hub.URL+"/models/style.safetensors", ErrUnverified, wrong)
	assert.Empty(t, n.left())
	m.fails(address+"/models/old.pt", ErrPickle, nil)
	assert.Contains(t, m.fails(address+"/models/page.safetensors", ErrDownload, nil), "a web page came in the file's place")
	assert.Contains(t, m.fails(address+"/models/torch.safetensors", ErrPickle, nil), "a pickle under a false name")
	m.fails(address+"/models/style.zip", ErrName, nil)
}

// torchZip is a file that torch.save wrote.
func torchZip(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash("../../internal/modelfile/testdata/torch/ck.ckpt"))
	require.NoError(t, err)
	return data
}

// TestPickles refuses the pickles of strangers, and takes them if it is told to, or if a well-known model is one.
func TestPickles(t *testing.T) {
	m := newMachine(t)
	pickle := torchZip(t)
	m.Commit(repo, "main", map[string][]byte{"old.ckpt": pickle})
	m.Commit(repo, "both", map[string][]byte{"old.ckpt": pickle, "new.safetensors": hubtest.Safetensors(1, 4000)})
	text := m.fails(repo, ErrPickle, nil)
	assert.Contains(t, text, "old.ckpt is a pickle, which can run code in other programs. To take it all the same, give --allow-pickle")
	assert.Contains(t, m.fails(repo+"@both:old.ckpt", ErrPickle, nil), "there is new.safetensors")
	assert.Equal(t, "new.safetensors", m.pull(repo+"@both", nil).File)
	assert.Empty(t, m.Requests()[0].Range)
	holds(t, m.pull(repo, func(o *Options) { o.AllowPickle = true }).Path, pickle)

	n := newMachine(t)
	n.Commit(repo, "main", map[string][]byte{"old.ckpt": pickle})
	list := fmt.Sprintf("[mine]\nmodel = %q\nsha256 = %q\npickle = true\n", repo+":old.ckpt", hubtest.SHA256(pickle))
	t.Setenv("DAGUERRE_MODELS", n.file("models.toml", list))
	holds(t, n.pull("mine", nil).Path, pickle)
	t.Setenv("DAGUERRE_MODELS", n.file("models.toml", strings.Replace(list, hubtest.SHA256(pickle), hubtest.SHA256([]byte("x")), 1)))
	n.fails("mine", library.ErrUnreadable, nil) // it is there, and not what the list says
}

// TestWellKnown compares the file of a short name with the sum in the list.
func TestWellKnown(t *testing.T) {
	m := newMachine(t)
	weights := hubtest.Safetensors(1, 4000)
	m.Commit(repo, "main", map[string][]byte{"a.safetensors": weights})
	entry := "[mine]\nmodel = %q\nsize = 4000\nsha256 = %q\n"
	t.Setenv("DAGUERRE_MODELS", m.file("models.toml", fmt.Sprintf(entry, repo+":a.safetensors", hubtest.SHA256([]byte("x")))))
	assert.Contains(t, m.fails("mine", ErrUnverified, nil), "mine stands for "+hubtest.SHA256([]byte("x")))
	assert.Empty(t, m.left())
	t.Setenv("DAGUERRE_MODELS", m.file("models.toml", fmt.Sprintf(entry, repo+":a.safetensors", hubtest.SHA256(weights))))
	holds(t, m.pull("mine", nil).Path, weights)
	assert.Contains(t, m.fails("min", ErrName, nil), `did you mean "mine"?`)
}

// TestAccess is about repositories that want a token.
func TestAccess(t *testing.T) {
	m := newMachine(t)
	weights := hubtest.Safetensors(1, 4000)
	m.Commit(repo, "main", map[string][]byte{"a.safetensors": weights})
	m.Change(repo, func(r *hubtest.Repo) { r.Private = true })
	m.SetToken("hf_SECRET")
	assert.Contains(t, m.fails(repo, ErrAccess, nil), "set HF_TOKEN")
	t.Setenv("HF_TOKEN", "hf_OTHER")
	assert.Contains(t, m.fails(repo, ErrAccess, nil), "the token may not see it")
	t.Setenv("HF_TOKEN", "")
	require.NoError(t, os.WriteFile(os.Getenv("HF_TOKEN_PATH"), []byte("hf_SECRET\n"), 0o600))
	m.Change(repo, func(r *hubtest.Repo) { r.Gated = true })
	assert.Contains(t, m.fails(repo, ErrAccess, nil), "open "+m.Hub.URL+"/"+repo+" in a browser")
	m.Change(repo, func(r *hubtest.Repo) { r.Gated = false })
	holds(t, m.pull(repo, nil).Path, weights)
	for _, r := range m.Requests() {
		assert.False(t, r.CDN && r.Authorization != "", "the token went to another server")
	}
}

// TestWithoutLinks writes files where links would be, and finds them there.
func TestWithoutLinks(t *testing.T) {
	m := newMachine(t)
	m.roots.NoSymlinks = true
	weights := hubtest.Safetensors(1, 4000)
	commit := m.Commit(repo, "main", map[string][]byte{"a.safetensors": weights, "b.safetensors": hubtest.Safetensors(2, 4000)})
	model := m.pull(repo+":a.safetensors", nil)
	st, err := os.Lstat(model.Path)
	require.NoError(t, err)
	assert.True(t, st.Mode().IsRegular())
	assert.Equal(t, hubtest.SHA256(weights), model.SHA256, "the listing tells it")
	assert.NotContains(t, strings.Join(m.left(), " "), "blobs")
	m.Commit(repo, "main", map[string][]byte{"c.safetensors": weights}) // the same bytes in another revision
	m.Requests()
	again := m.pull(repo, func(o *Options) { o.Force = false; o.File = "c.safetensors" })
	holds(t, again.Path, weights)
	for _, r := range m.Requests() {
		assert.False(t, r.CDN, "the bytes are here")
	}
	require.NoError(t, os.WriteFile(model.Path, bytes.Repeat([]byte("x"), 4000), 0o600)) // whoever damages one ...
	_, err = m.roots.Remove(t.Context(), again)
	require.NoError(t, err)
	assert.Equal(t, []string{commit}, m.roots.Repo(nameOf(t, repo)).Revisions())
}

// TestOffline makes no connection where the environment forbids it.
func TestOffline(t *testing.T) {
	m := newMachine(t)
	m.Commit(repo, "main", map[string][]byte{"a.safetensors": hubtest.Safetensors(1, 4000)})
	t.Setenv("HF_HUB_OFFLINE", "1")
	assert.Contains(t, m.fails(repo, ErrOffline, nil), "HF_HUB_OFFLINE forbids connections")
	assert.Empty(t, m.Requests())
	t.Setenv("HF_HUB_OFFLINE", "0")
	model := m.pull(repo, nil)
	t.Setenv("HF_HUB_OFFLINE", "yes")
	assert.Equal(t, model, m.pull(repo, nil))
}

// TestRemove deletes what nothing else names, and nothing else.
func TestRemove(t *testing.T) {
	m := newMachine(t)
	shared, own := hubtest.Safetensors(1, 4000), hubtest.Safetensors(2, 6000)
	m.Commit(repo, "main", map[string][]byte{"a.safetensors": shared})
	first := m.pull(repo, nil)
	m.Commit(repo, "main", map[string][]byte{"b.safetensors": shared, "c.safetensors": own})
	second := m.pull(repo+":b.safetensors", func(o *Options) { o.Force = true })
	third := m.pull(repo+":c.safetensors", nil)
	freed, err := m.roots.Remove(t.Context(), second)
	require.NoError(t, err)
	assert.Zero(t, freed)
	holds(t, first.Path, shared)
	freed, err = m.roots.Remove(t.Context(), third)
	require.NoError(t, err)
	assert.Equal(t, int64(6000), freed)
	holds(t, first.Path, shared)
	freed, err = m.roots.Remove(t.Context(), first)
	require.NoError(t, err)
	assert.Equal(t, int64(4000), freed)
	assert.Empty(t, m.left())
}

// TestOddAnswers: what a hub tells of its files leads nowhere outside.
func TestOddAnswers(t *testing.T) {
	m := newMachine(t)
	files := map[string][]byte{}
	for _, name := range []string{"../../evil.safetensors", "a\\b.safetensors", "/abs.safetensors", "x/../y.safetensors", "C:.safetensors"} {
		files[name] = hubtest.Safetensors(1, 4000)
	}
	m.Commit(repo, "main", files)
	assert.Contains(t, m.fails(repo, ErrUnavailable, nil), "no file of weights")
	m.SetFault(func(_ int, w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/tree/") {
			_, _ = w.Write([]byte(`[{"type":"file","path":"a.safetensors","size":10,"oid":"../../../x","lfs":{"oid":"../../y","size":10}}]`))
			return true
		}
		return false
	})
	m.fails(repo, ErrUnavailable, nil)
}
