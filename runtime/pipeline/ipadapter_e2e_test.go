//go:build !race

package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// ipSeeds is SEEDS of tools/goldens/ipadapter.py, which computed with the same random weights.
var ipSeeds = map[string]uint64{"image-encoder": 31, "ip-adapter": 32, "ip-adapter-plus": 33, "ip-adapter-faceid": 34,
	"ip-adapter-faceid-plus": 35}

// synthIP writes a synthetic file of IP-Adapters in h94's layout.
func synthIP(t *testing.T, kind string) string {
	t.Helper()
	return synthNet(t, synth.Kind("nano-"+kind), ipSeeds[kind], modelfile.LayoutOriginal)
}

// TestGoldenImageEncoder compares the embedding and the hidden states of two pictures with transformers'.
func TestGoldenImageEncoder(t *testing.T) {
	m := openNet(t, backend.Files{ImageEncoder: synthIP(t, "image-encoder")})
	require.Equal(t, backend.ImageInfo{Width: 64, Layers: 3, Heads: 1, ProjectionDim: 48, Tokens: 17, Size: 32}, m.Info().ImageEncoder)
	for name, hidden := range map[string]bool{"ip_embeds": false, "ip_hidden": true} {
		got, err := m.(backend.ImageModel).EncodePicture(t.Context(), goldenTensor(t, "ip_pixels"), hidden)
		require.NoError(t, err)
		want := goldenTensor(t, name)
		require.Equal(t, want.Shape, got.Shape)
		l2 := relativeL2(t, got.Data, want.Data)
		t.Logf("%-9s %.2g relative L2", name, l2)
		assert.Less(t, l2, 5e-5, name)
	}
}

// TestGoldenCLIPPixels compares what an image encoder is shown with transformers' CLIPImageProcessor. It may round a value of 255
// otherwise.
func TestGoldenCLIPPixels(t *testing.T) {
	want := golden(t, "ip_pixels")
	for i, name := range []string{"one", "two"} {
		img, err := picture.Read(filepath.Join(goldens, "input_ip_"+name+".png"), request.MaxPixels)
		require.NoError(t, err)
		got := picture.CLIP(img, 32)
		n := len(got)
		for k := range got {
			require.InDelta(t, want.Data[i*n+k], got[k], 1.01/255/0.26, "%s, value %d", name, k)
		}
		t.Logf("%s: %.2g relative L2", name, relativeL2(t, got, want.Data[i*n:(i+1)*n]))
	}
}

// ipFiles are the synthetic files of the goldens, by kind.
func ipFiles(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for kind := range ipSeeds {
		out[kind] = synthIP(t, kind)
	}
	return out
}

// readIPRun is readRun for run_ip_*.json.
func readIPRun(t *testing.T, name string, files map[string]string) request.Request {
	t.Helper()
	var g struct {
		NumImages int    `json:"num_images"`
		Net       string `json:"net"`
		Adapters  []struct {
			Kind     string         `json:"kind"`
			Pictures []string       `json:"pictures"`
			Masks    []string       `json:"masks"`
			Faces    string         `json:"faces"`
			Weight   *float64       `json:"weight"`
			Blocks   map[string]any `json:"blocks"`
			Start    float64        `json:"start"`
			End      float64        `json:"end"`
			Shortcut *float64       `json:"shortcut"`
		} `json:"adapters"`
	}
	data, err := os.ReadFile(filepath.Join(goldens, "run_"+name+".json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &g))
	_, r := readRun(t, name)
	r.NumImages = g.NumImages
	input := func(name string) request.Picture {
		return request.Picture{Path: filepath.Join(goldens, "input_"+name+".png")}
	}
	if g.Net != "" {
		r.ControlNets = []request.ControlNet{{Model: synthNet(t, synth.KindNanoControl, goldenSeeds[g.Net], modelfile.LayoutOriginal),
			Image: input("control_one"), Weight: new(0.8)}}
	}
	for _, a := range g.Adapters {
		ip := request.IPAdapter{Model: files[a.Kind], ImageEncoder: files["image-encoder"], Weight: a.Weight, BlockWeights: a.Blocks,
			Start: a.Start, End: a.End, Shortcut: a.Shortcut}
		for _, name := range a.Pictures {
			ip.Images = append(ip.Images, input("ip_"+name))
		}
		for _, name := range a.Masks {
			ip.Masks = append(ip.Masks, input("ip_mask_"+name))
		}
		if a.Faces != "" {
			ip.Faces.Path = filepath.Join(goldens, "input_ip_"+a.Faces+".npy")
		}
		r.IPAdapters = append(r.IPAdapters, ip)
	}
	return r
}

// ipRuns are the goldens' runs.
var ipRuns = []string{"ip_base", "ip_plus", "ip_two", "ip_style", "ip_mid", "ip_masks", "ip_plain", "ip_face", "ip_face_plus",
	"ip_face_plus_v2", "ip_control"}

// TestGoldenIPAdapterRuns compares whole runs with StableDiffusionXLPipeline: every layout, several adapters and pictures, weights of
// blocks, masks, without guidance and beside a ControlNet. Without its adapters the run is another picture.
func TestGoldenIPAdapterRuns(t *testing.T) {
	t.Parallel()
	files := ipFiles(t)
	p := openNano(t, backend.PrecisionExact)
	for _, name := range ipRuns {
		r := readIPRun(t, name, files)
		want := golden(t, "run_"+name+"_latents").Data
		got := allLatents(generate(t, p, r))
		l2 := relativeL2(t, got, want)
		t.Logf("%-16s latents %.2g relative L2", strings.TrimPrefix(name, "ip_"), l2)
		assert.Less(t, l2, latentsLimit(1e-5), name)
		if name == "ip_style" { // the weakest
			r.IPAdapters = nil
			assert.Greater(t, relativeL2(t, allLatents(generate(t, p, r)), want), 5e-3, name)
		}
	}
}

func allLatents(out *Result) (all []float32) {
	for _, img := range out.Images {
		all = append(all, img.Latents.Data...)
	}
	return all
}

// TestIPAdapterWays: the same latents with both halves of guidance one after the other, and from saved embeddings; a weight of 0 is no
// adapter, bit for bit.
func TestIPAdapterWays(t *testing.T) {
	files := ipFiles(t)
	p := openNano(t, backend.PrecisionExact)
	r := readIPRun(t, "ip_two", files)
	r.NumInferenceSteps, r.NumImages = 3, 1
	saved := []string{filepath.Join(t.TempDir(), "base.npy"), filepath.Join(t.TempDir(), "plus.safetensors")}
	for i, path := range saved {
		r.IPAdapters[i].SaveEmbeds = path
	}
	joint := allLatents(generate(t, p, r))
	r.GuidanceBatch = request.GuidanceSeparate
	assert.Less(t, relativeL2(t, allLatents(generate(t, p, r)), joint), 1e-5, "separate")

	r.GuidanceBatch = request.GuidanceJoint
	for i, path := range saved {
		r.IPAdapters[i].Images, r.IPAdapters[i].SaveEmbeds, r.IPAdapters[i].Embeds.Path = nil, "", path
	}
	assert.Equal(t, joint, allLatents(generate(t, p, r)), "saved embeddings")

	for i := range r.IPAdapters {
		r.IPAdapters[i].Weight = new(0.0)
	}
	zero := allLatents(generate(t, p, r))
	r.IPAdapters = nil
	assert.Equal(t, allLatents(generate(t, p, r)), zero, "weight 0")
	assert.Greater(t, relativeL2(t, zero, joint), 1e-2)
}
