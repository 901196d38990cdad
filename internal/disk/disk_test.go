package disk

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSpace(t *testing.T) {
	err := Enough("/data", 6_940_000_000, 1_000_000_000)
	require.ErrorIs(t, err, ErrSpace)
	assert.Contains(t, err.Error(), "7.01 GB are needed, 1.00 GB are free in /data")
	require.NoError(t, CheckSpace(t.TempDir(), 0))
	require.ErrorIs(t, CheckSpace(t.TempDir(), 1<<60), ErrSpace)
}
