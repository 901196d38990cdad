package blobs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func open(t *testing.T) *Store {
	s, err := Open(context.Background(), filepath.Join(t.TempDir(), "store"))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

// TestStore puts, lists, reads and removes files.
func TestStore(t *testing.T) {
	s, ctx := open(t), context.Background()
	require.NoError(t, s.Ready(ctx))
	for _, key := range []string{"a/b/1.png", "a/b/10.png", "a/b/2.png", "a/bc/1.png", "a/1.png"} {
		require.NoError(t, s.Put(ctx, key, []byte(key)))
	}
	for prefix, want := range map[string][]string{"a/b/": {"a/b/1.png", "a/b/10.png", "a/b/2.png"}, "a/b/1": {"a/b/1.png", "a/b/10.png"},
		"a/b/1.": {"a/b/1.png"}, "a/": {"a/1.png"}, "c/": nil, "a/b/3": nil} {
		got, err := s.List(ctx, prefix)
		require.NoError(t, err)
		assert.Equal(t, want, got, prefix)
	}
	data, err := s.Get(ctx, "a/b/2.png")
	require.NoError(t, err)
	assert.Equal(t, "a/b/2.png", string(data))
	_, err = s.Get(ctx, "a/b/3.png")
	require.ErrorIs(t, err, ErrNotFound)
	_, _, err = s.Read(ctx, "x")
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, s.Delete(ctx, "a/b/"))
	ok, err := s.Has(ctx, "a/b/1.png")
	require.NoError(t, err)
	assert.False(t, ok)
	ok, err = s.Has(ctx, "a/bc/1.png")
	require.NoError(t, err)
	assert.True(t, ok)
	assert.NoDirExists(t, filepath.Join(s.dir, "a", "b"))
}

// TestListWhileOthersWrite lists a folder while files appear in it and beside it: no error, and nothing half-written.
func TestListWhileOthersWrite(t *testing.T) {
	s, ctx := open(t), context.Background()
	require.NoError(t, s.Put(ctx, "p/0/0.png", []byte("x")))
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range 50 {
				assert.NoError(t, s.Put(ctx, fmt.Sprintf("p/%d/%d.png", w, i), []byte("x")))
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	for {
		keys, err := s.List(ctx, "p/0/")
		require.NoError(t, err)
		require.NotEmpty(t, keys)
		for _, key := range keys {
			require.Equal(t, ".png", filepath.Ext(key))
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

// TestUnknownStore names what works.
func TestUnknownStore(t *testing.T) {
	_, err := Open(context.Background(), "ftp://x")
	require.Error(t, err)
	assert.Contains(t, err.Error(), "s3://")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = Open(context.Background(), file)
	assert.Error(t, err)
}
