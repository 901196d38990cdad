package install

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFullDisk writes to a device that is always full. internal/download has the test of downloads.
func TestFullDisk(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = markWriting{f}.Write([]byte("x"))
	require.ErrorContains(t, err, "no space left on device")
	assert.ErrorIs(t, err, ErrWrite, "it is the disk's fault, not the archive's")
}
