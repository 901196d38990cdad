package convert

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
)

// controlLoRA makes one in the form of Stability's files from a ControlNet's file in the original layout: products of the rank for matrices
// and convolutions that a UNet has too, with biases; all of the tensors of its own.
func controlLoRA(t *testing.T, rank int64) *modeltest.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "net.safetensors")
	require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: synth.KindNanoControl, Type: modelfile.F32}))
	random := rand.New(rand.NewPCG(1, 2))
	values := func(n int64) (list []float32) {
		for range n {
			list = append(list, float32(random.NormFloat64())/4)
		}
		return list
	}
	out := &modeltest.File{Tensors: []modeltest.Tensor{modeltest.Floats("lora_controlnet", modelfile.F32, []int64{0})}}
	for _, x := range modeltest.Read(t, path).Tensors {
		name := strings.TrimPrefix(x.Name, "control_model.")
		own := strings.HasPrefix(name, "input_hint") || strings.HasPrefix(name, "zero_convs") || strings.HasPrefix(name, "middle_block_out")
		stem, weight := strings.CutSuffix(name, ".weight")
		if !own && weight && len(x.Shape) > 1 {
			in := elements(x.Shape[1:])
			up, down := []int64{x.Shape[0], rank}, []int64{rank, in}
			if len(x.Shape) == 4 {
				up, down = []int64{x.Shape[0], rank, 1, 1}, []int64{rank, x.Shape[1], x.Shape[2], x.Shape[3]}
			}
			out.Tensors = append(out.Tensors, modeltest.Floats(stem+".up", modelfile.F32, up, values(x.Shape[0]*rank)...),
				modeltest.Floats(stem+".down", modelfile.F32, down, values(rank*in)...))
			continue
		}
		if own || !weight {
			out.Tensors = append(out.Tensors, modeltest.Tensor{Name: name, DType: x.DType, Shape: x.Shape, Data: x.Data})
		}
	}
	return out
}

// floats reads all tensors of a file under canonical names without the component.
func floats(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	c, err := modelfile.OpenAll(path)
	require.NoError(t, err)
	defer c.Close()
	out := map[string][]float32{}
	for _, x := range c.Tensors {
		if len(x.Canonical) == 1 {
			values, err := x.File.ReadFloat32(x.Name)
			require.NoError(t, err)
			out[strings.TrimPrefix(strings.TrimPrefix(x.Canonical[0].Name, "controlnet."), "unet.")] = values
		}
	}
	return out
}

// TestMergeControlLoRA holds the file against products made one by one, from models of both layouts.
func TestMergeControlLoRA(t *testing.T) {
	const rank = 3
	dir := t.TempDir()
	lora := controlLoRA(t, rank)
	file := lora.Write(t, "lora.safetensors")
	for _, layout := range []modelfile.Layout{modelfile.LayoutOriginal, modelfile.LayoutDiffusers} {
		base, out := filepath.Join(dir, string(layout)+".safetensors"), filepath.Join(dir, string(layout)+"-net.safetensors")
		require.NoError(t, synth.Write(t.Context(), base, synth.Options{Kind: synth.KindNano, Type: modelfile.F32, Layout: layout, Seed: 3}))
		report, err := MergeControlLoRA(t.Context(), file, base, out, MergeOptions{Type: modelfile.F32})
		require.NoError(t, err)
		assert.Equal(t, report.Tensors, report.Own+report.Shared+report.Changed)
		assert.NotZero(t, report.Shared, "norms are the model's")
		r, err := modelfile.Inspect(out)
		require.NoError(t, err)
		require.Empty(t, r.Reason)
		require.Equal(t, modelfile.KindControlNet, r.Kind)

		unet, net := floats(t, base), floats(t, out)
		was := map[string][]float32{}
		f, err := modelfile.Open(file)
		require.NoError(t, err)
		for _, x := range f.Tensors {
			if was[x.Name], err = f.ReadFloat32(x.Name); x.Name != controlLoRAMarker {
				require.NoError(t, err)
			}
		}
		require.NoError(t, f.Close())
		changed, own, shared := 0, 0, 0
		for _, s := range r.Dims.Specs("controlnet", modelfile.LayoutOriginal) {
			name := strings.TrimPrefix(s.Canonical[0].Name, "controlnet.")
			got, stem := net[name], strings.TrimSuffix(s.Name, ".weight")
			up, down := was[stem+".up"], was[stem+".down"]
			switch {
			case was[s.Name] != nil:
				own++
				assert.Equal(t, was[s.Name], got, s.Name)
			case up != nil && strings.HasSuffix(s.Name, ".weight"):
				changed++
				columns := int(s.FanIn())
				for _, i := range []int{0, columns - 1, len(got) / 2, len(got) - 1} {
					want := float64(unet[name][i])
					for k := range rank {
						want += float64(up[i/columns*rank+k]) * float64(down[k*columns+i%columns])
					}
					assert.InDelta(t, want, got[i], 1e-6, s.Name)
				}
			default:
				shared++
				assert.Equal(t, unet[name], got, s.Name)
			}
		}
		assert.Equal(t, MergeReport{report.Tensors, own, shared, changed}, *report)
	}
}

// TestControlLoRAMistakes: what does not go together is an error that names the tensor, and leaves no file.
func TestControlLoRAMistakes(t *testing.T) {
	dir := t.TempDir()
	base, out := filepath.Join(dir, "base.safetensors"), filepath.Join(dir, "net.safetensors")
	require.NoError(t, synth.Write(t.Context(), base, synth.Options{Kind: synth.KindNano}))
	refiner := filepath.Join(dir, "refiner.safetensors")
	require.NoError(t, synth.Write(t.Context(), refiner, synth.Options{Kind: synth.KindNanoRefiner}))
	lora := controlLoRA(t, 2)
	const stem = "input_blocks.0.0"
	for name, c := range map[string]struct {
		file  *modeltest.File
		model string
		says  string
	}{
		"another model":   {lora, refiner, "it is for another model"},
		"half a product":  {lora.Without(stem + ".down"), base, "of " + stem + ".up and " + stem + ".down, one is missing"},
		"no hint network": {lora.Without("input_hint_block.0.weight"), base, "no network for the control picture"},
		"no zero conv":    {lora.Without("zero_convs.0.0.weight"), base, "zero_convs.0.0.weight is missing"},
		"a stray tensor":  {lora.With(modeltest.Floats("output_blocks.0.up", modelfile.F32, []int64{1, 1}, 1)), base, "output_blocks.0.up"},
	} {
		_, err := MergeControlLoRA(t.Context(), c.file.Write(t, "lora.safetensors"), c.model, out, MergeOptions{Type: modelfile.F16})
		require.ErrorIs(t, err, ErrControlLoRA, name)
		require.ErrorContains(t, err, c.says, name)
		_, err = os.Stat(out)
		assert.ErrorIs(t, err, os.ErrNotExist, name)
	}
}
