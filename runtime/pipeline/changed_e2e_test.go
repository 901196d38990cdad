//go:build !race

package pipeline

import (
	"errors"
	"image"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// changes are what happens to a file while it is open. Each keeps the size, and the time of the contents where it can.
var changes = map[string]func(t *testing.T, path string){
	"renamed over": func(t *testing.T, path string) {
		st, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path+".new", disturbed(t, path), 0o600))
		require.NoError(t, os.Chtimes(path+".new", st.ModTime(), st.ModTime()))
		require.NoError(t, os.Rename(path+".new", path))
	},
	"rewritten in place": func(t *testing.T, path string) {
		data := disturbed(t, path)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		require.NoError(t, err)
		_, err = f.Write(data)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	},
	"removed": func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
}

// disturbed is a file's contents with other numbers in every tensor.
func disturbed(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	f, err := modelfile.Open(path)
	require.NoError(t, err)
	defer f.Close()
	for _, x := range f.Tensors {
		for at := x.Offset; at < x.Offset+x.Size; at += 4 {
			data[at] ^= 0x10
		}
	}
	return data
}

// copyOf copies a file into a folder of the test's, long enough ago for a change to have another time.
func copyOf(t *testing.T, from string) string {
	t.Helper()
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), filepath.Base(from))
	require.NoError(t, os.WriteFile(path, data, 0o600))
	time.Sleep(15 * time.Millisecond)
	return path
}

func nanoFile(t *testing.T) string {
	t.Helper()
	path, err := nano.Path(t.Context())
	require.NoError(t, err)
	return path
}

// onePicture is the quickest job.
func onePicture() request.Request {
	return request.Request{Prompt: "a red circle on a blue background", Seed: 3, NumInferenceSteps: 2, Width: 64, Height: 64}
}

// refused checks that an error names a changed file and what to do.
func refused(t *testing.T, err error, path string) {
	t.Helper()
	require.Error(t, err)
	require.True(t, errors.Is(err, native.ErrFile) || errors.Is(err, identity.ErrChanged), "%v", err)
	assert.ErrorContains(t, err, path)
	assert.Regexp(t, "(open the model|the request) again", err.Error())
}

// TestModelChangedWhileOpen: weights that are freed and read again, streamed or mapped never come from another file than those before.
func TestModelChangedWhileOpen(t *testing.T) {
	for _, strategy := range []string{memory.Resident, memory.Release, memory.Stage, memory.Stream, memory.Mmap} {
		for way, change := range changes {
			t.Run(strategy+", "+way, func(t *testing.T) {
				path := copyOf(t, nanoFile(t))
				p, err := Open(t.Context(), Config{Model: path, Device: "cpu", Precision: backend.PrecisionF16,
					Memory: request.Memory{Strategy: strategy}})
				require.NoError(t, err)
				defer func() { require.NoError(t, p.Close()) }()
				want, err := p.Generate(t.Context(), onePicture())
				require.NoError(t, err)
				change(t, path)
				got, err := p.Generate(t.Context(), onePicture())
				mapped := strategy == memory.Mmap && way != "rewritten in place" // the mapping keeps the file
				if strategy != memory.Resident && !mapped || err != nil {
					refused(t, err, path)
					return
				}
				for i := range want.Images {
					assert.Equal(t, want.Images[i].Pix, got.Images[i].Pix, "picture %d", i)
				}
			})
		}
	}
}

// TestPartsChangedWhileOpen: the same of every other file that a pipeline reads more than once.
func TestPartsChangedWhileOpen(t *testing.T) {
	staged := request.Memory{Strategy: memory.Stage}
	nanoPart := func(name string) string { return filepath.Join("..", "..", "models", "nano", name) }
	hires := onePicture()
	hires.Hires = request.Hires{Scale: 2, Upscaler: request.UpscaleModel, Steps: 2, Strength: 0.5}
	for name, c := range map[string]struct {
		file   func(t *testing.T) string
		config func(path string) Config
		job    request.Request
	}{
		"vae": {nanoFile, func(path string) Config { return Config{VAE: path, Memory: staged} }, onePicture()},
		"text_encoder": {nanoFile, func(path string) Config { return Config{TextEncoder: path, Memory: staged, TextCache: -1} },
			onePicture()},
		"text_encoder_2": {nanoFile, func(path string) Config { return Config{TextEncoder2: path, Memory: staged, TextCache: -1} },
			onePicture()},
		"unet": {nanoFile, func(path string) Config { return Config{UNet: path, Memory: staged} }, onePicture()},
		"refiner": {func(t *testing.T) string { return nanoRefiner(t, false) },
			func(path string) Config { return Config{Refiner: path, RefinerOnDemand: true} }, onePicture()},
		"taesd": {func(*testing.T) string { return nanoPart("nano-taesd.safetensors") },
			func(path string) Config { return Config{TAESD: path, FastDecode: true, Memory: staged} }, onePicture()},
		"upscaler": {func(t *testing.T) string { return synthNet(t, "esrgan", 1, modelfile.LayoutOriginal) },
			func(path string) Config { return Config{Upscaler: path, Memory: staged} }, hires},
	} {
		for _, way := range []string{"renamed over", "rewritten in place"} {
			t.Run(name+", "+way, func(t *testing.T) {
				path := copyOf(t, c.file(t))
				config := c.config(path)
				config.Model, config.Device, config.Precision = NanoModel, "cpu", backend.PrecisionF16
				p, err := Open(t.Context(), config)
				require.NoError(t, err)
				defer func() { require.NoError(t, p.Close()) }()
				want, err := p.Generate(t.Context(), c.job)
				require.NoError(t, err)
				for _, idle := range p.models.Idle() {
					require.NoError(t, idle.Close())
				}
				changes[way](t, path)
				got, err := p.Generate(t.Context(), c.job)
				if name == "taesd" && err == nil { // it stays in memory
					assert.Equal(t, want.Images[0].Pix, got.Images[0].Pix)
					return
				}
				refused(t, err, path)
			})
		}
	}
}

