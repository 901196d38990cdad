package models

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// TestAFilesPlaceIsSaidOnce: errors of FindNet stand behind the field that names the file, and do not repeat what it is for.
func TestAFilesPlaceIsSaidOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "some-esrgan.safetensors")
	require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: synth.KindESRGAN}))
	for role := range kindsOfNets {
		_, err := FindNet(role, path, NewNets())
		require.ErrorIs(t, err, ErrUnsupported, role)
		assert.True(t, strings.HasPrefix(err.Error(), path+": "), "%s: %v", role, err)
		assert.ErrorContains(t, CheckRole(role, path), role+": "+path+": ")
	}
}
