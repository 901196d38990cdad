//go:build !race

package pipeline

import (
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/pictures"
	"github.com/daguerre-go/daguerre/internal/upscale"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// goldenSeeds is SEEDS of tools/goldens/control.py, which computed with the same random weights.
var goldenSeeds = map[string]uint64{"one": 11, "two": 12, "union": 13, "taesd": 14, "esrgan": 15}

// goldenControlType is CONTROL_TYPE there.
const goldenControlType = 3

// synthNet writes a synthetic network and checks that every tensor of it belongs somewhere.
func synthNet(t *testing.T, kind synth.Kind, seed uint64, layout modelfile.Layout) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), string(kind)+".safetensors")
	require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: kind, Seed: seed, Layout: layout}))
	report, err := modelfile.Inspect(path)
	require.NoError(t, err)
	require.Empty(t, report.Reason)
	_, stray := report.Component("other")
	require.False(t, stray)
	_, err = modelfile.Check(path, report.Kind)
	require.NoError(t, err)
	return path
}

// openNet opens a network in exact precision.
func openNet(t *testing.T, files backend.Files) backend.Model {
	t.Helper()
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	m, err := b.Open(t.Context(), backend.ModelConfig{Files: files, Precision: backend.PrecisionExact, Threads: 1,
		Hyper: backend.Hyper{UNetNormNumGroups: 4}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	info := m.Info()
	assert.Zero(t, info.UnusedTensors, info.UnusedExample)
	return m
}

func goldenTensor(t *testing.T, name string) backend.Tensor {
	t.Helper()
	a := golden(t, name)
	return backend.Tensor{Shape: a.Shape, Data: a.Data}
}

// controlPixels is a golden's control picture in [0, 1].
func controlPixels(t *testing.T, name string) backend.Tensor {
	t.Helper()
	f, err := os.Open(filepath.Join(goldens, "input_control_"+name+".png"))
	require.NoError(t, err)
	defer f.Close()
	img, err := png.Decode(f)
	require.NoError(t, err)
	return pictures.HintPixels(img)
}

// TestGoldenControlNet compares a hint's embedding, a ControlNet's and a Union ControlNet's residuals and a UNet with residuals with
// diffusers, from files of both layouts.
func TestGoldenControlNet(t *testing.T) {
	for _, layout := range []modelfile.Layout{modelfile.LayoutOriginal, modelfile.LayoutDiffusers} {
		m := openNet(t, backend.Files{ControlNet: synthNet(t, synth.KindNanoControl, goldenSeeds["one"], layout)})
		info := m.Info()
		require.Equal(t, backend.KindControlNet, info.Kind)
		require.Equal(t, backend.ControlInfo{HintChannels: 3, HintDownscale: 8}, info.Control)
		hint, err := m.EncodeHint(t.Context(), controlPixels(t, "one"))
		require.NoError(t, err)
		l2 := relativeL2(t, hint.Data, golden(t, "control_hint").Data)
		t.Logf("%-9s hint %.2g relative L2", layout, l2)
		assert.Less(t, l2, 5e-5)

		residuals := evaluateControl(t, m, hint, 0)
		l2 = relativeL2(t, residuals, golden(t, "control_residuals").Data)
		t.Logf("%-9s residuals %.2g relative L2", layout, l2)
		assert.Less(t, l2, 5e-5)

		in := goldenUNetInput(t)
		in.Residuals = residuals
		p := openNano(t, backend.PrecisionExact)
		out := make([]float32, len(in.Sample.Data))
		require.NoError(t, p.models.Base.UNet(t.Context(), in, out))
		l2 = relativeL2(t, out, golden(t, "control_unet_out").Data)
		t.Logf("%-9s UNet with residuals %.2g relative L2", layout, l2)
		assert.Less(t, l2, 5e-5)
	}
}

func TestGoldenControlNetUnion(t *testing.T) {
	m := openNet(t, backend.Files{ControlNet: synthNet(t, synth.KindNanoUnion, goldenSeeds["union"], modelfile.LayoutDiffusers)})
	require.Equal(t, 6, m.Info().Control.Types)
	hint, err := m.EncodeHint(t.Context(), controlPixels(t, "two"))
	require.NoError(t, err)
	l2 := relativeL2(t, evaluateControl(t, m, hint, goldenControlType), golden(t, "control_union_residuals").Data)
	t.Logf("residuals %.2g relative L2", l2)
	assert.Less(t, l2, 5e-5)
	assert.Greater(t, relativeL2(t, evaluateControl(t, m, hint, 0), golden(t, "control_union_residuals").Data), 1e-3,
		"the kind of control counts")
}

// goldenUNetInput is what unet_n1 was computed from.
func goldenUNetInput(t *testing.T) backend.UNetInput {
	context := goldenTensor(t, "unet_n1_context")
	return backend.UNetInput{Sample: goldenTensor(t, "unet_n1_latents"), Timesteps: golden(t, "unet_n1_timesteps").Data,
		Context: context, Pooled: goldenTensor(t, "unet_n1_pooled"), SizeIDs: goldenTensor(t, "unet_n1_time_ids")}
}

// evaluateControl evaluates a ControlNet for unet_n1 at full weight; two halves are added up, so that adding is tested too.
func evaluateControl(t *testing.T, m backend.Model, hint backend.Tensor, kind int) []float32 {
	t.Helper()
	u := goldenUNetInput(t)
	h, w := u.Sample.Shape[2], u.Sample.Shape[3]
	scales := make([]float32, len(m.Info().UNet.ResidualShapes(h, w)))
	for i := range scales {
		scales[i] = 0.5
	}
	residuals := make([]float32, m.Info().UNet.ResidualCount(1, h, w))
	in := backend.ControlInput{Sample: u.Sample, Timesteps: u.Timesteps, Context: u.Context, Pooled: u.Pooled, SizeIDs: u.SizeIDs,
		Hint: hint, Scales: scales, Type: kind}
	require.NoError(t, m.ControlNet(t.Context(), in, residuals))
	require.NoError(t, m.ControlNet(t.Context(), in, residuals))
	return residuals
}

// cut takes rows and columns out of a picture [1, 3, H, W].
func cut(a npy.Array, top, left, h, w int) backend.Tensor {
	out := backend.NewTensor(1, 3, h, w)
	for i := range out.Data {
		c, y, x := i/(h*w), i/w%h, i%w
		out.Data[i] = a.Data[(c*a.Shape[2]+top+y)*a.Shape[3]+left+x]
	}
	return out
}

// TestGoldenTAESD compares TAESD both ways with diffusers' AutoencoderTiny.
func TestGoldenTAESD(t *testing.T) {
	m := openNet(t, backend.Files{TAESD: synthNet(t, synth.KindTAESD, goldenSeeds["taesd"], modelfile.LayoutDiffusers)})
	info := m.Info()
	require.Equal(t, backend.KindTAESD, info.Kind)
	require.Equal(t, 8, info.VAE.Downscale)
	moments, err := m.EncodeImage(t.Context(), cut(golden(t, "vae_square_pixels"), 0, 0, 64, 96))
	require.NoError(t, err)
	n := len(moments.Data) / 2
	l2 := relativeL2(t, moments.Data[:n], golden(t, "taesd_encoded").Data)
	t.Logf("encoded %.2g relative L2", l2)
	assert.Less(t, l2, 5e-5)
	assert.Equal(t, float32(-30), moments.Data[n], "no variance")
	out, err := m.DecodeLatents(t.Context(), goldenTensor(t, "taesd_latents"))
	require.NoError(t, err)
	l2 = relativeL2(t, out.Data, golden(t, "taesd_decoded").Data)
	t.Logf("decoded %.2g relative L2", l2)
	assert.Less(t, l2, 5e-5)
}

// TestGoldenESRGAN compares an upscaler of both layouts with the reference in tools/goldens/control.py.
func TestGoldenESRGAN(t *testing.T) {
	for _, layout := range []modelfile.Layout{modelfile.LayoutOriginal, modelfile.LayoutDiffusers} {
		m := openNet(t, backend.Files{Upscaler: synthNet(t, synth.KindESRGAN, goldenSeeds["esrgan"], layout)})
		require.Equal(t, backend.UpscalerInfo{Scale: 4, Channels: 64, Blocks: 23, Multiple: 1}, m.Info().Upscaler)
		out, err := m.Upscale(t.Context(), goldenTensor(t, "esrgan_pixels"))
		require.NoError(t, err)
		require.Equal(t, []int{1, 3, 64, 96}, out.Shape)
		l2 := relativeL2(t, out.Data, golden(t, "esrgan_out").Data)
		t.Logf("%-9s %.2g relative L2", layout, l2)
		assert.Less(t, l2, 5e-5)
	}
}

// TestTAESDDecodesPictures runs the whole pipeline with TAESD in the VAE's place.
func TestTAESDDecodesPictures(t *testing.T) {
	file := synthNet(t, synth.KindTAESD, goldenSeeds["taesd"], modelfile.LayoutDiffusers)
	p, err := Open(t.Context(), Config{Model: NanoModel, TAESD: file, FastDecode: true, Precision: backend.PrecisionExact, Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	_, r := readRun(t, "red")
	r.NumInferenceSteps = 2
	out := generate(t, p, r)
	want, err := openNet(t, backend.Files{TAESD: file}).DecodeLatents(t.Context(), out.Images[0].Latents)
	require.NoError(t, err)
	img := pictures.Of(want.Data, 128, 128)
	assert.Equal(t, img.Pix[:512], out.Images[0].Pix[:512])
	_, err = Open(t.Context(), Config{Model: NanoModel, TAESD: synthNet(t, synth.KindESRGAN, 1, modelfile.LayoutDiffusers), Threads: 1})
	require.ErrorContains(t, err, "this is an upscaler; give TAESD-XL")
}

// TestTiledUpscaling: tiles with enough surroundings make the picture of one evaluation.
func TestTiledUpscaling(t *testing.T) {
	m := openNet(t, backend.Files{Upscaler: synthNet(t, synth.KindESRGAN, goldenSeeds["esrgan"], modelfile.LayoutDiffusers)})
	img := gradient(72, 40)
	whole, err := upscale.Picture(t.Context(), m, img, upscale.Options{})
	require.NoError(t, err)
	tiled, err := upscale.Picture(t.Context(), m, img, upscale.Options{TileSize: 40, Overlap: 12})
	require.NoError(t, err)
	db := psnr(t, tiled, whole)
	t.Logf("%.1f dB", db)
	assert.GreaterOrEqual(t, db, 40.0)
}
