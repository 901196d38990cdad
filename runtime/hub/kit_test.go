package hub

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/download"
	"github.com/daguerre-go/daguerre/internal/hubcache"
	"github.com/daguerre-go/daguerre/internal/hubtest"
	"github.com/daguerre-go/daguerre/internal/modelname"
)

// machine is one machine with its caches, and the hub that it asks.
type machine struct {
	*hubtest.Server
	t     *testing.T
	roots hubcache.Roots

	mu    sync.Mutex
	notes []string
	seen  []Progress
}

// newMachine makes empty caches and an empty hub.
func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, Server: hubtest.New(), roots: hubcache.Roots{Hub: filepath.Join(dir, "hub"), Own: filepath.Join(dir, "own")}}
	t.Cleanup(m.Close)
	for _, key := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "CIVITAI_TOKEN",
		"CIVITAI_API_TOKEN", "CIVITAI_API_KEY", "HF_HUB_DISABLE_SYMLINKS"} {
		t.Setenv(key, "")
	}
	t.Setenv("HF_TOKEN_PATH", filepath.Join(t.TempDir(), "token"))
	t.Setenv(EnvEndpoint, m.Hub.URL)
	t.Setenv(envCivitaiEndpoint, m.Hub.URL)
	t.Setenv("DAGUERRE_MODELS", m.file("models.toml", ""))
	return m
}

func (m *machine) file(name, text string) string {
	path := filepath.Join(m.t.TempDir(), name)
	require.NoError(m.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// options are those of a machine that is in no hurry, with small chunks over all connections at once.
func (m *machine) options() Options {
	patience := download.Patient
	patience.Pause = func(int) time.Duration { return time.Millisecond }
	patience.Stall = 30 * time.Second
	return Options{roots: &m.roots, patience: &patience, chunk: 64 << 10, alone: -1, Note: func(text string) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.notes = append(m.notes, text)
	}, Progress: func(p Progress) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.seen = append(m.seen, p)
	}}
}

func (m *machine) said() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.notes, "\n")
}

// pull pulls a model that must be right.
func (m *machine) pull(name string, change func(*Options)) Model {
	m.t.Helper()
	o := m.options()
	if change != nil {
		change(&o)
	}
	model, err := Pull(m.t.Context(), name, o)
	require.NoError(m.t, err)
	return model
}

// fails pulls a model and returns the error, which is one line and matches is.
func (m *machine) fails(name string, is error, change func(*Options)) string {
	m.t.Helper()
	o := m.options()
	if change != nil {
		change(&o)
	}
	_, err := Pull(m.t.Context(), name, o)
	require.ErrorIs(m.t, err, is)
	assert.NotContains(m.t, err.Error(), "\n")
	return err.Error()
}

// left lists what lies in the caches but locks.
func (m *machine) left() (files []string) {
	for _, root := range []string{m.roots.Hub, m.roots.Own} {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error { // a cache that is not there is empty
			if err == nil && !d.IsDir() && !strings.HasSuffix(path, ".lock") {
				rel, _ := filepath.Rel(root, path) // it lies below
				files = append(files, filepath.ToSlash(rel))
			}
			return nil
		})
	}
	return files
}

// holds makes sure that a file has these bytes.
func holds(t *testing.T, path string, data []byte) {
	t.Helper()
	have, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, hubtest.SHA256(data), hubtest.SHA256(have))
}

func nameOf(t *testing.T, text string) modelname.Name {
	t.Helper()
	n, err := modelname.Parse(text)
	require.NoError(t, err)
	return n
}
