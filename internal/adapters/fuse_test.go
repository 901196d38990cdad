package adapters

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// synthetic writes a nano model with random weights.
func synthetic(t testing.TB, name string, layout modelfile.Layout, typ modelfile.DType) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: synth.KindNano, Layout: layout, Type: typ}))
	return path
}

// canonicalWeights reads every tensor of a checkpoint under its canonical name.
func canonicalWeights(t testing.TB, path string) map[string][]float32 {
	t.Helper()
	c, err := modelfile.OpenAll(path)
	require.NoError(t, err)
	defer c.Close()
	out := map[string][]float32{}
	for _, u := range c.Tensors {
		values, err := u.File.ReadFloat32(u.Name)
		require.NoError(t, err)
		for _, p := range u.Canonical {
			n := len(values) / p.Parts
			v := values[p.Part*n : (p.Part+1)*n]
			if p.Transpose {
				v = transpose(v, int(u.Shape[0]), int(u.Shape[1]))
			}
			out[p.Name] = v
		}
	}
	return out
}

// TestCanonicalNames: both layouts hold the same weights under the same canonical names, and those are the modules'.
func TestCanonicalNames(t *testing.T) {
	one := canonicalWeights(t, synthetic(t, "o.safetensors", modelfile.LayoutOriginal, modelfile.F32))
	two := canonicalWeights(t, synthetic(t, "d.safetensors", modelfile.LayoutDiffusers, modelfile.F32))
	require.Equal(t, len(two), len(one))
	for name, w := range one {
		require.Equal(t, two[name], w, name)
	}
	for name := range nano.index.modules {
		assert.Contains(t, one, name+".weight")
	}
}

// fuseAdapters are two adapters that reach every special case: a third of a fused tensor, a transposed one, a convolution, a bias,
// factors on top of a low rank.
func fuseAdapters(t testing.TB) lora.Stack {
	t.Helper()
	first := write(t, "first.safetensors", safetensors(t, nil, append(append(
		pair("lora_te2_text_model_encoder_layers_1_self_attn_k_proj", 4), pair("lora_te2_text_projection", 2)...),
		random(convKey+".lora_down.weight", 4, 32, 3, 3), random(convKey+".lora_up.weight", 64, 4, 1, 1), random(convKey+".diff_b", 64),
		random(normKey+".w_norm", 64), random(linearKey+".lora_down.weight", 4, 64), random(linearKey+".lora_up.weight", 64, 4))...))
	second := write(t, "second.safetensors", safetensors(t, nil, random(linearKey+".weight", 64), scalar(linearKey+".on_input", 1)))
	return lora.Stack{Adapters: []lora.Adapter{{Name: "first", Path: first, Weight: new(0.5)},
		{Name: "second", Path: second, Weight: new(-0.25)}}}
}

func TestFuse(t *testing.T) {
	stack := fuseAdapters(t)
	for _, layout := range []modelfile.Layout{modelfile.LayoutOriginal, modelfile.LayoutDiffusers} {
		in := synthetic(t, "in.safetensors", layout, modelfile.F32)
		out := filepath.Join(t.TempDir(), "out.safetensors")
		var last int64
		report, err := Fuse(t.Context(), in, out, FuseOptions{Stack: stack, Progress: func(done, total int64) {
			assert.Greater(t, done, last)
			last = done
			assert.LessOrEqual(t, done, total)
		}})
		require.NoError(t, err)
		assert.Equal(t, report.Bytes, last)
		assert.Equal(t, 6, report.Changed)
		before, after := canonicalWeights(t, in), canonicalWeights(t, out)
		want := map[string][]float64{}
		for _, a := range stack.Adapters {
			f, err := Open(a.Path, nano)
			require.NoError(t, err)
			targets, err := f.Targets(t.Context())
			require.NoError(t, err)
			for _, x := range targets {
				name := x.Module + "." + tensorOf(x.Form)
				w := make([]float64, len(before[name]))
				for i, v := range before[name] {
					w[i] = float64(v)
				}
				rows := len(w)
				if x.Form != backend.LoRABias && x.Form != backend.LoRANorm {
					rows = 64
				}
				if want[name] == nil {
					want[name] = slices.Clone(w)
				}
				for i, d := range delta(t, x, w, rows, len(w)/rows) {
					want[name][i] += *a.Weight * d
				}
			}
			require.NoError(t, f.Close())
		}
		assert.Len(t, want, 6)
		for name, w := range after {
			if expected := want[name]; expected != nil {
				have := make([]float64, len(w))
				for i, v := range w {
					have[i] = float64(v)
				}
				requireClose(t, expected, have)
				assert.NotEqual(t, before[name], w)
			} else {
				require.Equal(t, before[name], w, name)
			}
		}
		compareHeaders(t, in, out)
	}
}

