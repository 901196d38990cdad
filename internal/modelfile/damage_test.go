package modelfile_test

import (
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TestFindDamage: what is not finite is found before what is only wild, and only in the components that are asked about.
func TestFindDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: synth.KindNano}))
	m, err := ReadModel(backend.Files{Model: path})
	require.NoError(t, err)
	table, err := m.Table()
	require.NoError(t, err)
	require.NoError(t, FindDamage(t.Context(), table))
	sound, err := os.ReadFile(path)
	require.NoError(t, err)
	put := func(name string, index int, bits uint16) (stored string) {
		t.Helper()
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, w := range table.Weights {
			if w.Name == name {
				require.Equal(t, backend.TypeF16, w.Type)
				binary.LittleEndian.PutUint16(data[w.Offset+2*int64(index):], bits)
				require.NoError(t, os.WriteFile(path, data, 0o600))
				return w.Stored
			}
		}
		require.Fail(t, name)
		return ""
	}
	for _, c := range []struct {
		bits uint16
		says string
	}{{0x7e00, "value 5 is NaN"}, {0xfc00, "value 5 is -Inf"}, {0x7bff, "value 5 is 65504, which no model has"}, {0x3c00, ""}} {
		require.NoError(t, os.WriteFile(path, sound, 0o600))
		stored := put("vae.decoder.conv_in.weight", 5, c.bits)
		err := FindDamage(t.Context(), table, "vae_decoder")
		if c.says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, ErrTensor)
		assert.ErrorContains(t, err, c.says)
		assert.ErrorContains(t, err, stored)
		assert.ErrorContains(t, err, path)
		require.NoError(t, FindDamage(t.Context(), table, "vae_encoder", "unet"))
	}
	require.NoError(t, os.WriteFile(path, sound, 0o600))
	put("unet.conv_in.weight", 0, 0x7bff)
	nan := put("unet.conv_out.weight", 0, 0x7e00)
	assert.ErrorContains(t, FindDamage(t.Context(), table), nan)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, FindDamage(ctx, table), context.Canceled)
	require.NoError(t, os.Truncate(path, 1000))
	assert.Error(t, FindDamage(t.Context(), table))
}
