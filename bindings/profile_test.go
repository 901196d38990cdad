package bindings

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProfile(t *testing.T) {
	m := openFake(t, fake(t))
	entries, err := m.Profile()
	require.NoError(t, err)
	require.Empty(t, entries)
	require.NoError(t, m.SetProfile(true))
	entries, err = m.Profile()
	require.NoError(t, err)
	require.Len(t, entries, 3)
	require.Equal(t, "unet", entries[2].Stage.String())
	require.Equal(t, "OP2", entries[2].Op.String())
	require.Equal(t, "mid_block", entries[2].Module.String())
	require.EqualValues(t, 3, entries[2].Calls)
	require.Equal(t, 0.5, entries[2].Seconds)
	require.Equal(t, 1e9, entries[2].Operations)
	require.NoError(t, m.SetProfile(false))
	entries, err = m.Profile()
	require.NoError(t, err)
	require.Empty(t, entries)
}
