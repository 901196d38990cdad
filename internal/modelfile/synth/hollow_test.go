package synth

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

func TestHollowFilesHaveTheShapesAndSizeOfWholeOnes(t *testing.T) {
	dir := t.TempDir()
	hollow, whole := filepath.Join(dir, "hollow.safetensors"), filepath.Join(dir, "whole.safetensors")
	opt := Options{Kind: KindNano}
	require.NoError(t, WriteHollow(hollow, opt))
	require.NoError(t, Write(t.Context(), whole, opt))
	a, err := modelfile.Check(hollow, modelfile.KindSDXLBase)
	require.NoError(t, err)
	b, err := modelfile.Inspect(whole)
	require.NoError(t, err)
	require.Equal(t, b.Size, a.Size)
	require.Equal(t, b.Dims, a.Dims)
	require.Equal(t, b.Components, a.Components)

	began := time.Now()
	big := filepath.Join(dir, "big.safetensors")
	require.NoError(t, WriteHollow(big, Options{Kind: KindSDXLBase}))
	st, err := os.Stat(big)
	require.NoError(t, err)
	size, err := Size(Options{Kind: KindSDXLBase})
	require.NoError(t, err)
	require.Greater(t, st.Size(), size)
	require.Less(t, time.Since(began), time.Minute, "nothing is written but the header")
	require.Error(t, WriteHollow(big, Options{Kind: "none"}))
}
