package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// blocks8 is Q8_0 (a half for the scale, 32 signed bytes) under the names of all types with that size of block, and for the
// others blocks of a byte's index and nothing else, so that sizes are right. Tests of the real types are in backend/native.
type blocks8 struct{}

func (blocks8) Quantize(t backend.Type, values []float32, columns int, out []byte) error {
	if t != backend.TypeQ8_0 {
		clear(out)
		return nil
	}
	for i := 0; i < len(values); i += 32 {
		block, most := out[i/32*34:], float32(0)
		for _, v := range values[i : i+32] {
			most = max(most, v, -v)
		}
		h := modelfile.Float32ToHalf(most / 127)
		block[0], block[1] = byte(h), byte(h>>8)
		for j, v := range values[i : i+32] {
			if scale := modelfile.HalfToFloat32(h); scale > 0 {
				block[2+j] = byte(int8(math.Round(float64(v / scale))))
			}
		}
	}
	return nil
}

func (blocks8) Dequantize(t backend.Type, data []byte, columns int, values []float32) error {
	if t != backend.TypeQ8_0 {
		clear(values)
		return nil
	}
	for i := range values {
		block := data[i/32*34:]
		values[i] = float32(int8(block[2+i%32])) * modelfile.HalfToFloat32(uint16(block[0])|uint16(block[1])<<8)
	}
	return nil
}

func nanoFile(t *testing.T, name string, opt synth.Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	opt.Kind, opt.Seed = synth.KindNano, 3
	require.NoError(t, synth.Write(context.Background(), path, opt))
	return path
}

func byName(r *Report) map[string]TensorReport {
	m := map[string]TensorReport{}
	for _, t := range r.Tensors {
		m[t.Name] = t
	}
	return m
}

// What is kept at a higher precision, in both layouts.
func TestDefaults(t *testing.T) {
	for layout, want := range map[modelfile.Layout]map[string][2]string{ // name: type from F16, type from F32
		modelfile.LayoutOriginal: {
			"model.diffusion_model.input_blocks.0.0.weight":                                           {"f16", "f16"},
			"model.diffusion_model.out.2.weight":                                                      {"f16", "f16"},
			"model.diffusion_model.time_embed.0.weight":                                               {"f16", "f16"},
			"model.diffusion_model.label_emb.0.0.weight":                                              {"f16", "f16"},
			"model.diffusion_model.time_embed.0.bias":                                                 {"f16", "f32"},
			"model.diffusion_model.out.0.weight":                                                      {"f16", "f32"},
			"model.diffusion_model.input_blocks.1.0.in_layers.2.weight":                               {"f16", "f16"},
			"model.diffusion_model.input_blocks.1.0.emb_layers.1.weight":                              {"q8_0", "q8_0"},
			"model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight":             {"q8_0", "q8_0"},
			"model.diffusion_model.middle_block.1.transformer_blocks.0.ff.net.2.weight":               {"q8_0", "q8_0"},
			"conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight":        {"f16", "f16"},
			"conditioner.embedders.0.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight": {"q8_0", "q8_0"},
			"conditioner.embedders.1.model.token_embedding.weight":                                    {"f16", "f16"},
			"conditioner.embedders.1.model.text_projection":                                           {"f16", "f16"},
			"conditioner.embedders.1.model.positional_embedding":                                      {"f16", "f16"},
			"conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight":               {"q8_0", "q8_0"},
			"conditioner.embedders.1.model.transformer.resblocks.0.ln_1.weight":                       {"f16", "f32"},
			"first_stage_model.decoder.conv_out.weight":                                               {"f16", "f16"},
		},
		modelfile.LayoutDiffusers: {
			"unet.conv_in.weight":                                                {"f16", "f16"},
			"unet.add_embedding.linear_1.weight":                                 {"f16", "f16"},
			"unet.down_blocks.0.resnets.0.time_emb_proj.weight":                  {"q8_0", "q8_0"},
			"unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight": {"q8_0", "q8_0"},
			"vae.decoder.mid_block.attentions.0.to_q.weight":                     {"f16", "f16"},
			"text_encoder_2.text_projection.weight":                              {"f16", "f16"},
			"text_encoder_2.text_model.encoder.layers.0.mlp.fc1.weight":          {"q8_0", "q8_0"},
			"text_encoder_2.text_model.encoder.layers.0.layer_norm1.weight":      {"f16", "f32"},
			"text_encoder_2.text_model.embeddings.position_embedding.weight":     {"f16", "f16"},
		},
	} {
		for i, from := range []modelfile.DType{modelfile.F16, modelfile.F32} {
			in := nanoFile(t, "in.safetensors", synth.Options{Type: from, Layout: layout})
			r, err := Convert(t.Context(), in, filepath.Join(t.TempDir(), "out.gguf"), Options{Type: "Q8_0", Quantizer: blocks8{}})
			require.NoError(t, err)
			got := byName(r)
			for name, types := range want {
				require.Contains(t, got, name)
				assert.Equal(t, types[i], got[name].To, "%s from %s", name, from)
			}
		}
	}
}

