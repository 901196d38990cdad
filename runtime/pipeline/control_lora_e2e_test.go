//go:build !race

package pipeline

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TestGoldenControlLoRA makes a Control-LoRA that takes a random model's UNet to ControlNet one of the goldens: up is the unit matrix, and
// down the difference. What is merged of both has the residuals of diffusers' ControlNetModel with that net, and makes the latents of its
// pipeline. In other precisions the picture is over 40 dB from the exact one.
func TestGoldenControlLoRA(t *testing.T) {
	base := synthNet(t, synth.KindNano, 3, modelfile.LayoutOriginal)
	was, err := modelfile.Open(base)
	require.NoError(t, err)
	defer func() { _ = was.Close() }()
	net, err := modelfile.Open(synthNet(t, synth.KindNanoControl, goldenSeeds["one"], modelfile.LayoutOriginal))
	require.NoError(t, err)
	defer func() { _ = net.Close() }()
	lora := &modeltest.File{Tensors: []modeltest.Tensor{modeltest.Floats("lora_controlnet", modelfile.F32, []int64{0})}}
	products := 0
	for _, x := range net.Tensors {
		values, err := net.ReadFloat32(x.Name)
		require.NoError(t, err)
		name := strings.TrimPrefix(x.Name, "control_model.")
		stem, weight := strings.CutSuffix(name, ".weight")
		old, err := was.ReadFloat32("model.diffusion_model." + name)
		if !weight || len(x.Shape) < 2 || err != nil {
			lora.Tensors = append(lora.Tensors, modeltest.Floats(name, modelfile.F32, x.Shape, values...))
			continue
		}
		rows := x.Shape[0]
		unit := make([]float32, rows*rows)
		for i := range rows {
			unit[i*rows+i] = 1
		}
		for i, v := range old {
			values[i] -= v
		}
		up := []int64{rows, rows, 1, 1}
		lora.Tensors = append(lora.Tensors, modeltest.Floats(stem+".up", modelfile.F32, up[:len(x.Shape)], unit...),
			modeltest.Floats(stem+".down", modelfile.F32, x.Shape, values...))
		products++
	}
	require.Greater(t, products, 40)
	file, out := lora.Write(t, "lora.safetensors"), filepath.Join(t.TempDir(), "net.safetensors")
	report, err := convert.MergeControlLoRA(t.Context(), file, base, out, convert.MergeOptions{Type: modelfile.F32})
	require.NoError(t, err)
	assert.Equal(t, products, report.Changed)

	m := openNet(t, backend.Files{ControlNet: out})
	hint, err := m.EncodeHint(t.Context(), controlPixels(t, "one"))
	require.NoError(t, err)
	l2 := relativeL2(t, evaluateControl(t, m, hint, 0), golden(t, "control_residuals").Data)
	t.Logf("residuals %.2g relative L2", l2)
	assert.Less(t, l2, 1e-5)

	r := readControlRun(t, "control", map[string]string{"one": out})
	want := generate(t, openNano(t, backend.PrecisionExact), r).Images[0]
	l2 = relativeL2(t, want.Latents.Data, golden(t, "run_control_latents").Data)
	t.Logf("latents %.2g relative L2", l2)
	assert.Less(t, l2, 1e-3)
	eachPrecision(t, func(name string, p *Pipeline) {
		db := psnr(t, want.NRGBA, generate(t, p, r).Images[0].NRGBA)
		t.Logf("%-5s %.1f dB", name, db)
		assert.Greater(t, db, 40.0, name)
	})
}
