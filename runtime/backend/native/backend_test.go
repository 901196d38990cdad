package native

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

func TestDevices(t *testing.T) {
	devices, err := fakeBackend(t, nil, "FAKE_DEVICES=3", `FAKE_VARIANT="vulkan"`).Devices(t.Context())
	require.NoError(t, err)
	require.Equal(t, []backend.Device{
		{ID: "cpu", Description: "fake device 0", Kind: backend.DeviceCPU, TotalBytes: 1000, FreeBytes: 400},
		{ID: "vulkan:0", Description: "fake device 1", Kind: backend.DeviceGPU, TotalBytes: 2000, FreeBytes: 800,
			Driver: "fake driver 1", MaxTensorBytes: 500, MaxBufferBytes: 600},
		{ID: "vulkan:1", Description: "fake device 2", Kind: backend.DeviceGPU, Software: true, TotalBytes: 3000, FreeBytes: 1200,
			Driver: "fake driver 2", MaxTensorBytes: 500, MaxBufferBytes: 600},
	}, devices)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = fakeBackend(t, nil).Devices(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestLibraryReport(t *testing.T) {
	lib := fakeBackend(t, nil).Library()
	require.Equal(t, "cpu", lib.Variant)
	require.Equal(t, []string{"avx2", "avx512_bf16"}, lib.CPUFeatures)
	require.Len(t, lib.Attempts, 1)
	require.Equal(t, lib.Path, lib.Attempts[0].Path)
}

func TestOpenPassesTheConfiguration(t *testing.T) {
	var text bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelInfo}))
	b := fakeBackend(t, logger, "FAKE_DEVICES=2", `FAKE_VARIANT="vulkan"`)
	m, err := b.Open(t.Context(), backend.ModelConfig{
		Files: backend.Files{Model: "m", UNet: "u", TextEncoder: "t1", TextEncoder2: "t2", VAE: "v"},
		Hyper: backend.Hyper{UNetNormNumGroups: 4, VAENormNumGroups: 2, UNetAttentionHeadDim: 32, TextHeadDim: 16,
			TextEncoderAct: "gelu", TextEncoder2Act: "quick_gelu"},
		Device: "vulkan:0", TextDevice: "cpu", VAEDevice: "auto", Precision: backend.PrecisionBF16,
		UNetType: backend.TypeQ4_K, TextType: backend.TypeQ8_0, VAEType: backend.TypeF32, Threads: 3, FlashAttention: "on",
	})
	require.NoError(t, err)
	require.Equal(t, 1, b.LiveModels())
	require.NoError(t, m.Close())
	require.Contains(t, text.String(), "level=INFO")
	require.Contains(t, text.String(), "device=vulkan:0 text=cpu vae=NULL components=0 types=11,4,1 precision=4 threads=3 flash=2"+
		" config=4,2,32,16,2,1 m v unet.w=w:0:8:9+34:1[32,0]0[0,0] vae.decoder.w=w:1:8:9+34:1[32,0]0[0,0]")
}

func TestOpenZeroConfigurationIsAuto(t *testing.T) {
	var text bytes.Buffer
	b := fakeBackend(t, slog.New(slog.NewTextHandler(&text, nil)))
	fakeModel(t, b, "m")
	require.Contains(t, text.String(), "device=NULL text=NULL vae=NULL components=0 types=0,0,0 precision=0 threads=0 flash=0 "+
		"config=0,0,0,0,0,0 m unet.w=")
}

func TestLoggerThatWantsNothingIsNotCalled(t *testing.T) {
	var text bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelError + 1}))
	fakeModel(t, fakeBackend(t, logger), "m")
	require.Empty(t, text.String())
	require.Equal(t, slog.LevelWarn, slogLevel(2))
	require.Equal(t, slog.LevelError, slogLevel(42))
}

