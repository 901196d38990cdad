//go:build !race

package pipeline

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// sameWithAdapters compares a run with its golden, as it is and with the halves of guidance one after the other; without its adapters it is
// another picture.
func sameWithAdapters(t *testing.T, p *Pipeline, name string, r request.Request) {
	t.Helper()
	want := golden(t, "run_"+name+"_latents").Data
	for _, halves := range []string{request.GuidanceJoint, request.GuidanceSeparate} {
		r.GuidanceBatch = halves
		l2 := relativeL2(t, allLatents(generate(t, p, r)), want)
		t.Logf("%-20s %-8s latents %.2g relative L2", name, halves, l2)
		assert.Less(t, l2, 1e-4, "%s, %s", name, halves)
	}
	r.IPAdapters = nil
	assert.Greater(t, relativeL2(t, allLatents(generate(t, p, r)), want), 1e-2, "%s without adapters", name)
}

// TestGoldenIPAdapterBeforeARefiner compares with StableDiffusionXLPipeline and StableDiffusionXLImg2ImgPipeline, one after the other: as
// an ensemble, where start and end count the refiner's steps, too, and the refiner as image-to-image.
func TestGoldenIPAdapterBeforeARefiner(t *testing.T) {
	files := ipFiles(t)
	p, err := Open(t.Context(), Config{Model: NanoModel, Refiner: nanoRefiner(t, false), Precision: backend.PrecisionExact, Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	for _, name := range []string{"ip_refiner", "ip_refiner_img2img"} {
		_, r := readRefinerRun(t, name)
		r.IPAdapters = readIPRun(t, name, files).IPAdapters
		sameWithAdapters(t, p, name, r)
	}
}

// TestGoldenIPAdapterInpaint compares with StableDiffusionXLInpaintPipeline: a UNet with 4 channels, and one with 9, from noise and from
// the picture.
func TestGoldenIPAdapterInpaint(t *testing.T) {
	files := ipFiles(t)
	for model, names := range map[string][]string{NanoModel: {"ip_inpaint"}, writeInpaint9(t): {"ip_inpaint9", "ip_inpaint9_partial"}} {
		p, err := Open(t.Context(), Config{Model: model, Precision: backend.PrecisionExact, Threads: 1})
		require.NoError(t, err)
		for _, name := range names {
			r := readIPRun(t, name, files)
			r.MaskImage.Path = filepath.Join(goldens, "input_mask.png")
			sameWithAdapters(t, p, name, r)
		}
		require.NoError(t, p.Close())
	}
}
