package bindings

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func openFake(t *testing.T, lib *Library, files ...string) *Model {
	t.Helper()
	if len(files) == 0 {
		files = []string{"model.safetensors"}
	}
	m, err := lib.OpenModel(ModelParams{Files: filesOf(files)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func filesOf(paths []string) (files []File) {
	for _, p := range paths {
		files = append(files, File{Path: p})
	}
	return files
}

func requireNoHandles(t *testing.T, lib *Library) {
	t.Helper()
	require.Zero(t, lib.LiveHandles())
	require.Zero(t, lib.NativeLiveHandles())
}

func TestOpenPassesEveryParameter(t *testing.T) {
	lib := fake(t)
	var got logLines
	require.NoError(t, lib.SetLog(logInfo, got.add))
	config := &ModelConfig{}
	config.UNetNormNumGroups, config.VAENormNumGroups, config.UNetAttentionHeadDim = 11, 12, 13
	config.TextHeadDim, config.TextEncoderQuickGELU, config.TextEncoder2QuickGELU = 14, 1, 2
	m, err := lib.OpenModel(ModelParams{
		Files: []File{{Path: "a/b"}, {Path: "ü.gguf"}},
		Weights: []Weight{
			{Name: "unet.w", Stored: "w", File: 1, Type: StoredTypes["f8_e4m3"], Offset: 7, Bytes: 6, Shape: []int64{3, 2}, Strides: []int64{1, 3}},
			{Name: "unet.b", Type: 8, Offset: 9, Bytes: 34, Shape: []int64{32}}},
		Config: config, Device: "vulkan:0", DeviceText: "cpu", DeviceVAE: "auto",
		Components: 4 | 16, TypeUNet: 11, TypeText: 2, TypeVAE: 1,
		Precision: 3, Threads: 3, FlashAttention: 1,
		ResidencyText: 1, ResidencyUNet: 2, ResidencyVAE: 3, StreamBytes: 4, AttentionBytes: 5, Convolution: 2,
	})
	require.NoError(t, err)
	require.Equal(t, int64(1), lib.LiveHandles())
	require.Equal(t, int64(1), lib.NativeLiveHandles())
	require.NoError(t, m.Close())
	require.NoError(t, m.Close())
	requireNoHandles(t, lib)
	require.Zero(t, config.StructSize)
	require.NoError(t, lib.SetLog(logInfo, nil))
	require.Equal(t, []string{"1 device=vulkan:0 text=cpu vae=auto components=20 types=11,2,1 precision=3 threads=3 flash=1" +
		" config=11,12,13,14,1,2 a/b ü.gguf unet.w=w:1:1000:7+6:2[3,2]1[1,3] unet.b=(null):0:8:9+34:1[32,0]0[0,0]",
		"1 residency=1,2,3 stream=4 attention=5 convolution=2"}, got.lines)
}

func TestOpenFailures(t *testing.T) {
	lib := fake(t)
	many := make([]string, maxFiles+1)
	for name, c := range map[string]struct {
		files []string
		is    error
		says  string
	}{
		"no files":       {nil, ErrArgument, "0 files were given; a model has 1 to 4096"},
		"too many files": {many, ErrArgument, "4097 files"},
		"empty path":     {[]string{"a", ""}, ErrArgument, "the path of file 1 is empty"},
		"NUL in a path":  {[]string{"a\x00b"}, ErrArgument, "NUL"},
		"missing file":   {[]string{"no-such-file"}, ErrFile, "cannot open no-such-file"},
		"out of memory":  {[]string{"oom"}, ErrOutOfMemory, "1.0 GiB for the UNet on cpu"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := lib.OpenModel(ModelParams{Files: filesOf(c.files)})
			require.Nil(t, m)
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.says)
		})
	}
	requireNoHandles(t, lib)
}

func TestOpenRefusesWeights(t *testing.T) {
	lib := fake(t)
	for says, w := range map[string]Weight{
		"contains a NUL byte":                 {Name: "a\x00b"},
		"a shape of [1 2 3 4 5]":              {Name: "a", Shape: []int64{1, 2, 3, 4, 5}},
		"a shape of [2 2] and strides of [1]": {Name: "a", Shape: []int64{2, 2}, Strides: []int64{1}},
	} {
		_, err := lib.OpenModel(ModelParams{Files: []File{{Path: "m"}}, Weights: []Weight{w}})
		require.ErrorIs(t, err, ErrArgument)
		require.ErrorContains(t, err, says)
	}
}

func TestOpenCanBeCancelled(t *testing.T) {
	lib := fake(t)
	cancel := new(int32)
	time.AfterFunc(20*time.Millisecond, func() { atomic.StoreInt32(cancel, 1) })
	_, err := lib.OpenModel(ModelParams{Files: []File{{Path: "endless"}}, Cancel: cancel})
	require.ErrorIs(t, err, ErrCancelled)
	requireNoHandles(t, lib)
}

func TestModelInfo(t *testing.T) {
	info := openFake(t, fake(t)).Info()
	require.Equal(t, "sdxl-base", Kinds[info.Kind])
	require.Equal(t, "bf16", Precisions[info.Precision])
	require.Equal(t, "because it is a fake", info.PrecisionReason.String())
	require.Equal(t, "bf16", Types[info.Components[4].Type])
	require.EqualValues(t, 208, info.Components[4].ParameterBytes)
	require.Equal(t, "cpu", info.Components[4].Device.String())
	require.EqualValues(t, 5, info.TextEncoder2.ProjectionDim)
	require.Equal(t, [MaxLevels]int64{64, 128, 256}, info.UNet.Channels)
	require.Equal(t, [MaxLevels]int64{0, 2, 10}, info.UNet.TransformerDepth)
	require.Equal(t, [MaxLevels]int64{16, 32, 64, 65}, info.VAE.DecoderChannels)
	require.EqualValues(t, 2, info.VAE.NormNumGroups)
}

func TestDevices(t *testing.T) {
	devices, err := fake(t, "FAKE_DEVICES=3", `FAKE_VARIANT="vulkan"`).Devices()
	require.NoError(t, err)
	require.Len(t, devices, 3)
	require.Equal(t, "cpu", devices[0].ID.String())
	require.Equal(t, "vulkan:1", devices[2].ID.String())
	require.Equal(t, "fake device 2", devices[2].Description.String())
	require.Equal(t, "gpu", DeviceKinds[devices[2].Kind])
	require.EqualValues(t, 1, devices[2].IsSoftware)
	require.EqualValues(t, 3000, devices[2].TotalBytes)
	require.EqualValues(t, 1200, devices[2].FreeBytes)
	_, err = fake(t).Device(7)
	require.ErrorIs(t, err, ErrDevice)
}

func TestCallsAfterClose(t *testing.T) {
	m := openFake(t, fake(t))
	require.NoError(t, m.Close())
	in, out := unetInputs(1, 2, 2, 1)
	require.ErrorIs(t, in.eval(m, out), ErrClosed)
	require.ErrorIs(t, m.SetCancel(true), ErrClosed)
	_, err := m.ComputeHeld()
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, "sdxl-base", Kinds[m.Info().Kind])
}