// compareHeaders: names, shapes, types and their order are the input's, and so is the metadata but for the new entry.
func compareHeaders(t *testing.T, in, out string) {
	t.Helper()
	a, err := modelfile.Open(in)
	require.NoError(t, err)
	defer a.Close()
	b, err := modelfile.Open(out)
	require.NoError(t, err)
	defer b.Close()
	require.Len(t, b.Tensors, len(a.Tensors))
	for i, x := range a.Tensors {
		y := b.Tensors[i]
		require.Equal(t, []any{x.Name, x.DType, x.Shape}, []any{y.Name, y.DType, y.Shape})
	}
	assert.JSONEq(t, `[{"name":"first","unet_weight":0.5,"text_encoder_weight":0.5},{"name":"second","unet_weight":-0.25,"text_encoder_weight":-0.25}]`, b.Metadata[FusedKey])
	delete(b.Metadata, FusedKey)
	for k, v := range a.Metadata {
		if k != modelfile.MetadataKey { // written anew, of the same meaning
			assert.Equal(t, v, b.Metadata[k], k)
		}
	}
}

// TestFuseKeepsTypes: F16 stays F16, and what it cannot hold is an error that leaves nothing behind.
func TestFuseKeepsTypes(t *testing.T) {
	in := synthetic(t, "in.safetensors", modelfile.LayoutOriginal, modelfile.F16)
	stack := fuseAdapters(t)
	out := filepath.Join(t.TempDir(), "out.safetensors")
	_, err := Fuse(t.Context(), in, out, FuseOptions{Stack: stack})
	require.NoError(t, err)
	compareHeaders(t, in, out)
	st, err := os.Stat(out)
	require.NoError(t, err)
	gguf := filepath.Join(t.TempDir(), "out.gguf")
	_, err = Fuse(t.Context(), in, gguf, FuseOptions{Stack: stack})
	require.NoError(t, err)
	plain, fromGGUF := canonicalWeights(t, out), canonicalWeights(t, gguf)
	for name, w := range plain {
		require.Equal(t, w, fromGGUF[name], name)
	}

	keep := slices.Clone(stack.Adapters)
	huge := write(t, "huge.safetensors", safetensors(t, nil, entry{convKey + ".diff_b", []int{64}, append(make([]float32, 63), 1e6)}))
	keep[0].Path = huge
	_, err = Fuse(t.Context(), in, out, FuseOptions{Stack: lora.Stack{Adapters: keep}})
	require.ErrorIs(t, err, lora.ErrValue)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = Fuse(ctx, in, out, FuseOptions{Stack: stack, Progress: func(int64, int64) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	again, err := os.Stat(out)
	require.NoError(t, err)
	assert.Equal(t, st.ModTime(), again.ModTime(), "the file that was there stays")
	files, err := os.ReadDir(filepath.Dir(out))
	require.NoError(t, err)
	assert.Len(t, files, 1)

	keep[0].Path = "missing.safetensors"
	_, err = Fuse(t.Context(), in, out, FuseOptions{Stack: lora.Stack{Adapters: keep}})
	require.ErrorIs(t, err, lora.ErrNotFound)
	keep[0].Path = write(t, "te1.safetensors", safetensors(t, nil,
		random("lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q.diff_b", 64)))
	_, err = Fuse(t.Context(), in, out, FuseOptions{Stack: lora.Stack{Adapters: keep}})
	require.ErrorIs(t, err, lora.ErrShape)
	assert.ErrorContains(t, err, "no such tensor")
}
