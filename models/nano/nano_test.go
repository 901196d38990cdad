package nano

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPathUnpacksTheModel(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	t.Setenv(CacheEnv, dir)
	path, err := Path(t.Context())
	require.NoError(t, err)
	assert.Equal(t, dir, filepath.Dir(path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	sum := sha256.Sum256(data)
	assert.Equal(t, BaseSHA256(), hex.EncodeToString(sum[:]))
	info, err := os.Stat(path)
	require.NoError(t, err)

	again, err := Path(t.Context())
	require.NoError(t, err)
	assert.Equal(t, path, again)
	later, err := os.Stat(path)
	require.NoError(t, err)
	assert.True(t, os.SameFile(info, later), "an intact file must be kept")
	assertOnly(t, dir, path)
}

// TestHeader reads what every consumer of the file relies on.
func TestHeader(t *testing.T) {
	zr, err := gzip.NewReader(bytes.NewReader(base))
	require.NoError(t, err)
	size := make([]byte, 8)
	_, err = zr.Read(size)
	require.NoError(t, err)
	var n int
	for i, b := range size {
		n |= int(b) << (8 * i)
	}
	require.Less(t, n, 1<<20)
	var header map[string]json.RawMessage
	require.NoError(t, json.NewDecoder(zr).Decode(&header))
	var meta map[string]string
	require.NoError(t, json.Unmarshal(header["__metadata__"], &meta))
	assert.Equal(t, "stable-diffusion-xl-v1-base", meta["modelspec.architecture"])
	var config struct {
		UNet struct {
			NormNumGroups int `json:"norm_num_groups"`
		} `json:"unet"`
		VAE struct {
			NormNumGroups int     `json:"norm_num_groups"`
			ScalingFactor float64 `json:"scaling_factor"`
			ForceUpcast   *bool   `json:"force_upcast"`
		} `json:"vae"`
		Scheduler map[string]any `json:"scheduler"`
		Default   struct {
			Width, Height     int
			NumInferenceSteps int     `json:"num_inference_steps"`
			GuidanceScale     float64 `json:"guidance_scale"`
		} `json:"default"`
		ForceZeros bool `json:"force_zeros_for_empty_prompt"`
	}
	require.NoError(t, json.Unmarshal([]byte(meta["daguerre.config"]), &config))
	assert.Equal(t, 4, config.UNet.NormNumGroups)
	assert.Equal(t, 2, config.VAE.NormNumGroups)
	assert.InDelta(t, 0.6, config.VAE.ScalingFactor, 0.4)
	require.NotNil(t, config.VAE.ForceUpcast)
	assert.Equal(t, "EulerDiscreteScheduler", config.Scheduler["_class_name"])
	assert.Equal(t, "epsilon", config.Scheduler["prediction_type"])
	assert.Equal(t, 128, config.Default.Width)
	assert.Equal(t, 128, config.Default.Height)
	assert.Equal(t, 20, config.Default.NumInferenceSteps)
	assert.Positive(t, config.Default.GuidanceScale)
	assert.True(t, config.ForceZeros)
	for _, name := range []string{
		"model.diffusion_model.input_blocks.0.0.weight",
		"conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight",
		"conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight",
		"first_stage_model.decoder.mid.attn_1.q.weight",
	} {
		assert.Contains(t, header, name)
	}
	assert.LessOrEqual(t, len(base), 16<<20, "the budget of the embedded model")
}

func pack(t *testing.T, data []byte) (packed []byte, hash string) {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	_, err := zw.Write(data)
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	sum := sha256.Sum256(data)
	return buf.Bytes(), hex.EncodeToString(sum[:])
}

func assertOnly(t *testing.T, dir, path string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "temporary files must not stay")
	assert.Equal(t, filepath.Base(path), entries[0].Name())
}

func TestDamagedFileIsReplaced(t *testing.T) {
	want := bytes.Repeat([]byte("latent image "), 4096)
	packed, hash := pack(t, want)
	dir := t.TempDir()
	path, err := unpack(t.Context(), dir, "x", packed, hash)
	require.NoError(t, err)
	for name, damaged := range map[string][]byte{
		"cut short":  want[:len(want)/2],
		"a bit off":  append([]byte("M"), want[1:]...),
		"empty":      nil,
		"with extra": append(bytes.Clone(want), 0),
	} {
		require.NoError(t, os.WriteFile(path, damaged, 0o644), name)
		again, err := unpack(t.Context(), dir, "x", packed, hash)
		require.NoError(t, err, name)
		got, err := os.ReadFile(again)
		require.NoError(t, err, name)
		assert.Equal(t, want, got, name)
	}
	assertOnly(t, dir, path)
}

func TestWrongContentIsRefused(t *testing.T) {
	packed, _ := pack(t, []byte("one"))
	_, other := pack(t, []byte("two"))
	dir := t.TempDir()
	_, err := unpack(t.Context(), dir, "x", packed, other)
	require.ErrorContains(t, err, other)
	_, err = unpack(t.Context(), dir, "x", packed[:len(packed)-6], other)
	require.Error(t, err)
	_, err = unpack(t.Context(), dir, "x", []byte("this is not a gzip stream"), other)
	require.ErrorIs(t, err, gzip.ErrHeader)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries, "nothing may stay after a failure")
}