func TestOpenRefusals(t *testing.T) {
	b := fakeBackend(t, nil, "FAKE_DEVICES=2", `FAKE_VARIANT="vulkan"`)
	model := backend.Files{Model: "m"}
	for name, c := range map[string]struct {
		cfg  backend.ModelConfig
		is   error
		says string
	}{
		"no files": {backend.ModelConfig{}, backend.ErrArgument, "files: no file is given"},
		"NUL":      {backend.ModelConfig{Files: backend.Files{Model: "m", VAE: "a\x00"}}, backend.ErrArgument, "vae: the path"},
		"precision": {backend.ModelConfig{Files: model, Precision: "f8"}, backend.ErrArgument,
			`precision: "f8" is unknown; known are auto, exact, f32, f16, bf16`},
		"unet type": {backend.ModelConfig{Files: model, UNetType: "q9"}, backend.ErrArgument, `unet type: "q9"`},
		"text type": {backend.ModelConfig{Files: model, TextType: "q9"}, backend.ErrArgument, `text type: "q9"`},
		"vae type":  {backend.ModelConfig{Files: model, VAEType: "q9"}, backend.ErrArgument, `vae type: "q9"`},
		"flash":     {backend.ModelConfig{Files: model, FlashAttention: "maybe"}, backend.ErrArgument, `known are auto, off, on`},
		"activation": {backend.ModelConfig{Files: model, Hyper: backend.Hyper{TextEncoderAct: "relu"}}, backend.ErrArgument,
			`text_encoder hidden_act: "relu" is unknown; known are quick_gelu, gelu`},
		"activation 2": {backend.ModelConfig{Files: model, Hyper: backend.Hyper{TextEncoder2Act: "relu"}}, backend.ErrArgument,
			"text_encoder_2 hidden_act"},
		"groups": {backend.ModelConfig{Files: model, Hyper: backend.Hyper{UNetNormNumGroups: -1}}, backend.ErrArgument,
			"unet norm_num_groups: -1"},
		"threads":  {backend.ModelConfig{Files: model, Threads: -1}, backend.ErrArgument, "threads: -1 is not in 0.."},
		"too many": {backend.ModelConfig{Files: model, Threads: 1 << 40}, backend.ErrArgument, "threads: 1099511627776"},
		"device": {backend.ModelConfig{Files: model, Device: "cuda:0"}, ErrDevice,
			`device: "cuda:0" is not here; the vulkan library lists cpu, vulkan:0, and auto takes the best`},
		"text device": {backend.ModelConfig{Files: model, TextDevice: "gpu"}, ErrDevice, `text device: "gpu"`},
		"vae device":  {backend.ModelConfig{Files: model, VAEDevice: "CPU"}, ErrDevice, `vae device: "CPU"`},
		"native: no file": {backend.ModelConfig{Files: backend.Files{Model: "no-such-file"}}, ErrFile,
			"opening the model: cannot open no-such-file"},
		"native: memory": {backend.ModelConfig{Files: backend.Files{Model: "oom"}}, backend.ErrOutOfMemory,
			"1.0 GiB for the UNet on cpu (out of memory)"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := b.Open(t.Context(), c.cfg)
			require.Nil(t, m)
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.says)
			var typed *Error
			require.ErrorAs(t, err, &typed)
			require.Equal(t, opOpen, typed.Op)
		})
	}
}

func TestOpenCanBeCancelled(t *testing.T) {
	b := fakeBackend(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(30*time.Millisecond, cancel)
	start := time.Now()
	_, err := b.Open(ctx, backend.ModelConfig{Files: backend.Files{Model: "endless"}})
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(start), time.Minute)
	_, err = b.Open(ctx, backend.ModelConfig{Files: backend.Files{Model: "m"}})
	require.ErrorIs(t, err, context.Canceled)
}

// component is how the stand-in describes each of its components.
func component(name string, tensors, parameters, bytes int64) backend.ComponentInfo {
	i := tensors - 10
	return backend.ComponentInfo{Name: name, Present: true, Opened: true, Loaded: true, FileType: backend.TypeF16, Type: backend.TypeBF16,
		Tensors: tensors, Parameters: parameters, ParameterBytes: bytes, ResidentBytes: bytes + 10 + i, MappedBytes: 7 * i, Device: "cpu",
		Residency: backend.ResidencyResident}
}