// Quantizing keeps names, shapes, metadata and configuration, and reports the errors of what was read back.
func TestRoundTrip(t *testing.T) {
	in := nanoFile(t, "in.safetensors", synth.Options{})
	out := filepath.Join(t.TempDir(), "out.gguf")
	var stages []Stage
	last := map[Stage]int64{}
	r, err := Convert(t.Context(), in, out, Options{Type: "Q8_0", Quantizer: blocks8{}, Program: "test 1",
		Progress: func(s Stage, done, total int64) {
			if last[s] == 0 {
				stages = append(stages, s)
			}
			assert.Greater(t, done, last[s])
			assert.LessOrEqual(t, done, total)
			last[s] = done
		}})
	require.NoError(t, err)
	assert.Equal(t, []Stage{StageWrite, StageVerify}, stages)
	assert.Equal(t, r.Before, last[StageWrite])
	assert.Equal(t, r.Before, last[StageVerify])
	for _, x := range r.Tensors {
		switch x.To {
		case "q8_0":
			assert.InDelta(t, 0.005, x.Error, 0.002, x.Name)
			assert.Positive(t, x.MaxError)
		default:
			assert.Zero(t, x.Error, x.Name)
		}
	}
	require.Len(t, r.Types, 3, "position ids, 16 bits, quantized")
	a, err := modelfile.Inspect(in)
	require.NoError(t, err)
	b, err := modelfile.Inspect(out)
	require.NoError(t, err)
	_, err = modelfile.Check(out)
	require.NoError(t, err)
	assert.Equal(t, a.Dims, b.Dims)
	assert.Equal(t, a.Kind, b.Kind)
	a.Config.Sources, b.Config.Sources = nil, nil
	assert.Equal(t, a.Config, b.Config)
	for k, v := range a.Metadata {
		assert.Equal(t, v, b.Metadata[k], k)
	}
	assert.Equal(t, `{"from":"in.safetensors","type":"q8_0","program":"test 1"}`, b.Metadata[MetadataKey])
	assert.Equal(t, "7", b.Metadata["general.file_type"])
	assert.Equal(t, "2", b.Metadata["general.quantization_version"])

	// and back to plain types: the same values as the quantized ones stand for
	back := filepath.Join(t.TempDir(), "back.safetensors")
	r2, err := Convert(t.Context(), out, back, Options{Type: modelfile.F32, Quantizer: blocks8{}})
	require.NoError(t, err)
	for _, x := range r2.Tensors {
		assert.Zero(t, x.Error, x.Name)
	}
	c, err := modelfile.Inspect(back)
	require.NoError(t, err)
	assert.NotContains(t, c.Metadata, "general.alignment")
	assert.Equal(t, "pt", c.Metadata["format"])
}

// Every format and layout that is read can be converted, and the values are the same whatever it was.
func TestInputs(t *testing.T) {
	want := map[string]TensorReport(nil)
	for _, name := range []string{"in.safetensors", "in.gguf", "in.ckpt"} {
		in := nanoFile(t, name, synth.Options{})
		out := filepath.Join(t.TempDir(), "out.safetensors")
		r, err := Convert(t.Context(), in, out, Options{Type: modelfile.BF16})
		require.NoError(t, err)
		got := byName(r)
		if want == nil {
			want = got
		}
		for n, x := range got {
			assert.Equal(t, want[n].To, x.To, n)
			assert.Equal(t, want[n].Error, x.Error, n)
		}
	}
	folder := filepath.Join(t.TempDir(), "folder")
	require.NoError(t, synth.WriteFolder(t.Context(), folder, synth.Options{Kind: synth.KindNano, Seed: 3}))
	out := filepath.Join(t.TempDir(), "out.safetensors")
	_, err := Convert(t.Context(), folder, out, Options{Type: modelfile.F16})
	require.NoError(t, err)
	rep, err := modelfile.Check(out, modelfile.KindSDXLBase)
	require.NoError(t, err)
	assert.Equal(t, modelfile.LayoutDiffusers, rep.Layout)
	assert.Equal(t, 4, rep.Config.UNet.NormNumGroups, "the folder's configuration is in the metadata")
}

