//go:build !race

package native_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// kept lists the whole files of a cache of weights, and the unfinished ones.
func kept(t *testing.T, folder string) (whole, unfinished []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".weights":
			whole = append(whole, filepath.Join(folder, e.Name()))
		case ".part":
			unfinished = append(unfinished, e.Name())
		}
	}
	return whole, unfinished
}

// computed opens a model, computes everything with it, and tells how many bytes were mapped.
func computed(t *testing.T, b *native.Backend, cfg backend.ModelConfig) (out map[string][]float32, mapped int64) {
	t.Helper()
	m, err := b.Open(t.Context(), cfg)
	require.NoError(t, err)
	out = everything(t, m.(*native.Model), nil)
	for _, c := range m.MemoryStats().Components {
		mapped += c.Mapped
	}
	require.NoError(t, m.Close())
	return out, mapped
}

// TestWeightCacheSameBits: what is mapped from the cache computes the same bits as what was converted, in every type and residency. A
// second start writes nothing.
func TestWeightCacheSameBits(t *testing.T) {
	b, cfg := nanoBackend(t)
	for _, typ := range []backend.Type{backend.TypeAuto, backend.TypeQ8_0} {
		for _, residency := range []backend.Residency{backend.ResidencyResident, backend.ResidencyOnDemand, backend.ResidencyMmap} {
			cfg := everyResidency(cfg, residency, 0)
			cfg.UNetType, cfg.TextType, cfg.Threads = typ, typ, 1
			want, before := computed(t, b, cfg)
			folder := t.TempDir()
			cfg.WeightCache = backend.WeightCache{Folder: folder, MostBytes: 1 << 30}
			first, mapped := computed(t, b, cfg)
			assert.Equal(t, before, mapped, "nothing of the cache at first")
			require.Equal(t, want, first, "%s, %s", typ, residency)
			whole, unfinished := kept(t, folder)
			assert.NotEmpty(t, whole)
			assert.Empty(t, unfinished)
			old := time.Now().Add(-time.Hour)
			for _, path := range whole {
				require.NoError(t, os.Chtimes(path, old, old))
			}
			second, mapped := computed(t, b, cfg)
			assert.Greater(t, mapped, before, "%s, %s", typ, residency)
			require.Equal(t, want, second, "%s, %s", typ, residency)
			for _, path := range whole {
				info, err := os.Stat(path)
				require.NoError(t, err)
				assert.True(t, info.ModTime().Equal(old), "it was not written again")
				used, err := os.Stat(path + ".used")
				require.NoError(t, err)
				assert.True(t, used.ModTime().After(old))
			}
		}
	}
}

// TestWeightCacheKeepsApart: other types, another precision, another model's file and what is streamed get nothing of it.
func TestWeightCacheKeepsApart(t *testing.T) {
	b, cfg := nanoBackend(t)
	folder := t.TempDir()
	cfg.WeightCache, cfg.Threads = backend.WeightCache{Folder: folder, MostBytes: 1 << 30}, 1
	data, err := os.ReadFile(cfg.Files.Model)
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), "copy.safetensors")
	require.NoError(t, os.WriteFile(copied, data, 0o600))
	old := time.Now().Add(-time.Hour)
	files := 0
	for i, edit := range []func(*backend.ModelConfig){
		func(*backend.ModelConfig) {},
		func(c *backend.ModelConfig) { c.UNetType = backend.TypeQ8_0 },
		func(c *backend.ModelConfig) { c.UNetType = backend.TypeQ4_0 },
		func(c *backend.ModelConfig) { c.Precision = backend.PrecisionF16 },
		func(c *backend.ModelConfig) { c.Files.Model = copied },
		func(c *backend.ModelConfig) { // the same file, written again
			c.Files.Model = copied
			require.NoError(t, os.Chtimes(copied, old, old))
		},
	} {
		cfg := cfg
		edit(&cfg)
		plain := cfg
		plain.WeightCache = backend.WeightCache{}
		want, before := computed(t, b, plain)
		got, _ := computed(t, b, cfg)
		require.Equal(t, want, got, i)
		whole, _ := kept(t, folder)
		assert.Greater(t, len(whole), files, "case %d has files of its own", i)
		files = len(whole)
		again, mapped := computed(t, b, cfg)
		require.Equal(t, want, again, i)
		assert.Greater(t, mapped, before, i)
	}
	streamed := everyResidency(cfg, backend.ResidencyStream, 64<<20)
	streamed.WeightCache.Folder = t.TempDir()
	computed(t, b, streamed)
	whole, _ := kept(t, streamed.WeightCache.Folder)
	assert.Empty(t, whole)
}