func TestCancelled(t *testing.T) {
	packed, hash := pack(t, make([]byte, 4<<20))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	_, err := unpack(ctx, dir, "x", packed, hash)
	require.ErrorIs(t, err, context.Canceled)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestUnusableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	t.Setenv(CacheEnv, filepath.Join(file, "sub"))
	_, err := Path(t.Context())
	require.Error(t, err)
}

func TestManyGoroutines(t *testing.T) {
	want := bytes.Repeat([]byte("grain"), 1<<18)
	packed, hash := pack(t, want)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			path, err := unpack(context.Background(), dir, "x", packed, hash)
			if !assert.NoError(t, err) {
				return
			}
			got, err := os.ReadFile(path)
			assert.NoError(t, err)
			assert.True(t, bytes.Equal(want, got))
		})
	}
	wg.Wait()
}

// TestManyProcesses runs this test binary again several times over one empty cache folder.
func TestManyProcesses(t *testing.T) {
	const child = "DAGUERRE_NANO_TEST_CHILD"
	if os.Getenv(child) != "" {
		path, err := Path(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("path=%s", path)
		return
	}
	dir := t.TempDir()
	outputs := make([]string, 4)
	var wg sync.WaitGroup
	for i := range outputs {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestManyProcesses$", "-test.v")
			cmd.Env = append(os.Environ(), child+"=1", CacheEnv+"="+dir)
			out, err := cmd.CombinedOutput()
			outputs[i] = string(out)
			if err != nil {
				outputs[i] += errors.Join(errors.New("FAILED"), err).Error()
			}
		})
	}
	wg.Wait()
	path, err := unpack(t.Context(), dir, "nano-base", base, BaseSHA256())
	require.NoError(t, err)
	for _, out := range outputs {
		assert.NotContains(t, out, "FAILED")
		assert.True(t, strings.Contains(out, "path="+path), out)
	}
	assertOnly(t, dir, path)
}

// TestModelsBesideTheBase: the files beside the base are small enough for the repository, and not in the program.
func TestModelsBesideTheBase(t *testing.T) {
	for limit, names := range map[int64][]string{
		12_000_000: {"nano-refiner.safetensors.gz", "nano-controlnet-canny.safetensors", "nano-taesd.safetensors",
			"nano-lora-outline.safetensors", "nano-lora-stripes.safetensors", "nano-control-lora-canny.safetensors"},
		16_000_000: {"nano-pair.safetensors.gz"},
		6_000_000:  {"nano-image-encoder.safetensors", "nano-ip-adapter.safetensors"},
	} {
		total := int64(0)
		for _, name := range names {
			info, err := os.Stat(name)
			require.NoError(t, err)
			total += info.Size()
		}
		assert.Less(t, total, limit, names)
	}
	source, err := os.ReadFile("nano.go")
	require.NoError(t, err)
	for line := range strings.Lines(string(source)) {
		if rest, ok := strings.CutPrefix(line, "//go:embed "); ok {
			assert.Contains(t, []string{"nano-base.safetensors.gz", "nano-base.sha256", "heldout.json"}, strings.TrimSpace(rest))
		}
	}
}