// Rules: by component, by name, the last one counts; rows that are no whole blocks get smaller ones.
func TestRules(t *testing.T) {
	in := nanoFile(t, "in.safetensors", synth.Options{})
	parse := func(texts ...string) (rules []Rule) {
		for _, s := range texts {
			r, err := ParseRule(s)
			require.NoError(t, err)
			assert.Equal(t, s, r.String())
			rules = append(rules, r)
		}
		return rules
	}
	r, err := Convert(t.Context(), in, filepath.Join(t.TempDir(), "out.gguf"), Options{Type: "Q4_K", Quantizer: blocks8{},
		Rules: parse("text_encoder=f16", "attn1.*=q8_0", `to_out.0.weight$=q5_1`, `input_blocks\.0\.0=f32`, "vae=f32")})
	require.NoError(t, err)
	got := byName(r)
	block := "model.diffusion_model.middle_block.1.transformer_blocks.0."
	for name, want := range map[string]string{
		block + "attn1.to_q.weight":                     "q8_0",
		block + "attn1.to_out.0.weight":                 "q5_1",
		block + "attn2.to_q.weight":                     "q5_0", // rows of 128
		block + "ff.net.2.weight":                       "q4_k", // rows of 512
		"model.diffusion_model.input_blocks.0.0.weight": "f32",
		"first_stage_model.decoder.conv_out.weight":     "f32",
		"first_stage_model.decoder.conv_out.bias":       "f16", // a component's rule keeps what is small
		"conditioner.embedders.0.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight": "f16",
	} {
		assert.Equal(t, want, got[name].To, name)
	}
	assert.Equal(t, "rule", got[block+"attn1.to_q.weight"].Why)
	assert.Equal(t, "its rows are no whole blocks", got[block+"attn2.to_q.weight"].Why)
	for _, text := range []string{"", "x", "=f16", "attn=q9", "(=f16"} {
		_, err := ParseRule(text)
		assert.ErrorIs(t, err, ErrOptions, text)
	}
}

// What cannot be done is an error that says so, and leaves nothing.
func TestRefusals(t *testing.T) {
	in := nanoFile(t, "in.safetensors", synth.Options{})
	dir := t.TempDir()
	large := filepath.Join(t.TempDir(), "large.safetensors")
	writeFloats(t, large, "w", []int64{2, 64}, func(i int) float32 { return float32(i) * 3000 })
	nan := filepath.Join(t.TempDir(), "nan.safetensors")
	writeFloats(t, nan, "w", []int64{2, 64}, func(int) float32 { return float32(math.NaN()) })
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	nothing, err := ParseRule("nothing=f16")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		ctx  context.Context
		in   string
		out  string
		opt  Options
		is   error
		says string
	}{
		"quantized safetensors": {t.Context(), in, "x.safetensors", Options{Type: "Q8_0", Quantizer: blocks8{}}, ErrOptions, "ends in .gguf"},
		"no library":            {t.Context(), in, "x.gguf", Options{Type: "Q8_0"}, ErrOptions, "needs the native library"},
		"unknown type":          {t.Context(), in, "x.gguf", Options{Type: "Q9"}, ErrOptions, "known are f32"},
		"a rule for nothing": {t.Context(), in, "x.gguf", Options{Type: "F16", Rules: []Rule{nothing}}, ErrOptions,
			`"nothing=f16" matches no tensor`},
		"too large for f16": {t.Context(), large, "x.gguf", Options{Type: "F16"}, ErrValue,
			`tensor "w", F32 to F16: value out of range: 66000`},
		"not a number":        {t.Context(), nan, "x.gguf", Options{Type: "Q8_0", Quantizer: blocks8{}}, ErrValue, "not a number"},
		"no such file":        {t.Context(), "absent", "x.gguf", Options{Type: "F16"}, modelfile.ErrNotFound, "absent"},
		"cancelled":           {cancelled, in, "x.gguf", Options{Type: "F16"}, context.Canceled, ""},
		"a failing quantizer": {t.Context(), in, "x.gguf", Options{Type: "Q8_0", Quantizer: broken{}}, errBroken, "self_attn"},
	} {
		_, err := Convert(c.ctx, c.in, filepath.Join(dir, c.out), c.opt)
		require.ErrorIs(t, err, c.is, name)
		assert.ErrorContains(t, err, c.says, name)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
}

var errBroken = errors.New("broken")

type broken struct{ blocks8 }

func (broken) Quantize(backend.Type, []float32, int, []byte) error { return errBroken }

// Values beyond a plain type's precision are kept as what they are: infinity and NaN.
func TestSpecialValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "in.safetensors")
	special := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 1}
	writeFloats(t, path, "w", []int64{1, 64}, func(i int) float32 { return special[i%4] })
	r, err := Convert(t.Context(), path, filepath.Join(t.TempDir(), "x.safetensors"), Options{Type: "F16"})
	require.NoError(t, err)
	assert.Equal(t, "f16", r.Tensors[0].To)
	assert.Zero(t, r.Tensors[0].Error)
}