// TestWeightCacheFaults: files that are damaged, folders that cannot be written to, and limits. None is an error, and no bit changes.
func TestWeightCacheFaults(t *testing.T) {
	b, cfg := nanoBackend(t)
	cfg.Threads = 1
	want, before := computed(t, b, cfg)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, cache := range map[string]backend.WeightCache{
		"no folder":       {Folder: filepath.Join(t.TempDir(), "nowhere"), MostBytes: 1 << 30},
		"a file":          {Folder: file, MostBytes: 1 << 30},
		"nothing written": {Folder: t.TempDir(), MostBytes: -1},
		"too small":       {Folder: t.TempDir(), MostBytes: 100},
		"not worth it":    {Folder: t.TempDir(), MostBytes: 1 << 30, LeastBytes: 1 << 30},
	} {
		cfg.WeightCache = cache
		for range 2 {
			got, mapped := computed(t, b, cfg)
			require.Equal(t, want, got, name)
			assert.Equal(t, before, mapped, name)
		}
	}
	for name, damage := range map[string]func(path string, size int64) error{
		"cut short":        func(path string, size int64) error { return os.Truncate(path, size-1) },
		"longer":           func(path string, size int64) error { return os.Truncate(path, size+1) },
		"empty":            func(path string, _ int64) error { return os.Truncate(path, 0) },
		"of another build": func(path string, _ int64) error { return overwrite(path, 60, []byte("x")) },
		"another version":  func(path string, _ int64) error { return overwrite(path, 17, []byte("2")) },
		"a folder": func(path string, _ int64) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		},
	} {
		folder := t.TempDir()
		cfg.WeightCache = backend.WeightCache{Folder: folder, MostBytes: 1 << 30}
		computed(t, b, cfg)
		whole, _ := kept(t, folder)
		require.NotEmpty(t, whole)
		for _, path := range whole {
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.NoError(t, damage(path, info.Size()), name)
		}
		got, mapped := computed(t, b, cfg)
		require.Equal(t, want, got, name)
		assert.Equal(t, before, mapped, "%s: it is not used", name)
		_, unfinished := kept(t, folder)
		assert.Empty(t, unfinished, name)
	}
}

func overwrite(path string, at int64, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, at); err != nil {
		return err
	}
	return f.Close()
}

// TestWeightCacheOfAFileThatChanged: a model that was opened, and whose file changed before its weights were loaded, is refused. It gets
// nothing of the old file's cache.
func TestWeightCacheOfAFileThatChanged(t *testing.T) {
	b, cfg := nanoBackend(t)
	data, err := os.ReadFile(cfg.Files.Model)
	require.NoError(t, err)
	cfg = everyResidency(cfg, backend.ResidencyOnDemand, 0)
	cfg.Files.Model = filepath.Join(t.TempDir(), "model.safetensors")
	cfg.WeightCache = backend.WeightCache{Folder: t.TempDir(), MostBytes: 1 << 30}
	require.NoError(t, os.WriteFile(cfg.Files.Model, data, 0o600))
	computed(t, b, cfg)
	m := openModel(t, b, cfg)
	require.NoError(t, os.WriteFile(cfg.Files.Model, data, 0o600))
	later := time.Now().Add(time.Minute)
	require.NoError(t, os.Chtimes(cfg.Files.Model, later, later))
	err = m.Load(t.Context())
	assert.ErrorContains(t, err, "was changed since it was opened")
}

// TestWeightCacheRemoved: a file of the cache that is removed while it is mapped stays valid for the model that uses it.
func TestWeightCacheRemoved(t *testing.T) {
	b, cfg := nanoBackend(t)
	cfg.WeightCache = backend.WeightCache{Folder: t.TempDir(), MostBytes: 1 << 30}
	want, _ := computed(t, b, cfg)
	m := openModel(t, b, cfg)
	require.NoError(t, os.RemoveAll(cfg.WeightCache.Folder))
	require.Equal(t, want, everything(t, m, nil))
}

// killedKey names the folder of a cache for a process that TestWeightCacheKilled kills.
const killedKey = "DAGUERRE_TEST_WEIGHT_CACHE"

// TestWeightCacheKilled kills processes while they fill a cache. Whatever is there under its name is whole afterwards.
func TestWeightCacheKilled(t *testing.T) {
	if folder := os.Getenv(killedKey); folder != "" { // the process
		b, cfg := nanoBackend(t)
		for {
			cfg.WeightCache = backend.WeightCache{Folder: folder, MostBytes: 1 << 30}
			m, err := b.Open(t.Context(), cfg)
			require.NoError(t, err)
			require.NoError(t, m.Close())
			whole, _ := kept(t, folder)
			for _, path := range whole {
				require.NoError(t, os.Remove(path))
			}
		}
	}
	b, cfg := nanoBackend(t)
	want, before := computed(t, b, cfg)
	folder := t.TempDir()
	for range 5 {
		c := exec.Command(os.Args[0], "-test.run=^TestWeightCacheKilled$")
		c.Env = append(os.Environ(), killedKey+"="+folder)
		require.NoError(t, c.Start())
		require.Eventually(t, func() bool { // it is at work
			whole, unfinished := kept(t, folder)
			return len(whole)+len(unfinished) > 0
		}, time.Minute, time.Millisecond)
		time.Sleep(rand.N(20 * time.Millisecond))
		require.NoError(t, c.Process.Kill())
		_ = c.Wait()
		cfg.WeightCache = backend.WeightCache{Folder: folder, MostBytes: 1 << 30}
		for range 2 { // with what is there, and with all
			got, _ := computed(t, b, cfg)
			require.Equal(t, want, got)
		}
		_, mapped := computed(t, b, cfg)
		assert.Greater(t, mapped, before)
		whole, unfinished := kept(t, folder)
		for _, name := range unfinished {
			assert.True(t, strings.Contains(name, ".weights."), "an unfinished file has no name that is looked for")
			require.NoError(t, os.Remove(filepath.Join(folder, name)))
		}
		for _, path := range whole {
			require.NoError(t, os.Remove(path))
		}
	}
}