func TestModelInfo(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	info := m.Info()
	require.Equal(t, backend.ModelInfo{
		Kind: backend.KindSDXLBase, Layout: "diffusers", Precision: backend.PrecisionBF16, PrecisionReason: "because it is a fake",
		FlashAttention: true, Threads: 2, ZeroTerminalSNR: true,
		Components: []backend.ComponentInfo{
			component("text_encoder", 10, 100, 200),
			component("text_encoder_2", 11, 101, 202),
			component("unet", 12, 102, 204),
			component("vae_encoder", 13, 103, 206),
			component("vae_decoder", 14, 104, 208),
		},
		TextEncoder:  backend.TextInfo{VocabSize: 20, Width: 3, Layers: 3, Heads: 1, MaxTokens: 77},
		TextEncoder2: backend.TextInfo{VocabSize: 20, Width: 5, Layers: 4, Heads: 1, ProjectionDim: 5, MaxTokens: 77},
		UNet: backend.UNetInfo{InChannels: 4, OutChannels: 4, ModelChannels: 64, ContextDim: 8, LabelDim: 5 + 6*256, PooledDim: 5,
			SizeIDs: 6, Channels: []int{64, 128, 256}, Resnets: []int{2, 2, 2}, TransformerDepth: []int{0, 2, 10}, MiddleDepth: 10,
			HeadDim: 64, NormNumGroups: 4},
		VAE: backend.VAEInfo{LatentChannels: 4, EncoderChannels: []int{16, 32, 64, 64}, DecoderChannels: []int{16, 32, 64, 65},
			Downscale: 8, NormNumGroups: 2},
		UnusedTensors: 1, UnusedExample: "model_ema.decay",
	}, info)
	info.UNet.Channels[0], info.Components[0].Name = 0, "edited" // the caller's own
	require.Equal(t, 64, m.Info().UNet.Channels[0])
	require.Equal(t, "text_encoder", m.Info().Components[0].Name)
}

func TestModelInfoRefusesImpossibleLevels(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	raw := m.handle.Info()
	raw.UNet.Levels = 9
	_, err := modelInfo(raw)
	require.ErrorIs(t, err, ErrEngine)
	raw.UNet.Levels, raw.VAE.Levels = 3, -1
	_, err = modelInfo(raw)
	require.ErrorContains(t, err, "vae levels: the library reports -1, of at most 8")
}

func TestLoadErrors(t *testing.T) {
	_, err := New(Options{LibraryPath: filepath.Join(t.TempDir(), "nowhere.so")})
	var typed *Error
	require.ErrorAs(t, err, &typed)
	require.Equal(t, "loading libdaguerre", typed.Op)
	_, err = New(Options{Variant: "metal"})
	require.ErrorContains(t, err, "metal")
}

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"A Red CIRCLE":    "a red circle",
		"cafe\u0301":      "caf\u00e9",       // composed
		"\u00c9tude":      "\u00e9tude",      // lowered
		"\u0130stanbul":   "i\u0307stanbul",  // one character becomes two
		"\u03a3\u03a3":    "\u03c3\u03c3",    // no final sigma
		"\u212b":          "\u00e5",          // composed, then lowered
		"\U0001F600 Ok\n": "\U0001F600 ok\n", // white space stays
		"I\u0307":         "i\u0307",         // composed to \u0130, then two again
		"\ufffd":          "\ufffd",          // a real replacement character is text
	} {
		got, err := normalize(in)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := normalize("ab\xff")
	require.ErrorIs(t, err, backend.ErrArgument)
	require.ErrorContains(t, err, "tokenizing: text: byte 0xff at offset 2 is not UTF-8")
}

func TestTokenize(t *testing.T) {
	b := fakeBackend(t, nil)
	m := fakeModel(t, b, "m")
	ids, err := m.Tokenize("AB")
	require.NoError(t, err)
	require.Equal(t, []int32{'a' % 20, 'b' % 20}, ids)
	_, err = m.Tokenize("!")
	require.ErrorIs(t, err, backend.ErrArgument)
	require.True(t, strings.HasPrefix(err.Error(), "tokenizing: "))
}