func TestSetCancelReachesARunningCall(t *testing.T) {
	m := openFake(t, fake(t))
	in, out := unetInputs(1, 2, 2, 1)
	in.timesteps[0] = -1
	time.AfterFunc(20*time.Millisecond, func() { _ = m.SetCancel(true) })
	require.ErrorIs(t, in.eval(m, out), ErrCancelled)
	in.timesteps[0] = 1
	require.ErrorIs(t, in.eval(m, out), ErrCancelled) // until cleared
	require.NoError(t, m.SetCancel(false))
	require.NoError(t, in.eval(m, out))
}

// The stand-in ends the process if two calls are inside at once, or if it is closed in use.
func TestCallsRunOneAtATimeAndCloseWaits(t *testing.T) {
	lib := fake(t)
	m, err := lib.OpenModel(ModelParams{Files: []File{{Path: "m"}}})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			in, out := unetInputs(1, 2, 2, 1)
			if i == 0 {
				in.timesteps[0] = -2
			}
			for range 50 {
				if err := in.eval(m, out); err != nil {
					require.ErrorIs(t, err, ErrClosed)
				}
				_ = m.SetCancel(false)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	require.NoError(t, m.Close())
	wg.Wait()
	requireNoHandles(t, lib)
}

func TestPinsHoldUnderGarbageCollection(t *testing.T) {
	m := openFake(t, fake(t))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	})
	for i := range 300 {
		in, out := unetInputs(2, 4, 4, 3)
		in.timesteps = []float32{float32(i), float32(2 * i)}
		require.NoError(t, in.eval(m, out))
		require.Equal(t, in.sample[0]+float32(i)+addOf(in, 0), out[0])
	}
	close(stop)
	wg.Wait()
}

func TestOpenCloseRounds(t *testing.T) {
	lib := fake(t)
	for i := range 500 {
		m, err := lib.OpenModel(ModelParams{Files: []File{{Path: fmt.Sprint("m", i, strings.Repeat("x", i))}}})
		require.NoError(t, err)
		require.NoError(t, m.Close())
	}
	requireNoHandles(t, lib)
}
