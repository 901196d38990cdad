package native_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// These tests run the real library, which `make` builds first; without it they fail, with the list of
// what was tried.

// nanoConfig is the nano model's configuration; the pipeline reads these numbers from the file.
func nanoConfig(ctx context.Context) (backend.ModelConfig, error) {
	path, err := nano.Path(ctx)
	return backend.ModelConfig{
		Files:     backend.Files{Model: path},
		Hyper:     backend.Hyper{UNetNormNumGroups: 4, VAENormNumGroups: 2, UNetAttentionHeadDim: 64},
		Device:    "cpu",
		Precision: backend.PrecisionExact,
	}, err
}

func nanoBackend(t *testing.T) (*native.Backend, backend.ModelConfig) {
	t.Helper()
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	cfg, err := nanoConfig(t.Context())
	require.NoError(t, err)
	return b, cfg
}

func openNano(t *testing.T) backend.Model {
	t.Helper()
	b, cfg := nanoBackend(t)
	m, err := b.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, m.Close())
		require.Zero(t, b.LiveModels())
	})
	return m
}

func noise(shape ...int) backend.Tensor {
	t := backend.NewTensor(shape...)
	for i := range t.Data {
		t.Data[i] = float32(math.Sin(float64(i) * 12.9898))
	}
	return t
}

// unetInput returns the inputs of n evaluations at h x w cells, and room for the result.
func unetInput(info backend.ModelInfo, n, h, w int) (backend.UNetInput, []float32) {
	u := info.UNet
	in := backend.UNetInput{
		Sample: noise(n, u.InChannels, h, w), Timesteps: make([]float32, n),
		Context: noise(n, 77, u.ContextDim), Pooled: noise(n, u.PooledDim), SizeIDs: backend.NewTensor(n, u.SizeIDs),
	}
	for i := range in.Timesteps {
		in.Timesteps[i] = 500
	}
	return in, make([]float32, n*u.OutChannels*h*w)
}

func requireFinite(t *testing.T, values []float32) {
	t.Helper()
	var sum float64
	for i, v := range values {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			t.Fatalf("element %d is %v", i, v)
		}
		sum += math.Abs(float64(v))
	}
	require.NotZero(t, sum)
}

func padded(ids []int32) [][]int32 {
	row := append([]int32{49406}, ids...)
	for len(row) < 77 {
		row = append(row, 49407)
	}
	return [][]int32{row}
}

// TestNanoModelIsRead: the nano model's dimensions, by its weights and configuration, and CLIP's own tokens.
func TestNanoModelIsRead(t *testing.T) {
	m := openNano(t)
	info := m.Info()
	require.Equal(t, backend.KindSDXLBase, info.Kind)
	require.Equal(t, backend.PrecisionExact, info.Precision)
	require.Equal(t, 4, info.UNet.NormNumGroups)
	require.Equal(t, 2, info.VAE.NormNumGroups)
	require.Len(t, info.UNet.Channels, 3)
	ids, err := m.Tokenize("A photo of a CAT")
	require.NoError(t, err)
	require.Equal(t, []int32{320, 1125, 539, 320, 2368}, ids)
}

// TestNanoModelCancel stops a long evaluation, and uses the model again.
func TestNanoModelCancel(t *testing.T) {
	m := openNano(t)
	in, out := unetInput(m.Info(), 1, 128, 128)
	small, smallOut := unetInput(m.Info(), 1, 4, 4)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		var at time.Time
		time.AfterFunc(200*time.Millisecond, func() { at = time.Now(); cancel() })
		require.ErrorIs(t, m.UNet(ctx, in, out), context.Canceled)
		t.Logf("returned %v after the context was cancelled", time.Since(at))
		require.NoError(t, m.UNet(t.Context(), small, smallOut))
		requireFinite(t, smallOut)
	}
}

func TestNanoModelOpenErrors(t *testing.T) {
	b, cfg := nanoBackend(t)
	cfg.Device = "abacus:0"
	_, err := b.Open(t.Context(), cfg)
	require.ErrorIs(t, err, native.ErrDevice)
	require.ErrorContains(t, err, "cpu")
	cfg.Device, cfg.Files.Model = "cpu", t.TempDir()+"/nowhere.safetensors"
	_, err = b.Open(t.Context(), cfg)
	require.ErrorIs(t, err, native.ErrFile)
	require.ErrorContains(t, err, "nowhere.safetensors")
	require.Zero(t, b.LiveModels())
}

