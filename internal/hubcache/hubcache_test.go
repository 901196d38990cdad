package hubcache

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/modelname"
)

var (
	older = strings.Repeat("a", 40)
	newer = strings.Repeat("b", 40)
)

const (
	weights = "one.safetensors"
	others  = "two.safetensors"
)

// put pulls a file into a revision, and notes it in the revision's listing.
func put(t *testing.T, r Repo, commit, file, data string) (sum string) {
	t.Helper()
	h := sha256.Sum256([]byte(data))
	sum = hex.EncodeToString(h[:])
	require.NoError(t, os.MkdirAll(filepath.Join(r.Dir(), blobs), 0o755))
	require.NoError(t, os.WriteFile(r.Blob(sum), []byte(data), 0o600))
	require.NoError(t, r.Point(commit, file, sum))
	require.NoError(t, r.SetTree(commit, Tree{Files: map[string]TreeFile{file: {Size: int64(len(data)), SHA256: sum}}}))
	return sum
}

// eachWay runs a test with links to blobs, and without.
func eachWay(t *testing.T, test func(t *testing.T, roots Roots)) {
	t.Helper()
	for name, without := range map[string]bool{"links": false, "no links": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			test(t, Roots{Hub: filepath.Join(dir, "hub"), Own: filepath.Join(dir, "own"), NoSymlinks: without})
		})
	}
}

func named(revision, file string) modelname.Name {
	return modelname.Name{Source: modelname.HuggingFace, Repository: "owner/name", Revision: revision, File: file}
}

// TestResolve finds what a name means among what was pulled, and says what there is where it means nothing, or several things.
func TestResolve(t *testing.T) {
	eachWay(t, func(t *testing.T, roots Roots) {
		r := roots.Repo(named("", ""))
		_, err := roots.Resolve(named("", ""))
		require.ErrorIs(t, err, library.ErrNotFound)
		require.ErrorContains(t, err, "it was not pulled")
		put(t, r, older, weights, "first")
		_, err = roots.Resolve(named("", ""))
		require.ErrorContains(t, err, "not known to be the main one", "a revision without a branch is named only by itself")
		require.NoError(t, r.SetRef("main", newer))
		require.NoError(t, r.SetRef("pr/1", newer))
		sum := put(t, r, newer, weights, "second")
		put(t, r, newer, "text.json", "{}")
		f, err := roots.Resolve(named("", ""))
		require.NoError(t, err)
		assert.Equal(t, []string{"main", "pr/1"}, f.Refs)
		assert.Equal(t, sum, f.SHA256)
		assert.Equal(t, int64(len("second")), f.Size)
		assert.Equal(t, "owner/name@bbbbbbbbbbbb:"+weights, f.Name())
		origin, ok := OriginOf(f.Path)
		assert.True(t, ok)
		assert.Equal(t, f.Origin, origin)

		put(t, r, newer, others, "third")
		for _, c := range []struct {
			name modelname.Name
			file string // "": none
			says string
		}{
			{named("", ""), "", "2 models answer to this name"},
			{named("", others), others, ""},
			{named("main", others), others, ""},
			{named(older[:7], ""), weights, ""},
			{named(older[:6], ""), "", "revision aaaaaa was not pulled; there is aaaaaaaaaaaa, bbbbbbbbbbbb"},
			{named("v9", ""), "", "revision v9 was not pulled"},
			{named(older, others), "", "has no such file here"},
			{named("", "text.json"), "text.json", ""},
			{named("", modelname.Whole), "", "the folder of this revision is no model"},
		} {
			f, err := roots.Resolve(c.name)
			if c.says != "" {
				assert.ErrorContains(t, err, c.says)
				continue
			}
			require.NoError(t, err)
			assert.Equal(t, c.file, f.File)
		}
		assert.Len(t, roots.List(), 3)
		assert.Len(t, roots.Related(f), 2)
	})
}

// TestAFileOfAnotherSizeHasNoName: what was cut off after its pull is told, and not opened.
func TestAFileOfAnotherSizeHasNoName(t *testing.T) {
	eachWay(t, func(t *testing.T, roots Roots) {
		r := roots.Repo(named("", ""))
		put(t, r, newer, weights, "all of it")
		require.NoError(t, r.SetRef("main", newer))
		require.NoError(t, os.WriteFile(filepath.Join(r.Snapshot(newer), weights), []byte("half"), 0o600))
		_, err := roots.Resolve(named("", ""))
		require.ErrorIs(t, err, library.ErrUnreadable)
		require.ErrorContains(t, err, "has not the 9 bytes that it must have")
	})
}

