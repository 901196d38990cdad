//go:build !race

package pipeline

import (
	"encoding/json"
	"image"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// maskRun is what run_mask*.json says besides a goldenRun.
type maskRun struct {
	Mask    string    `json:"mask"`
	Fill    string    `json:"fill"`
	Invert  bool      `json:"invert"`
	Blur    float64   `json:"blur"`
	Padding *int      `json:"padding"`
	Soft    bool      `json:"soft"`
	Nets    []string  `json:"nets"`
	Weights []float64 `json:"weights"`
}

// readMaskRun is readRun for run_mask*.json; net is the ControlNet's file.
func readMaskRun(t *testing.T, name, net string) request.Request {
	t.Helper()
	var g maskRun
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	_, r := readRun(t, name)
	r.InitImage.Path = filepath.Join(goldens, "input_paint.png")
	r.MaskImage.Path = filepath.Join(goldens, "input_paint_"+g.Mask+".png")
	r.Inpaint = request.Inpaint{Blur: g.Blur, Invert: g.Invert, Fill: g.Fill, Soft: g.Soft, OnlyMasked: g.Padding != nil, Padding: g.Padding}
	for i := range g.Nets {
		r.ControlNets = append(r.ControlNets, request.ControlNet{Model: net, Weight: &g.Weights[i], ResizeMode: "stretch",
			Image: request.Picture{Path: filepath.Join(goldens, "input_control_"+g.Nets[i]+".png")}})
	}
	return r
}

// worst is the largest difference of two pictures' values.
func worst(t *testing.T, a, b *image.NRGBA) (most int) {
	t.Helper()
	require.Equal(t, b.Rect, a.Rect)
	for i := range a.Pix {
		most = max(most, int(a.Pix[i])-int(b.Pix[i]), int(b.Pix[i])-int(a.Pix[i]))
	}
	return most
}

// TestGoldenMasks compares every way to repaint with StableDiffusionXLInpaintPipeline, and what is put back with apply_overlay. A1111's
// fills and differential diffusion are compared with their arithmetic restated in tools/goldens/masks.py.
func TestGoldenMasks(t *testing.T) {
	net := synthNet(t, synth.KindNanoControl, goldenSeeds["one"], modelfile.LayoutOriginal)
	plain := openNano(t, backend.PrecisionExact)
	wide, err := Open(t.Context(), Config{Model: writeInpaint9(t), Precision: backend.PrecisionExact, Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, wide.Close()) }()
	for _, name := range []string{"mask_blur", "mask_invert", "mask_crop", "mask_crop_wide", "mask_fill", "mask_noise", "mask_nothing",
		"mask_soft", "mask_soft_part", "mask9_crop", "mask_control"} {
		p := plain
		if name == "mask9_crop" {
			p = wide
		}
		r := readMaskRun(t, name, net)
		out := generate(t, p, r).Images[0]
		l2 := relativeL2(t, out.Latents.Data, golden(t, "run_"+name+"_latents").Data)
		assert.Less(t, l2, 1e-3, name)
		if r.Inpaint.Soft {
			t.Logf("%-16s latents %.2g relative L2", name, l2)
			continue
		}
		want, err := picture.Read(filepath.Join(goldens, "run_"+name+"_picture.png"), request.MaxPixels)
		require.NoError(t, err)
		most := worst(t, out.NRGBA, picture.Opaque(want))
		t.Logf("%-16s latents %.2g relative L2, picture within %d of 255", name, l2, most)
		assert.LessOrEqual(t, most, 2, name)
	}
}
