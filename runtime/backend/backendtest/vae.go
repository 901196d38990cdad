package backendtest

import (
	"context"
	"image"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// vae: shapes, the same bits twice, and pictures that do not depend on each other.
func vae(t tester, m Models) {
	autoencoder(t, open(t, m.Backend, m.Base))
}

// taesd: it encodes and decodes as a VAE does, and has no UNet.
func taesd(t tester, m Models) {
	if m.TAESD.Files.TAESD == "" {
		return
	}
	model := open(t, m.Backend, m.TAESD)
	require.Equal(t, backend.KindTAESD, model.Info().Kind)
	autoencoder(t, model)
	in, out := unetInput(model.Info(), 1, 4, 4)
	require.ErrorIs(t, model.UNet(t.Context(), in, out), backend.ErrUnsupported)
}

func autoencoder(t tester, model backend.Model) {
	t.Helper()
	v := model.Info().VAE
	require.Equal(t, 8, v.Downscale)
	latents := values(1, 2, v.LatentChannels, 4, 6)
	pixels, err := model.DecodeLatents(t.Context(), latents)
	require.NoError(t, err)
	require.Equal(t, []int{2, 3, 32, 48}, pixels.Shape)
	requireNumbers(t, pixels.Data)
	moments, err := model.EncodeImage(t.Context(), pixels)
	require.NoError(t, err)
	require.Equal(t, []int{2, 2 * v.LatentChannels, 4, 6}, moments.Shape)
	requireNumbers(t, moments.Data)

	again, err := model.DecodeLatents(t.Context(), latents)
	require.NoError(t, err)
	require.Equal(t, pixels, again)
	for i := range 2 {
		one, err := model.DecodeLatents(t.Context(), rows(latents, i, 1))
		require.NoError(t, err)
		requireNear(t, rows(pixels, i, 1).Data, one.Data, "a picture by itself")
		one, err = model.EncodeImage(t.Context(), rows(pixels, i, 1))
		require.NoError(t, err)
		requireNear(t, rows(moments, i, 1).Data, one.Data, "a picture by itself")
	}
	require.NotEqual(t, rows(pixels, 0, 1).Data, rows(pixels, 1, 1).Data)
}

// vaeParts: for models whose VAE runs in parts, the parts together are the whole, and statistics given back change nothing.
func vaeParts(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	parts, ok := model.(backend.VAEParts)
	if !ok {
		return
	}
	latents := values(1, 1, model.Info().VAE.LatentChannels, 4, 6)
	whole, err := model.DecodeLatents(t.Context(), latents)
	require.NoError(t, err)
	features, measured, err := parts.RunVAEPart(t.Context(), backend.VAEPartInput{Stage: backend.StageVAEDecodeMiddle, Input: latents})
	require.NoError(t, err)
	require.Nil(t, measured)
	info, err := parts.VAEPartInfo(backend.StageVAEDecodeLevels)
	require.NoError(t, err)
	require.Equal(t, []int{1, info.InChannels, 4, 6}, features.Shape)
	in := backend.VAEPartInput{Stage: backend.StageVAEDecodeLevels, Input: features, Core: image.Rect(0, 0, 6, 4)}
	pixels, measured, err := parts.RunVAEPart(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, whole.Shape, pixels.Shape)
	requireNear(t, whole.Data, pixels.Data, "middle, then levels")
	require.Len(t, measured, 2*info.Norms*info.Groups)
	in.Statistics = measured
	pixels, _, err = parts.RunVAEPart(t.Context(), in)
	require.NoError(t, err)
	requireNear(t, whole.Data, pixels.Data, "with its own statistics")

	_, err = parts.VAEPartInfo(backend.StageUNet)
	require.ErrorIs(t, err, backend.ErrArgument)
	requireRefusals(t, func() backend.VAEPartInput {
		return backend.VAEPartInput{Stage: backend.StageVAEDecodeLevels, Input: features}
	}, func(in backend.VAEPartInput) error {
		_, _, err := parts.RunVAEPart(t.Context(), in)
		return err
	}, map[string]func(*backend.VAEPartInput){
		"stage":      func(in *backend.VAEPartInput) { in.Stage = backend.StageVAEDecode },
		"channels":   func(in *backend.VAEPartInput) { in.Input = values(1, 1, info.InChannels+1, 2, 2) },
		"batch":      func(in *backend.VAEPartInput) { in.Input = values(1, 2, info.InChannels, 2, 2) },
		"statistics": func(in *backend.VAEPartInput) { in.Statistics = make(backend.NormStatistics, 1) },
	})
}

func vaeRefuses(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	v := model.Info().VAE
	requireRefusals(t, func() backend.Tensor { return values(1, 1, 3, 16, 24) }, func(x backend.Tensor) error {
		_, err := model.EncodeImage(t.Context(), x)
		return err
	}, map[string]func(*backend.Tensor){
		"height":   func(x *backend.Tensor) { *x = values(1, 1, 3, 15, 24) },
		"width":    func(x *backend.Tensor) { *x = values(1, 1, 3, 16, 20) },
		"channels": func(x *backend.Tensor) { *x = values(1, 1, 4, 16, 24) },
		"no data":  func(x *backend.Tensor) { x.Data = nil },
		"nothing":  func(x *backend.Tensor) { *x = backend.Tensor{} },
	})
	requireRefusals(t, func() backend.Tensor { return values(1, 1, v.LatentChannels, 2, 3) }, func(x backend.Tensor) error {
		_, err := model.DecodeLatents(t.Context(), x)
		return err
	}, map[string]func(*backend.Tensor){
		"channels":   func(x *backend.Tensor) { *x = values(1, 1, v.LatentChannels+1, 2, 3) },
		"dimensions": func(x *backend.Tensor) { x.Shape = x.Shape[1:] },
		"no height":  func(x *backend.Tensor) { *x = backend.NewTensor(1, v.LatentChannels, 0, 3) },
		"short data": func(x *backend.Tensor) { x.Data = x.Data[1:] },
		"overflow":   func(x *backend.Tensor) { x.Shape = []int{1, v.LatentChannels, 1 << 31, 1 << 31} },
	})
}

// wrap: under wrapping axes a picture has no border. Latents that are moved round then make the picture moved round.
func wrap(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	latents := values(1, 1, model.Info().VAE.LatentChannels, 6, 8)
	plain, err := model.DecodeLatents(t.Context(), latents)
	require.NoError(t, err)
	for axes, move := range map[backend.Wrap][2]int{backend.WrapX: {0, 1}, backend.WrapY: {1, 0}, backend.WrapX | backend.WrapY: {2, 3}} {
		ctx := backend.WithWrap(t.Context(), axes)
		require.Equal(t, axes, backend.WrapOf(ctx))
		pixels, moments := roundTrip(ctx, t, model, latents)
		movedPixels, movedMoments := roundTrip(ctx, t, model, roll(latents, move[0], move[1]))
		requireNear(t, roll(pixels, 8*move[0], 8*move[1]).Data, movedPixels.Data, "decoding")
		requireNear(t, roll(moments, move[0], move[1]).Data, movedMoments.Data, "encoding")
	}
	again, err := model.DecodeLatents(t.Context(), latents)
	require.NoError(t, err)
	require.Equal(t, plain, again, "a later call without wrapping")
}

func roundTrip(ctx context.Context, t tester, m backend.Model, latents backend.Tensor) (pixels, moments backend.Tensor) {
	t.Helper()
	pixels, err := m.DecodeLatents(ctx, latents)
	require.NoError(t, err)
	moments, err = m.EncodeImage(ctx, pixels)
	require.NoError(t, err)
	return pixels, moments
}

// roll moves all rows down and to the right; what leaves on one side comes back on the other.
func roll(x backend.Tensor, down, right int) backend.Tensor {
	h, w := x.Shape[2], x.Shape[3]
	out := backend.NewTensor(x.Shape...)
	for i, v := range x.Data {
		plane, y, column := i/(h*w), i/w%h, i%w
		out.Data[(plane*h+(y+down)%h)*w+(column+right)%w] = v
	}
	return out
}
