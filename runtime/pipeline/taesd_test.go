package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/pictures"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// decoders counts what decoded: the VAE or TAESD.
func decoders(b *fake.Backend) map[backend.Kind]int {
	n := map[backend.Kind]int{}
	for _, c := range b.Calls() {
		if c.Op == fake.OpDecodeLatents {
			n[c.Kind]++
		}
	}
	return n
}

// TestTAESD: previews go through it without being asked, pictures only with FastDecode, and its latents are not scaled.
func TestTAESD(t *testing.T) {
	for _, fast := range []bool{false, true} {
		b := &fake.Backend{}
		p, err := Open(t.Context(), Config{TAESD: "taesd.safetensors", FastDecode: fast}, WithBackend(b))
		require.NoError(t, err)
		require.Equal(t, 2, b.LiveModels())
		previews := 0
		out := generate(t, p, small("a red circle"), WithPreview(1, PreviewAuto), WithProgress(func(p Progress) { previews += len(p.Previews) }))
		assert.Equal(t, 3, previews)
		if fast {
			assert.Equal(t, map[backend.Kind]int{backend.KindTAESD: 4}, decoders(b))
			raw, err := p.models.TAESD.DecodeLatents(t.Context(), out.Images[0].Latents)
			require.NoError(t, err)
			img := pictures.Of(raw.Data, 64, 48)
			assert.Equal(t, img.Pix[:64], out.Images[0].Pix[:64])
		} else {
			assert.Equal(t, map[backend.Kind]int{backend.KindTAESD: 3, backend.KindSDXLBase: 1}, decoders(b))
			generate(t, p, small("a red circle"), WithPreview(1, PreviewVAE), WithProgress(func(Progress) {}))
			assert.Equal(t, map[backend.Kind]int{backend.KindTAESD: 3, backend.KindSDXLBase: 5}, decoders(b))
		}
		require.NoError(t, p.Close())
		assert.Zero(t, b.LiveModels())
	}
}

func TestTAESDMistakes(t *testing.T) {
	_, err := Open(t.Context(), Config{FastDecode: true}, WithBackend(&fake.Backend{}))
	require.ErrorIs(t, err, request.ErrInvalid)
	require.ErrorContains(t, err, "fast_decode: is on, and there is no taesd")
}
