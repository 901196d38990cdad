package hub

import (
	"os"
	"path/filepath"
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
	assert.Equal(t, Model{Origin: model.Origin, Path: model.Path, Refs: []string{"main"}, Size: 400_000, SHA256: hubtest.SHA256(weights)}, model)
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
