package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image/png"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func TestOpenChecksItsConfigAndFiles(t *testing.T) {
	_, err := Open(t.Context(), Config{Model: "x", Precision: "f64", Threads: -1, Type: "q9"}, WithBackend(&fake.Backend{}))
	require.ErrorIs(t, err, request.ErrInvalid)
	var errs request.Errors
	require.ErrorAs(t, err, &errs)
	assert.Len(t, errs, 3)
	log := slog.New(slog.DiscardHandler)
	_, err = readConfig(t.Context(), Config{}, false, log)
	assert.ErrorContains(t, err, "model.model: is missing")
	path := filepath.Join(t.TempDir(), "model.safetensors")
	_, err = readConfig(t.Context(), Config{Model: path}, false, log)
	require.ErrorIs(t, err, modelfile.ErrNotFound)
	require.NoError(t, os.WriteFile(path, []byte("hello, I am a text"), 0o600))
	_, err = readConfig(t.Context(), Config{Model: path}, false, log)
	require.Error(t, err)
	assert.ErrorContains(t, err, path)
}

func TestConfigRoundTrip(t *testing.T) {
	m := request.Model{Model: "a", UNet: "b", TextEncoder: "c", TextEncoder2: "d", VAE: "e", Device: "f", TextDevice: "g", VAEDevice: "h",
		Precision: "i", Type: "j", UNetType: "k", TextType: "l", VAEType: "m", VAETiling: "on", VAETileSize: 512, VAETileOverlap: 0.3,
		VAESlicing: "off", Refiner: "n", RefinerType: "o", RefinerOnDemand: new(true), ControlNetCacheMB: 5, TAESD: "r", FastDecode: new(true),
		ControlNetDirectories: []string{"q"}, Threads: 1, FlashAttention: "n", Convolution: "q",
		Embeddings: []string{"o"}, EmbeddingDirectories: []string{"p"}}
	assert.Equal(t, m, ConfigOf(m).model())
	for size, overlap := range map[int]float64{vae.MinTileSize: vae.MaxOverlap, vae.MaxTileSize: 0} {
		assert.NoError(t, request.Model{Model: "x", VAETileSize: size, VAETileOverlap: overlap}.Validate())
	}
	for size, overlap := range map[int]float64{vae.MinTileSize - 1: 0, vae.MaxTileSize + 1: 0, vae.MinTileSize: vae.MaxOverlap + 0.01} {
		assert.Error(t, request.Model{Model: "x", VAETileSize: size, VAETileOverlap: overlap}.Validate())
	}
	assert.Len(t, request.Precisions, len(backend.Precisions))
	for i, p := range backend.Precisions {
		assert.Equal(t, request.Precisions[i], string(p))
	}
	assert.Len(t, request.Types, len(backend.Types))
	for i, p := range backend.Types {
		assert.Equal(t, request.Types[i], string(p))
	}
}

func TestPrepare(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r, err := p.Prepare(request.Request{Prompt: "x", Seed: request.RandomSeed})
	require.NoError(t, err)
	assert.GreaterOrEqual(t, r.Seed, int64(0))
	assert.Equal(t, []any{1024, 1024, 1, 30, 5.0, "EulerDiscrete", 1, "cpu", "auto", true},
		[]any{r.Width, r.Height, r.NumImages, r.NumInferenceSteps, r.GuidanceScale, r.Scheduler, r.MaxBatch, r.RNG, r.GuidanceBatch,
			*r.ForceZerosForEmptyPrompt})
	_, _, target := r.NegativeSizes(false)
	assert.Equal(t, request.Size{Height: 1024, Width: 1024}, target)
	again, err := p.Prepare(r)
	require.NoError(t, err)
	assert.Equal(t, r, again)

	_, err = p.Prepare(request.Request{Prompt: "x", Width: 7, Scheduler: "Eluer", SchedulerOptions: map[string]any{"use_karas_sigmas": true}})
	var errs request.Errors
	require.ErrorAs(t, err, &errs)
	assert.ErrorContains(t, err, "width: is 7")
	assert.ErrorContains(t, err, "use_karras_sigmas")
	_, err = p.Prepare(request.Request{Prompt: "x", Scheduler: "Eluer"})
	assert.ErrorContains(t, err, "scheduler: ")
	_, err = p.Prepare(request.Request{Prompt: "x", ClipSkip: 2})
	assert.ErrorContains(t, err, "clip_skip: is 2; the text encoders have 3 layers, so at most 1")
	_, err = p.Prepare(request.Request{Prompt: "x", InitImage: request.Picture{Image: gradient(64, 48)}, NumInferenceSteps: 3, Strength: 0.1})
	assert.ErrorContains(t, err, "strength: 0.1 of 3 steps is none; raise it or num_inference_steps")
	r, err = p.Prepare(request.Request{Prompt: "x", InitImage: request.Picture{Image: gradient(70, 55)}})
	require.NoError(t, err)
	assert.Equal(t, [2]int{64, 48}, [2]int{r.Width, r.Height})
}

func TestInputFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	var good bytes.Buffer
	require.NoError(t, png.Encode(&good, gradient(64, 48)))
	picture := write("a.png", good.Bytes())
	noise := filepath.Join(dir, "n.npy")
	require.NoError(t, npy.WriteFile(noise, npy.Array{Shape: []int{1, 4, 6, 8}, Data: make([]float32, 192)}))

	p := openFake(t, &fake.Backend{})
	r := request.Request{Prompt: "x", NumInferenceSteps: 4, InitImage: request.Picture{Path: picture}, Noise: request.Array{Path: noise}}
	fromFile := generate(t, p, r)
	m := fromFile.Manifest(fromFile.Images[0])
	assert.Equal(t, []string{"a.png", "n.npy"}, []string{m.InitImage, m.Noise}, "names, not paths")
	r.InitImage, r.Noise = request.Picture{Image: gradient(64, 48)}, request.Array{Shape: []int{4, 6, 8}, Data: make([]float32, 192)}
	assert.Equal(t, fromFile.Images[0].Pix, generate(t, p, r).Images[0].Pix)

	huge := append([]byte(nil), good.Bytes()...)
	copy(huge[16:], []byte{0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff})
	nan := filepath.Join(dir, "nan.npy")
	require.NoError(t, npy.WriteFile(nan, npy.Array{Shape: []int{1}, Data: []float32{float32(math.NaN())}}))
	run := request.Run{Model: request.Model{Model: "nano"}, Jobs: []request.Request{
		{Prompt: "x", InitImage: request.Picture{Path: picture}},
		{Prompt: "x", InitImage: request.Picture{Path: write("text.png", []byte("no picture"))}},
		{Prompt: "x", InitImage: request.Picture{Path: write("cut.png", good.Bytes()[:good.Len()/2])}},
		{Prompt: "x", InitImage: request.Picture{Path: write("huge.png", huge)}},
		{Prompt: "x", InitImage: request.Picture{Path: dir}, MaskImage: request.Picture{Path: filepath.Join(dir, "none.png")}},
	}}
	for _, job := range run.Jobs[1:] {
		one := request.Run{Model: run.Model, Jobs: []request.Request{run.Jobs[0], job}}
		err := CheckRun(&one)
		require.ErrorIs(t, err, request.ErrInvalid)
		assert.ErrorContains(t, err, "jobs[1].init_image: ")
		assert.ErrorContains(t, err, job.InitImage.Path)
		assert.NotNil(t, one.Jobs[0].InitImage.Image, "good inputs have been read")
	}
	bad := request.Run{Model: run.Model, Jobs: []request.Request{{Prompt: "x", Noise: request.Array{Path: nan}}}}
	assert.ErrorContains(t, CheckRun(&bad), "noise: "+nan+": value 0 is NaN")
	bad = request.Run{Model: run.Model, Jobs: []request.Request{{Prompt: "x", Scheduler: "nonsense", Width: 3}}}
	err := CheckRun(&bad)
	assert.ErrorContains(t, err, "scheduler: ")
	assert.ErrorContains(t, err, "width: is 3")
}

func TestManifest(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	r := small("a red circle")
	r.NumImages = 2
	out := generate(t, p, r)
	m := out.Manifest(out.Images[1])
	assert.Equal(t, int64(8), m.Seed)
	assert.Equal(t, "EulerDiscreteScheduler", m.Scheduler.Name)
	assert.Equal(t, "leading", m.Scheduler.Options["timestep_spacing"])
	data, err := json.Marshal(m)
	require.NoError(t, err)
	assert.Contains(t, string(data), `"prompt":"a red circle"`)
	_, err = out.ModelHash(t.Context())
	require.ErrorIs(t, err, ErrNoHash)
	assert.Equal(t, "sd_xl_base_1.0", ModelName("/some/where/sd_xl_base_1.0.safetensors"))
	assert.Equal(t, "folder.v2", ModelName("/some/folder.v2"))
}

func TestHashFile(t *testing.T) {
	t.Setenv("DAGUERRE_CACHE", t.TempDir())
	path := filepath.Join(t.TempDir(), "m")
	require.NoError(t, os.WriteFile(path, []byte("abc"), 0o600))
	want := sha256.Sum256([]byte("abc"))
	for range 2 {
		sum, err := HashFile(t.Context(), path)
		require.NoError(t, err)
		assert.Equal(t, hex.EncodeToString(want[:]), sum)
	}
	st, err := os.Stat(path)
	require.NoError(t, err)
	cache := hashCachePath(path)
	data, err := os.ReadFile(cache)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cache, bytes.Replace(data, []byte(hex.EncodeToString(want[:4])), []byte("00000000"), 1), 0o600))
	sum, err := HashFile(t.Context(), path)
	require.NoError(t, err)
	assert.Equal(t, "00000000", sum[:8], "the cache is used")
	require.NoError(t, os.Chtimes(path, st.ModTime(), st.ModTime().Add(1)))
	sum, err = HashFile(t.Context(), path)
	require.NoError(t, err)
	assert.Equal(t, hex.EncodeToString(want[:]), sum, "a changed file is read again")
	require.NoError(t, os.WriteFile(cache, []byte("damaged"), 0o600))
	_, err = HashFile(t.Context(), path)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, os.WriteFile(path, []byte("abcd"), 0o600))
	_, err = HashFile(ctx, path)
	require.ErrorIs(t, err, context.Canceled)
}

func TestNotFiniteLatents(t *testing.T) {
	p, s := openSpy(t, &fake.Backend{})
	r := small("x")
	s.damage = func(out []float32) { out[17] = 3e38 }
	r.NumInferenceSteps = 2
	_, err := p.Generate(t.Context(), r)
	require.ErrorIs(t, err, ErrNotFinite)
	assert.ErrorContains(t, err, "denoise: step 1 of 2")
	assert.Len(t, s.inputs, 1)
}
