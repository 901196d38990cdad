package backendtest

import (
	"context"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// devices: their names differ, and a cancelled context ends the listing.
func devices(t tester, m Models) {
	list, err := m.Backend.Devices(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, list)
	seen := map[string]bool{}
	for _, d := range list {
		require.NotEmpty(t, d.ID)
		require.False(t, seen[d.ID], "two devices are named %s", d.ID)
		seen[d.ID] = true
		require.Contains(t, []backend.DeviceKind{backend.DeviceCPU, backend.DeviceGPU, backend.DeviceIGPU, backend.DeviceAccel}, d.Kind)
		require.GreaterOrEqual(t, d.TotalBytes, d.FreeBytes)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = m.Backend.Devices(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// opening: the model says what it is, on devices that are listed.
func opening(t tester, m Models) {
	info := open(t, m.Backend, m.Base).Info()
	require.Contains(t, []backend.Kind{backend.KindSDXLBase, backend.KindSDXLInpaint}, info.Kind)
	require.Contains(t, backend.Precisions, info.Precision)
	list, err := m.Backend.Devices(t.Context())
	require.NoError(t, err)
	var names []string
	for _, c := range info.Components {
		names = append(names, c.Name)
		require.True(t, c.Present && c.Opened && c.Loaded, c.Name)
		require.Positive(t, c.ParameterBytes, c.Name)
		require.Equal(t, backend.ResidencyResident, c.Residency, c.Name)
		require.True(t, slices.ContainsFunc(list, func(d backend.Device) bool { return d.ID == c.Device }), "%s is on %q", c.Name, c.Device)
	}
	require.Equal(t, []string{"text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder"}, names)
	require.Equal(t, info.UNet.ContextDim, info.TextEncoder.Width+info.TextEncoder2.Width)
	require.Equal(t, info.UNet.PooledDim, info.TextEncoder2.ProjectionDim)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = m.Backend.Open(ctx, m.Base)
	require.ErrorIs(t, err, context.Canceled)
}

// openingRefuses: names and numbers of the configuration are checked.
func openingRefuses(t tester, m Models) {
	for name, edit := range map[string]func(*backend.ModelConfig){
		"precision":      func(c *backend.ModelConfig) { c.Precision = "f8" },
		"unet type":      func(c *backend.ModelConfig) { c.UNetType = "q9" },
		"text type":      func(c *backend.ModelConfig) { c.TextType = "q9" },
		"vae type":       func(c *backend.ModelConfig) { c.VAEType = "q9" },
		"text residency": func(c *backend.ModelConfig) { c.TextResidency = "cloud" },
		"unet residency": func(c *backend.ModelConfig) { c.UNetResidency = "cloud" },
		"vae residency":  func(c *backend.ModelConfig) { c.VAEResidency = "cloud" },
		"window":         func(c *backend.ModelConfig) { c.StreamBytes = -1 },
		"small window":   func(c *backend.ModelConfig) { c.UNetResidency, c.StreamBytes = backend.ResidencyStream, 1 },
		"components":     func(c *backend.ModelConfig) { c.Components = []string{"lens"} },
	} {
		cfg := m.Base
		edit(&cfg)
		_, err := m.Backend.Open(t.Context(), cfg)
		require.ErrorIs(t, err, backend.ErrArgument, name)
	}
}

// components: only those that are named are opened, and the others refuse to compute.
func components(t tester, m Models) {
	cfg := m.Base
	cfg.Components = []string{"vae_decoder"}
	model := open(t, m.Backend, cfg)
	info := model.Info()
	for _, c := range info.Components {
		require.True(t, c.Present, c.Name)
		require.Equal(t, c.Name == "vae_decoder", c.Opened, c.Name)
		require.Equal(t, c.Name == "vae_decoder", c.Loaded, c.Name)
	}
	require.Len(t, model.MemoryStats().Components, 1)
	_, err := model.DecodeLatents(t.Context(), values(1, 1, info.VAE.LatentChannels, 4, 4))
	require.NoError(t, err)

	in, out := unetInput(info, 1, 4, 4)
	require.ErrorIs(t, model.UNet(t.Context(), in, out), backend.ErrUnsupported)
	_, err = model.EncodeText(t.Context(), backend.TextInput{IDs: [][]int32{chunk(1)}})
	require.ErrorIs(t, err, backend.ErrUnsupported)
	_, err = model.EncodeImage(t.Context(), values(1, 1, 3, 16, 16))
	require.ErrorIs(t, err, backend.ErrUnsupported)
	_, err = model.EncodeHint(t.Context(), values(1, 1, 3, 16, 16))
	require.ErrorIs(t, err, backend.ErrUnsupported)
	_, err = model.Upscale(t.Context(), values(1, 1, 3, 16, 16))
	require.ErrorIs(t, err, backend.ErrUnsupported)
	_, err = model.Detect(t.Context(), values(1, 1, 3, 32, 32))
	require.ErrorIs(t, err, backend.ErrUnsupported)
	_, err = model.ComputeBytes(backend.ComputeQuery{Stage: backend.StageUNet, Batch: 1, Height: 4, Width: 4, ContextTokens: 77})
	require.ErrorIs(t, err, backend.ErrUnsupported)
	require.ErrorIs(t, model.Load(t.Context(), "unet"), backend.ErrUnsupported)
	require.ErrorIs(t, model.Unload("unet"), backend.ErrUnsupported)
	require.ErrorIs(t, model.Load(t.Context(), "lens"), backend.ErrArgument)
	require.ErrorIs(t, model.Unload("lens"), backend.ErrArgument)
}

// infoIsTheCallers: what a caller changes in it does not show in the next one.
func infoIsTheCallers(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	info := model.Info()
	want := fmt.Sprintf("%+v", info)
	u, v := info.UNet, info.VAE
	for _, list := range [][]int{u.Channels, u.Resnets, u.TransformerDepth, v.EncoderChannels, v.DecoderChannels} {
		require.NotEmpty(t, list)
		list[0] = -1
	}
	info.Components[0].Name = "edited"
	require.Equal(t, want, fmt.Sprintf("%+v", model.Info()))
}

// closing: it may be done twice, and nothing computes afterwards.
func closing(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	info := model.Info()
	adapted, adapts := model.(backend.LoRAModel)
	var targets []backend.LoRATarget
	if adapts {
		targets = linears(adapted, "unet", 1)
	}
	require.NoError(t, model.Close())
	require.NoError(t, model.Close())

	in, out := unetInput(info, 1, 8, 8)
	_, tokenizing := model.Tokenize("a")
	_, text := model.EncodeText(t.Context(), backend.TextInput{IDs: [][]int32{chunk(1)}})
	_, encoding := model.EncodeImage(t.Context(), values(1, 1, 3, 16, 16))
	_, decoding := model.DecodeLatents(t.Context(), values(1, 1, info.VAE.LatentChannels, 2, 2))
	_, measuring := model.ComputeBytes(backend.ComputeQuery{Stage: backend.StageText, Batch: 1})
	for name, err := range map[string]error{
		"Tokenize": tokenizing, "EncodeText": text, "EncodeImage": encoding, "DecodeLatents": decoding, "ComputeBytes": measuring,
		"UNet": model.UNet(t.Context(), in, out), "Load": model.Load(t.Context()), "Unload": model.Unload(),
		"ReleaseCompute": model.ReleaseCompute(),
	} {
		require.ErrorIs(t, err, backend.ErrClosed, name)
	}
	require.Equal(t, info.Kind, model.Info().Kind)
	require.False(t, model.Info().Components[0].Loaded)
	require.Zero(t, model.MemoryStats().Total)
	model.ResetMemoryPeaks()
	if adapts {
		require.Empty(t, adapted.Modules())
		_, err := adapted.LoadLoRA(t.Context(), targets)
		require.ErrorIs(t, err, backend.ErrClosed)
	}
}

// twoModels: neither changes what the other computes, and one may be closed while the other goes on.
func twoModels(t tester, m Models) {
	first, second := open(t, m.Backend, m.Base), open(t, m.Backend, m.Base)
	want := evaluate(t, first)
	require.Equal(t, want, evaluate(t, second))
	require.Equal(t, want, evaluate(t, first))
	require.NoError(t, first.Close())
	require.Equal(t, want, evaluate(t, second))
}