// TestNanoModelRoundsDoNotLeak opens and closes the model 200 times, with an evaluation in each, and
// compares the memory of the process after a warm-up with that at the end.
//
// It does so in a process of its own, whose C library gives freed blocks of 128 KiB and more back at
// once. By itself glibc raises that limit up to 32 MiB as a program runs, and the memory held then
// moves up and down by tens of MiB from round to round, which would hide a leak.
func TestNanoModelRoundsDoNotLeak(t *testing.T) {
	const glibc = "MALLOC_MMAP_THRESHOLD_"
	if os.Getenv(glibc) != "" {
		leakRounds(t)
		return
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), glibc+"=131072", "MALLOC_TRIM_THRESHOLD_=65536")
	out, err := child.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
}

func leakRounds(t *testing.T) {
	const rounds, warmUp, allowed = 200, 50, 3 << 20
	runtime.LockOSThread() // one thread, one heap of the C library
	defer runtime.UnlockOSThread()
	b, cfg := nanoBackend(t)
	cfg.Threads, cfg.Precision = 1, backend.PrecisionF16
	var before int64
	for i := range rounds {
		if i == warmUp {
			before = residentBytes(t)
		}
		m, err := b.Open(t.Context(), cfg)
		require.NoError(t, err)
		in, out := unetInput(m.Info(), 1, 4, 4)
		require.NoError(t, m.UNet(t.Context(), in, out))
		require.NoError(t, m.Close())
		require.Zero(t, b.LiveModels())
	}
	after := residentBytes(t)
	t.Logf("resident %.1f MiB after %d rounds, %.1f MiB after %d", float64(before)/(1<<20), warmUp, float64(after)/(1<<20), rounds)
	require.Less(t, after-before, int64(allowed))
}

// residentBytes returns the memory the process holds now, after Go has given back what it can.
func residentBytes(t *testing.T) int64 {
	t.Helper()
	debug.FreeOSMemory()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatalf("this test reads the process's memory from /proc: %v", err)
	}
	pages, err := strconv.ParseInt(string(bytes.Fields(text)[1]), 10, 64)
	require.NoError(t, err)
	return pages * int64(os.Getpagesize())
}

func Example() {
	ctx := context.Background()
	b, err := native.New(native.Options{})
	if err != nil {
		fmt.Println(err) // lists what was tried, and the remedy
		return
	}
	cfg, err := nanoConfig(ctx) // Files and what weights do not tell
	if err != nil {
		fmt.Println(err)
		return
	}
	model, err := b.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer model.Close()
	latents := backend.NewTensor(1, model.Info().VAE.LatentChannels, 4, 4)
	pixels, err := model.DecodeLatents(ctx, latents)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(model.Info().Kind, pixels.Shape)
	// Output: sdxl-base [1 3 32 32]
}

// TestControlNetOfSharedTexts: pictures of one prompt, whose texts' keys and values are computed once, have the residuals of each guided
// pair by itself, bit for bit.
func TestControlNetOfSharedTexts(t *testing.T) {
	b, _ := nanoBackend(t)
	path := filepath.Join("..", "..", "..", "models", "nano", "nano-controlnet-canny.safetensors")
	for _, precision := range []backend.Precision{backend.PrecisionExact, backend.PrecisionAuto} {
		m, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{ControlNet: path}, Device: "cpu", Precision: precision})
		require.NoError(t, err)
		const rows, h, w = 6, 16, 16
		u := m.Info().UNet
		hint, err := m.EncodeHint(t.Context(), noise(1, 3, 8*h, 8*w))
		require.NoError(t, err)
		whole, _ := unetInput(m.Info(), rows, h, w)
		texts := len(whole.Context.Data) / rows
		for row := 2; row < rows; row++ { // negative and positive in turns
			copy(whole.Context.Data[row*texts:(row+1)*texts], whole.Context.Data[row%2*texts:])
		}
		part := func(x backend.Tensor, first, n int) backend.Tensor {
			size := len(x.Data) / rows
			return backend.Tensor{Shape: append([]int{n}, x.Shape[1:]...), Data: x.Data[first*size : (first+n)*size]}
		}
		scales := make([]float32, len(u.ResidualShapes(h, w)))
		for i := range scales {
			scales[i] = 1
		}
		evaluate := func(residuals []float32, first, n int) {
			require.NoError(t, m.ControlNet(t.Context(), backend.ControlInput{Sample: part(whole.Sample, first, n),
				Timesteps: whole.Timesteps[first : first+n], Context: part(whole.Context, first, n), Pooled: part(whole.Pooled, first, n),
				SizeIDs: part(whole.SizeIDs, first, n), Hint: hint, Scales: scales, Rows: rows, FirstRow: first}, residuals))
		}
		together, alone := make([]float32, u.ResidualCount(rows, h, w)), make([]float32, u.ResidualCount(rows, h, w))
		evaluate(together, 0, rows)
		requireFinite(t, together)
		for first := 0; first < rows; first += 2 {
			evaluate(alone, first, 2)
		}
		require.Equal(t, alone, together, precision)
		require.NoError(t, m.Close())
	}
}
