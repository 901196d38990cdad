//go:build !race

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// ipSeeds is SEEDS of tools/goldens/ipadapter.py, which computed with the same random weights.
var ipSeeds = map[string]uint64{"image-encoder": 31, "ip-adapter": 32, "ip-adapter-plus": 33, "ip-adapter-faceid": 34,
	"ip-adapter-faceid-plus": 35}

// synthIP writes a synthetic file of IP-Adapters in h94's layout.
func synthIP(t *testing.T, kind string) string {
	t.Helper()
	return synthNet(t, synth.Kind("nano-"+kind), ipSeeds[kind], modelfile.LayoutOriginal)
}

// TestGoldenImageEncoder compares the embedding and the hidden states of two pictures with transformers'.
func TestGoldenImageEncoder(t *testing.T) {
	m := openNet(t, backend.Files{ImageEncoder: synthIP(t, "image-encoder")})
	require.Equal(t, backend.ImageInfo{Width: 64, Layers: 3, Heads: 1, ProjectionDim: 48, Tokens: 17, Size: 32}, m.Info().ImageEncoder)
	for name, hidden := range map[string]bool{"ip_embeds": false, "ip_hidden": true} {
		got, err := m.(backend.ImageModel).EncodePicture(t.Context(), goldenTensor(t, "ip_pixels"), hidden)
		require.NoError(t, err)
		want := goldenTensor(t, name)
		require.Equal(t, want.Shape, got.Shape)
		l2 := relativeL2(t, got.Data, want.Data)
		t.Logf("%-9s %.2g relative L2", name, l2)
		assert.Less(t, l2, 5e-5, name)
	}
}
