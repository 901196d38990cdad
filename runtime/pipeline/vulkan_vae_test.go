//go:build vulkan && !race

package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TestVulkanOverflowingVAE: a VAE whose stream is too large for half precision, as SDXL's is, makes the CPU's picture, with each way of
// computing convolutions. With 2^13 only the stream is too large, with 2^20 the weights that write it, too.
func TestVulkanOverflowingVAE(t *testing.T) {
	vulkanBackend(t)
	want := makeOn(t, Config{Device: "cpu", Precision: backend.PrecisionF16, VAEType: backend.TypeF32}, oneStep())
	for _, factor := range []float32{1 << 13, 1 << 20} {
		file := overflowingVAE(t, factor)
		for _, convolution := range []string{"im2col", "direct"} {
			for _, typ := range []backend.Type{"", backend.TypeF32} {
				t.Run(fmt.Sprint(factor, convolution, typ), func(t *testing.T) {
					got := makeOn(t, Config{Device: vulkanDevice(), Precision: backend.PrecisionF16, VAE: file, VAEType: typ, Convolution: convolution},
						oneStep())
					t.Log(strings.Join(got.Warnings, "\n"))
					db := psnr(t, got.Images[0].NRGBA, want.Images[0].NRGBA)
					t.Logf("%.1f dB", db)
					assert.GreaterOrEqual(t, db, 40.0)
				})
			}
		}
	}
}

// TestVulkanOverflowingEncoder: the encoder's stream is the same.
func TestVulkanOverflowingEncoder(t *testing.T) {
	vulkanBackend(t)
	pixels := wide(128)
	want, err := openOn(t, Config{Device: "cpu", Precision: backend.PrecisionF16, VAEType: backend.TypeF32}).models.Base.Model.
		EncodeImage(t.Context(), pixels)
	require.NoError(t, err)
	file := overflowingVAE(t, 1<<13)
	for _, convolution := range []string{"im2col", "direct"} {
		cfg := Config{Device: vulkanDevice(), Precision: backend.PrecisionF16, VAE: file, Convolution: convolution}
		got, err := openOn(t, cfg).models.Base.Model.EncodeImage(t.Context(), pixels)
		require.NoError(t, err)
		assert.Less(t, relativeL2(t, got.Data, want.Data), 0.01, convolution)
	}
}
