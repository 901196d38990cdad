package download

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFullDisk writes to a device that is always full. Nothing stays.
func TestFullDisk(t *testing.T) {
	s := serve(t, random(100_000))
	for _, connections := range []int{1, 4} {
		f := s.file(t, connections)
		require.NoError(t, os.Symlink("/dev/full", f.Part))
		err := f.Run(t.Context())
		require.ErrorIs(t, err, ErrWrite)
		require.ErrorContains(t, err, "no space left on device; the file takes 97.7 KiB")
		assert.NoFileExists(t, f.Part)
		assert.NoFileExists(t, f.markFile())
	}
}