// TestRemove frees the bytes that nothing else names, and leaves those that another revision names.
func TestRemove(t *testing.T) {
	eachWay(t, func(t *testing.T, roots Roots) {
		r := roots.Repo(named("", ""))
		put(t, r, older, weights, "the same")
		put(t, r, newer, weights, "the same")
		put(t, r, newer, others, "another")
		require.NoError(t, r.SetRef("main", newer))
		f, err := roots.Resolve(named("", weights))
		require.NoError(t, err)
		freed, err := roots.Remove(t.Context(), f)
		require.NoError(t, err)
		if r.Links() {
			assert.Zero(t, freed, "the older revision names the same bytes")
		} else {
			assert.Equal(t, int64(len("the same")), freed, "each revision has a copy of its own")
		}
		f, err = roots.Resolve(named(older, ""))
		require.NoError(t, err)
		data, err := os.ReadFile(f.Path)
		require.NoError(t, err)
		assert.Equal(t, "the same", string(data))

		for _, f := range roots.List() {
			_, err := roots.Remove(t.Context(), f)
			require.NoError(t, err)
		}
		assert.Empty(t, roots.List())
		_, err = os.Stat(r.Dir())
		assert.ErrorIs(t, err, os.ErrNotExist, "nothing is left of the repository")
	})
}

// TestOriginOf tells files of the cache from others that only look like them.
func TestOriginOf(t *testing.T) {
	for path, want := range map[string]string{
		"/c/hub/models--o--n/snapshots/main/unet/x.safetensors": "o/n main unet/x.safetensors",
		"/c/hub/models--o--n/snapshots/main":                    "o/n main ",
		"/c/own/civitai--7/snapshots/8/x.safetensors":           "7 8 x.safetensors",
		"/c/hub/models--o--n/blobs/x":                           "",
		"/c/snapshots/main/x.safetensors":                       "",
		"/x.safetensors":                                        "",
	} {
		o, ok := OriginOf(path)
		assert.Equal(t, want != "", ok, path)
		if ok {
			assert.Equal(t, want, o.Repository+" "+o.Revision+" "+o.File, path)
		}
	}
}

// TestRefsAreNoPaths: a file of refs may hold anything.
func TestRefsAreNoPaths(t *testing.T) {
	r := Roots{Hub: t.TempDir()}.Repo(named("", ""))
	require.NoError(t, os.MkdirAll(filepath.Join(r.Dir(), refs), 0o755))
	for _, text := range []string{"", "..", "../../other", `a\b`, "a/b"} {
		require.NoError(t, os.WriteFile(filepath.Join(r.Dir(), refs, "main"), []byte(text), 0o600))
		assert.Empty(t, r.Ref("main"), "%q", text)
	}
}

// TestFromEnv reads the folders that huggingface_hub reads.
func TestFromEnv(t *testing.T) {
	for _, c := range []struct {
		env map[string]string
		hub string
	}{
		{map[string]string{"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"},
		{map[string]string{"HUGGINGFACE_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"},
		{map[string]string{"HF_HOME": "/b"}, "/b/hub"},
		{map[string]string{"HF_HOME": "$PLACE/b", "PLACE": "/p"}, "/p/b/hub"},
		{map[string]string{"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"},
		{map[string]string{"HOME": "/h"}, "/h/.cache/huggingface/hub"},
		{map[string]string{"HOME": "/h", "HF_HOME": "~/b"}, "/h/b/hub"},
	} {
		for _, name := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HF_HUB_DISABLE_SYMLINKS"} {
			t.Setenv(name, "")
		}
		for name, value := range c.env {
			t.Setenv(name, value)
		}
		assert.Equal(t, c.hub, filepath.ToSlash(FromEnv().Hub), "%v", c.env)
	}
	for value, want := range map[string]bool{"": false, "0": false, "1": true, "yes": true, "True": true, "on": true, "2": false} {
		t.Setenv("HF_HUB_OFFLINE", value)
		assert.Equal(t, want, Offline(), "%q", value)
	}
}
