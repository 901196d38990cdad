package install

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFullDisk writes to a device that is always full.
func TestFullDisk(t *testing.T) {
	u, err := url.Parse("http://example.com/x")
	require.NoError(t, err)
	d := &download{url: u, part: "/dev/full", patience: patient}
	err = d.receive(t.Context(), strings.NewReader("library"), mark{Size: 7 << 20}, 0, func() {})
	require.ErrorContains(t, err, "/dev/full: no space left on device; the file takes 7.0 MiB")
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = markWriting{f}.Write([]byte("x"))
	require.ErrorContains(t, err, "no space left on device")
	assert.ErrorIs(t, err, ErrWrite, "it is the disk's fault, not the archive's")
}