// TestAskedFilesChange: a ControlNet's and an adapter's file belong to the request. The next one takes what is there then; one that was
// prepared before the change is refused.
func TestAskedFilesChange(t *testing.T) {
	nanoPart := func(name string) string { return filepath.Join("..", "..", "models", "nano", name) }
	picture := request.Picture{Image: image.NewNRGBA(image.Rect(0, 0, 64, 64))}
	for name, c := range map[string]struct {
		file string
		job  func(path string) request.Request
	}{
		"controlnet": {nanoPart("nano-controlnet-canny.safetensors"), func(path string) request.Request {
			r := onePicture()
			r.ControlNets = []request.ControlNet{{Model: path, Image: picture}}
			return r
		}},
		"adapter": {nanoPart("nano-lora-stripes.safetensors"), func(path string) request.Request {
			r := onePicture()
			r.LoRAs = []lora.Adapter{{Path: path}}
			return r
		}},
	} {
		for way, change := range changes {
			t.Run(name+", "+way, func(t *testing.T) {
				path := copyOf(t, c.file)
				p, err := Open(t.Context(), Config{Model: NanoModel, Device: "cpu", Precision: backend.PrecisionF16})
				require.NoError(t, err)
				defer func() { require.NoError(t, p.Close()) }()
				before, err := p.Generate(t.Context(), c.job(path))
				require.NoError(t, err)
				planned, err := p.Plan(c.job(path))
				require.NoError(t, err)
				change(t, path)
				b := NewBatcher(BatcherOptions{}, p)
				defer b.Close()
				job, err := b.Submit(t.Context(), planned, JobOptions{})
				require.NoError(t, err)
				refused(t, job.Wait(t.Context()), path)
				if way == "removed" {
					return
				}
				after, err := p.Generate(t.Context(), c.job(path))
				require.NoError(t, err)
				assert.NotEqual(t, before.Images[0].Pix, after.Images[0].Pix, "the new file is used")
				fresh, err := Open(t.Context(), Config{Model: NanoModel, Device: "cpu", Precision: backend.PrecisionF16})
				require.NoError(t, err)
				defer func() { require.NoError(t, fresh.Close()) }()
				alone, err := fresh.Generate(t.Context(), c.job(path))
				require.NoError(t, err)
				assert.Equal(t, alone.Images[0].Pix, after.Images[0].Pix, "nothing of the old one is left")
			})
		}
	}
}

// TestHashesAreOfTheOpenFiles: a picture never names a model's or an adapter's file by the sum of another one.
func TestHashesAreOfTheOpenFiles(t *testing.T) {
	t.Setenv("DAGUERRE_CACHE", t.TempDir())
	path := copyOf(t, nanoFile(t))
	adapter := copyOf(t, filepath.Join("..", "..", "models", "nano", "nano-lora-stripes.safetensors"))
	p, err := Open(t.Context(), Config{Model: path, Device: "cpu", Precision: backend.PrecisionF16})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	job := onePicture()
	job.LoRAs = []lora.Adapter{{Path: adapter}}
	got, err := p.Generate(t.Context(), job)
	require.NoError(t, err)
	for _, change := range []string{"rewritten in place", "renamed over"} {
		changes[change](t, path)
		_, err = p.ModelHash(t.Context())
		require.ErrorIs(t, err, identity.ErrChanged)
		changes[change](t, adapter)
		require.ErrorIs(t, got.HashFiles(t.Context()), identity.ErrChanged)
	}
	got, err = p.Generate(t.Context(), job)
	require.NoError(t, err)
	require.NoError(t, got.HashFiles(t.Context()))
	sum, err := HashFile(t.Context(), adapter)
	require.NoError(t, err)
	assert.Equal(t, sum, got.LoRAs[0].SHA256, "that of the adapter as it is now")
}

// TestExactVAEIsOfTheSameFile opens the VAE in F32, as is done where F16 overflows, after the model's file has changed.
func TestExactVAEIsOfTheSameFile(t *testing.T) {
	path := copyOf(t, nanoFile(t))
	config := Config{Model: path, Device: "cpu", Precision: backend.PrecisionF16}
	o, err := readConfig(t.Context(), config, false, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	cache := vae.NewCache(b)
	defer func() { require.NoError(t, cache.Close()) }()
	exact := vae.ExactConfig(o.base.Config)
	l, err := cache.Acquire(t.Context(), exact)
	require.NoError(t, err)
	require.NoError(t, l.Release())
	for _, i := range cache.List() {
		require.NoError(t, cache.Drop(i.Key))
	}
	changes["renamed over"](t, path)
	_, err = cache.Acquire(t.Context(), exact)
	refused(t, err, path)
}