// A dimension of 0 is an error where a network needs the tensor. One that nothing uses stays as it is.
func TestDimensionsOfZero(t *testing.T) {
	from := nanoFile(t, "in.safetensors", synth.Options{})
	for _, extra := range []string{"of.no.component", "first_stage_model.decoder.conv_in.bias"} {
		in := filepath.Join(t.TempDir(), "zero.safetensors")
		b, err := os.ReadFile(from)
		require.NoError(t, err)
		n := int(binary.LittleEndian.Uint64(b))
		head := strings.Replace(string(b[8:8+n]), `"`+extra+`"`, `"elsewhere"`, 1)
		head = head[:strings.LastIndexByte(head, '}')] + `,"` + extra + `":{"dtype":"F16","shape":[4,0],"data_offsets":[0,0]}}`
		whole := append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)
		require.NoError(t, os.WriteFile(in, append(whole, b[8+n:]...), 0o600))
		for _, to := range []modelfile.DType{"F32", "Q8_0"} {
			r, err := Convert(t.Context(), in, filepath.Join(t.TempDir(), "out.gguf"), Options{Type: to, Quantizer: blocks8{}})
			if extra != "of.no.component" {
				require.ErrorIs(t, err, modelfile.ErrTensor)
				require.ErrorContains(t, err, `conv_in.bias": shape [4, 0], a dimension of 0, expected [64]`)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, extra, r.Tensors[len(r.Tensors)-1].Name)
		}
	}
}

// What does not open as a model is not converted: the error is that of models inspect --check.
func TestConvertRefusesDamagedModels(t *testing.T) {
	from := nanoFile(t, "in.safetensors", synth.Options{})
	for _, name := range []string{"model.diffusion_model.middle_block.1.transformer_blocks.0.norm1.weight",
		"conditioner.embedders.0.transformer.text_model.encoder.layers.2.layer_norm1.bias", "first_stage_model.post_quant_conv.weight"} {
		b, err := os.ReadFile(from)
		require.NoError(t, err)
		in := filepath.Join(t.TempDir(), "in.safetensors")
		lost := name[:len(name)-1] + "_"
		require.NoError(t, os.WriteFile(in, []byte(strings.Replace(string(b), `"`+name+`"`, `"`+lost+`"`, 1)), 0o600))
		_, want := modelfile.Check(in)
		require.ErrorContains(t, want, `"`+name+`": missing`)
		out := filepath.Join(t.TempDir(), "out.safetensors")
		_, err = Convert(t.Context(), in, out, Options{Type: "BF16"})
		require.EqualError(t, err, want.Error())
		_, err = Size(in, Options{Type: "BF16", Format: modelfile.FormatSafetensors})
		require.EqualError(t, err, want.Error())
		require.NoFileExists(t, out)
	}
}

func writeFloats(t *testing.T, path, name string, shape []int64, value func(int) float32) {
	t.Helper()
	n := shape[0] * shape[1]
	values, b := make([]float32, n), make([]byte, 4*n)
	for i := range values {
		values[i] = value(i)
	}
	require.True(t, modelfile.F32.Encode(values, b))
	var head strings.Builder
	require.NoError(t, writer.SafetensorsHeader(&head, []writer.Tensor{{Name: name, DType: modelfile.F32, Shape: shape, Size: 4 * n}}, nil))
	require.NoError(t, os.WriteFile(path, append([]byte(head.String()), b...), 0o644))
}

// A byte that changes between writing and reading back is found.
func TestVerifyFindsDamage(t *testing.T) {
	in := nanoFile(t, "in.safetensors", synth.Options{})
	c, err := modelfile.OpenAll(in)
	require.NoError(t, err)
	defer c.Close()
	opt := Options{Type: modelfile.BF16, Format: modelfile.FormatSafetensors}
	p := newPlan(c, opt)
	out := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(out)
	require.NoError(t, err)
	j := &job{ctx: t.Context(), opt: opt, plan: p, sums: make([]uint32, len(p.items))}
	require.NoError(t, j.write(f, nil))
	require.NoError(t, j.verify(out, newReport(in, out, opt, p)))
	st, err := f.Stat()
	require.NoError(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], st.Size()-9)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte{b[0] ^ 1}, st.Size()-9)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.ErrorIs(t, j.verify(out, newReport(in, out, opt, p)), ErrVerify)
	require.NoError(t, os.Truncate(out, st.Size()-100))
	require.ErrorIs(t, j.verify(out, newReport(in, out, opt, p)), ErrVerify)
}
