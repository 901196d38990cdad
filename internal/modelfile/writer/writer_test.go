package writer

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// What is written is read back as it was meant, in both formats.
func TestHeaders(t *testing.T) {
	tensors := []Tensor{
		{Name: "a.weight", DType: modelfile.F16, Shape: []int64{3, 5}, Size: 30},
		{Name: `odd "name" \u00e9`, DType: modelfile.F32, Shape: []int64{}, Size: 4},
		{Name: "q", DType: "Q8_0", Shape: []int64{2, 32}, Size: 68},
	}
	meta := map[string]string{"daguerre.config": `{"vae":{}}`, "general.file_type": "7", "author": "someone"}
	for _, c := range []struct {
		format  modelfile.Format
		tensors []Tensor
	}{{modelfile.FormatSafetensors, tensors[:2]}, {modelfile.FormatGGUF, tensors}} {
		path := filepath.Join(t.TempDir(), "x")
		require.NoError(t, Atomically(path, func(w io.Writer) error {
			if err := Header(w, c.format, c.tensors, meta); err != nil {
				return err
			}
			for i, x := range c.tensors {
				data := make([]byte, x.Size)
				for j := range data {
					data[j] = byte(i + 1)
				}
				if _, err := w.Write(append(data, Padding(c.format, x.Size)...)); err != nil {
					return err
				}
			}
			return nil
		}, nil))
		f, err := modelfile.Open(path)
		require.NoError(t, err)
		assert.Equal(t, c.format, f.Format)
		for k, v := range meta {
			assert.Equal(t, v, f.Metadata[k], k)
		}
		require.Len(t, f.Tensors, len(c.tensors))
		for i, x := range c.tensors {
			got, ok := f.Tensor(x.Name)
			require.True(t, ok)
			assert.Equal(t, x.DType, got.DType)
			assert.Equal(t, x.Shape, got.Shape)
			data, err := f.ReadRaw(x.Name)
			require.NoError(t, err)
			assert.Len(t, data, int(x.Size))
			for _, b := range data {
				require.EqualValues(t, i+1, b)
			}
		}
		require.NoError(t, f.Close())
	}
}

func TestGGUFRefusals(t *testing.T) {
	assert.ErrorContains(t, ggufHead(io.Discard, []Tensor{{Name: "x", DType: modelfile.F8E4M3}}, nil), "no type F8_E4M3")
	assert.ErrorContains(t, ggufHead(io.Discard, []Tensor{{Name: "x", DType: modelfile.F32, Shape: make([]int64, 5)}}, nil),
		"4 dimensions at most, this has 5")
}

// Whatever fails, neither the file nor a temporary one is left, and one that was there before stays.
func TestAtomically(t *testing.T) {
	boom := errors.New("boom")
	full := func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }
	for name, c := range map[string]struct {
		write func(io.Writer) error
		keep  func(string) error
	}{
		"writing": {func(w io.Writer) error { return errors.Join(full(w), boom) }, nil},
		"judging": {full, func(string) error { return boom }},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "x")
		require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
		require.ErrorIs(t, Atomically(path, c.write, c.keep), boom, name)
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, left, 1, name)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, "old", string(data), name)
		require.NoError(t, Atomically(path, full, func(tmp string) error {
			data, err := os.ReadFile(tmp)
			assert.Equal(t, "new", string(data))
			return err
		}))
	}
}

// A disk that fills up while a file is written is told as such, with the folder, and nothing is left.
func TestAtomicallyFullDisk(t *testing.T) {
	dir := t.TempDir()
	err := Atomically(filepath.Join(dir, "x"), func(w io.Writer) error {
		_, err := w.Write(make([]byte, 1000))
		return errors.Join(err, &os.PathError{Op: "write", Path: "x.tmp", Err: syscall.ENOSPC})
	}, nil)
	assert.ErrorIs(t, err, ErrSpace)
	assert.ErrorIs(t, err, syscall.ENOSPC)
	assert.ErrorContains(t, err, "not enough disk space in "+dir)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}
