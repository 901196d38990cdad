//go:build !race

package pipeline

import (
	"encoding/binary"
	"encoding/json"
	"image"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// safetensorsEntry is one tensor of a safetensors header.
type safetensorsEntry struct {
	DType   modelfile.DType `json:"dtype"`
	Shape   []int64         `json:"shape"`
	Offsets [2]int64        `json:"data_offsets"`
}

// rewriteSafetensors copies the tensors that change keeps, with what it returns as shape and data, and the metadata. A tensor whose
// data has four bytes an element afterwards is F32.
func rewriteSafetensors(t *testing.T, from, to string, change func(modelfile.Tensor, []byte) (shape []int64, data []byte, keep bool)) {
	t.Helper()
	f, err := modelfile.Open(from)
	require.NoError(t, err)
	defer f.Close()
	header := map[string]any{"__metadata__": f.Metadata}
	var body []byte
	for _, x := range f.Tensors {
		raw, err := f.ReadRaw(x.Name)
		require.NoError(t, err)
		shape, data, keep := change(x, raw)
		if !keep {
			continue
		}
		elements := int64(1)
		for _, n := range shape {
			elements *= n
		}
		if int64(len(data)) == 4*elements {
			x.DType = "F32"
		}
		header[x.Name] = safetensorsEntry{x.DType, shape, [2]int64{int64(len(body)), int64(len(body) + len(data))}}
		body = append(body, data...)
	}
	text, err := json.Marshal(header)
	require.NoError(t, err)
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	require.NoError(t, os.WriteFile(to, append(append(out, text...), body...), 0o600))
}

// widenConvIn is the rule of tools/goldens/inpaint9.py: five more input channels, whose element i (flat, [out, 5, 3, 3])
// is 0.05 * sin(i).
func widenConvIn(x modelfile.Tensor, raw []byte) ([]int64, []byte) {
	per, extra := len(raw)/int(x.Shape[0]), 5*int(x.Shape[2]*x.Shape[3])
	var data []byte
	for o := range int(x.Shape[0]) {
		data = append(data, raw[o*per:(o+1)*per]...)
		for k := range extra {
			v := float32(0.05 * math.Sin(float64(o*extra+k)))
			data = binary.LittleEndian.AppendUint16(data, modelfile.Float32ToHalf(v))
		}
	}
	return []int64{x.Shape[0], 9, x.Shape[2], x.Shape[3]}, data
}

// writeInpaint9 writes the nano model with a 9-channel UNet.
func writeInpaint9(t *testing.T) string {
	t.Helper()
	base, err := nano.Path(t.Context())
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "nano-inpaint.safetensors")
	widened := 0
	rewriteSafetensors(t, base, path, func(x modelfile.Tensor, raw []byte) ([]int64, []byte, bool) {
		if x.Name != "model.diffusion_model.input_blocks.0.0.weight" {
			return x.Shape, raw, true
		}
		require.Equal(t, modelfile.F16, x.DType)
		widened++
		shape, data := widenConvIn(x, raw)
		return shape, data, true
	})
	require.Equal(t, 1, widened)
	return path
}

// TestGoldenInpaintNineChannels compares inpainting checkpoints with diffusers, from pure noise and from the picture.
func TestGoldenInpaintNineChannels(t *testing.T) {
	p, err := Open(t.Context(), Config{Model: writeInpaint9(t), Precision: backend.PrecisionExact, Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	info := p.Info()
	assert.Equal(t, backend.KindSDXLInpaint, info.Kind)
	assert.Equal(t, 9, info.UNet.InChannels)
	assert.Zero(t, info.UnusedTensors, info.UnusedExample)

	pictures := map[string]*image.NRGBA{}
	for _, name := range []string{"inpaint9", "inpaint9_partial"} {
		g, r := readRun(t, name)
		r.MaskImage.Path = filepath.Join(goldens, "input_mask.png")
		r.Inpaint.PasteBack = new(false) // the golden is what the VAE decodes
		out := generate(t, p, r)
		assert.Equal(t, g.Evaluations, out.Timings.Steps, name)
		want := lastOf(golden(t, "run_"+name+"_latents"))
		l2 := relativeL2(t, out.Images[0].Latents.Data, want)
		db := psnr(t, out.Images[0].NRGBA, goldenPicture(t, name, r))
		t.Logf("%-16s latents %.2g relative L2, picture %.1f dB", name, l2, db)
		assert.Less(t, l2, 1e-3, name)
		assert.GreaterOrEqual(t, db, 60.0, name)
		pictures[name] = out.Images[0].NRGBA
	}
	assert.Greater(t, distance(pictures["inpaint9"], pictures["inpaint9_partial"], image.Rect(0, 0, 128, 128)), 1.0,
		"the two runs are not the same")
}
