//go:build !race

package pipeline

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// nanoAttentions are the UNet's blocks with cross attention in the order of diffusers' attn_processors.
func nanoAttentions() (out []string) {
	for _, part := range []struct {
		name  string
		count int
	}{{"down_blocks.1", 2}, {"down_blocks.2", 2}, {"up_blocks.0", 3}, {"up_blocks.1", 3}, {"mid_block", 1}} {
		for i := range part.count {
			out = append(out, fmt.Sprintf("%s.attentions.%d.transformer_blocks.0", part.name, i))
		}
	}
	return out
}

var (
	ipNumber  = regexp.MustCompile(`^ip_adapter\.(\d+)\.(to_[kv]_ip)\.weight$`)
	ofLayer   = regexp.MustCompile(`^image_proj\.layers\.(\d+)\.(.*)$`)
	layerName = strings.NewReplacer("0.norm1.", "ln0.", "0.norm2.", "ln1.", "0.to_q.", "attn.to_q.", "0.to_out.", "attn.to_out.0.", "1.0.",
		"ff.0.", "1.1.", "ff.1.net.0.proj.", "1.3.", "ff.1.net.2.")
)

// withDiffusersNames writes a file of h94's names under those of a UNet with IP-Adapters in diffusers.
func withDiffusersNames(t *testing.T, path string) string {
	t.Helper()
	blocks := nanoAttentions()
	out := &modeltest.File{}
	for _, x := range modeltest.Read(t, path).Tensors {
		const head = "encoder_hid_proj.image_projection_layers.0."
		switch m, l := ipNumber.FindStringSubmatch(x.Name), ofLayer.FindStringSubmatch(x.Name); {
		case m != nil:
			n, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			x.Name = fmt.Sprintf("%s.attn2.processor.%s.0.weight", blocks[n/2], m[2])
		case l != nil && strings.HasPrefix(l[2], "0.to_kv."):
			half := x
			half.Shape = []int64{x.Shape[0] / 2, x.Shape[1]}
			half.Name, half.Data = fmt.Sprintf("%slayers.%s.attn.to_k.weight", head, l[1]), x.Data[:len(x.Data)/2]
			out = out.With(half)
			half.Name, half.Data = fmt.Sprintf("%slayers.%s.attn.to_v.weight", head, l[1]), x.Data[len(x.Data)/2:]
			out = out.With(half)
			continue
		case l != nil:
			x.Name = fmt.Sprintf("%slayers.%s.%s", head, l[1], layerName.Replace(l[2]))
		default:
			x.Name = head + strings.Replace(strings.TrimPrefix(x.Name, "image_proj."), "proj.", "image_embeds.", 1)
		}
		out = out.With(x)
	}
	return out.Write(t, filepath.Base(path))
}

// TestIPAdapterNames: files of h94's names, of diffusers' and in PyTorch's format give the same latents, bit for bit.
func TestIPAdapterNames(t *testing.T) {
	p := openNano(t, backend.PrecisionExact)
	for name, kind := range map[string]string{"ip_base": "ip-adapter", "ip_plus": "ip-adapter-plus"} {
		r := threeSteps(t, name)
		r.IPAdapters[0].Start, r.IPAdapters[0].End = 0, 0
		want := allLatents(generate(t, p, r))
		bin := filepath.Join(t.TempDir(), kind+".bin")
		require.NoError(t, synth.Write(t.Context(), bin, synth.Options{Kind: synth.Kind("nano-" + kind), Seed: ipSeeds[kind]}))
		for _, path := range []string{withDiffusersNames(t, r.IPAdapters[0].Model), bin} {
			r.IPAdapters[0].Model = path
			assert.Equal(t, want, allLatents(generate(t, p, r)), path)
		}
	}
}

// TestIPAdapterFindsItsEncoder: where no image encoder is named, the one that fits is taken from the folders of adapters.
func TestIPAdapterFindsItsEncoder(t *testing.T) {
	files, dir := ipFiles(t), t.TempDir()
	put := func(name, file string) {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".safetensors"), data, 0o600))
	}
	wide := modelfile.Preset(string(synth.KindNanoImage))
	wide.ImageEncoder.Width, wide.ImageEncoder.ProjectionDim = 128, 96
	require.NoError(t, synth.Write(t.Context(), filepath.Join(dir, "a wide one.safetensors"),
		synth.Options{Kind: synth.KindNanoImage, Dims: &wide}))
	put("adapter", files["ip-adapter"])
	p := openOn(t, Config{Precision: backend.PrecisionExact, IPAdapterDirectories: []string{dir}})

	r := threeSteps(t, "ip_base")
	want := allLatents(generate(t, p, r))
	r.IPAdapters[0].Model, r.IPAdapters[0].ImageEncoder = "adapter", ""
	_, err := p.Generate(t.Context(), r)
	require.ErrorContains(t, err, "image_encoder: is missing; pictures need CLIP's image encoder")
	put("the one that fits", files["image-encoder"])
	got := generate(t, p, r)
	assert.Equal(t, want, allLatents(got))
	m, err := json.Marshal(got.Manifest(got.Images[0]))
	require.NoError(t, err)
	assert.Contains(t, string(m), `"image_encoder":"the one that fits`)
	assert.Empty(t, r.IPAdapters[0].ImageEncoder, "the caller's request stays as it is")
	put("another", files["image-encoder"])
	_, err = p.Generate(t.Context(), r)
	require.ErrorContains(t, err, "image_encoder: is missing, and 2 files of ip_adapter_directories fit: name one of")
}
