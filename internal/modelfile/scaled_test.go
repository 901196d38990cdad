package modelfile_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

const unetPrefix = "model.diffusion_model."

// synthetic is a very small checkpoint with random weights.
func synthetic(t *testing.T) *modeltest.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.safetensors")
	require.NoError(t, synth.Write(t.Context(), path, synth.Options{Kind: synth.KindNano, Seed: 3}))
	return modeltest.Read(t, path)
}

// scalings are the ways in which programs write scaled FP8.
var scalings = map[string]modeltest.Scaling{
	"ComfyUI until 2025":          {Marker: unetPrefix + "scaled_fp8", Activation: ".scale_input", Shape: []int64{1}},
	"marker of a lone UNet":       {Marker: "scaled_fp8", Shape: []int64{}},
	"no marker":                   {},
	"ComfyUI since, by tensors":   {Ending: ".weight_scale", Tensors: true, Activation: ".input_scale"},
	"ComfyUI since, by metadata":  {Ending: ".weight_scale", Metadata: true},
	"metadata of short names":     {Ending: ".weight_scale", Metadata: true, Short: unetPrefix},
	"FP8 in bytes":                {Ending: ".weight_scale", Metadata: true, Bytes: true},
	"FP8 in bytes, by tensors":    {Ending: ".weight_scale", Tensors: true, Bytes: true},
	"compressed-tensors, by rows": {Ending: ".weight_scale", Rows: true, Shape: []int64{-1, 1}},
	"rows, flat":                  {Ending: ".weight_scale", Rows: true, Shape: []int64{-1}, Scale: modelfile.BF16},
	"transformers":                {Ending: ".weight_scale_inv"},
	"a scale below the weight":    {Ending: ".weight.scale", Scale: modelfile.F16},
	"E5M2":                        {Type: modelfile.F8E5M2, Ending: ".weight_scale", Tensors: true},
}

// TestScaledSpellings: in every spelling the scales are found, belong to their matrices, and nothing is left over.
func TestScaledSpellings(t *testing.T) {
	base := synthetic(t)
	for name, s := range scalings {
		t.Run(name, func(t *testing.T) {
			scaled, products := base.Scaled(t, s)
			path := scaled.Write(t, "m.safetensors")
			r, err := modelfile.Check(path)
			require.NoError(t, err)
			assert.Empty(t, r.Warnings)
			require.NotNil(t, r.Scaled)
			ending := s.Ending
			if ending == "" {
				ending = ".scale_weight"
			}
			assert.Equal(t, ending, "."+r.Scaled.Spelling)
			assert.Equal(t, s.Activation != "", r.Scaled.Activations > 0)

			want := map[string][]float32{}
			for _, x := range products.Tensors {
				if x.DType == modelfile.F32 {
					want[x.Name] = make([]float32, len(x.Data)/4)
					x.DType.Decode(x.Data, want[x.Name])
				}
			}
			assert.Len(t, want, r.Scaled.Matrices)
			c, err := modelfile.OpenAll(path)
			require.NoError(t, err)
			defer c.Close()
			assert.Len(t, c.Tensors, len(base.Tensors), "scales are no tensors of their own")
			for _, x := range c.Tensors {
				if w := want[x.Name]; w != nil {
					got, err := x.File.ReadFloat32(x.Name)
					require.NoError(t, err)
					require.Equal(t, w, got, x.Name)
				}
			}
			m, err := modelfile.ReadModel(backend.Files{Model: path})
			require.NoError(t, err)
			table, err := m.Table()
			require.NoError(t, err)
			found := 0
			for _, w := range table.Weights {
				if len(w.Scale) > 0 {
					found++
					assert.Equal(t, map[bool]int{false: 1, true: int(w.Shape[0])}[s.Rows], len(w.Scale), w.Name)
				}
			}
			assert.Equal(t, r.Scaled.Matrices, found)
			assert.Empty(t, table.Unused)
		})
	}
}

// A scale for each row of q, k and v in one matrix belongs to the part that has the row.
func TestScaledParts(t *testing.T) {
	const name = "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight"
	base := synthetic(t)
	rows := make([]float32, 3*64)
	for i := range rows {
		rows[i] = float32(i + 1)
	}
	f := base.Without(name).With(modeltest.Tensor{Name: name, DType: modelfile.F8E4M3, Shape: []int64{192, 64}, Data: make([]byte, 192*64)},
		modeltest.Floats(name+"_scale", modelfile.F32, []int64{192}, rows...))
	m, err := modelfile.ReadModel(backend.Files{Model: f.Write(t, "m.safetensors")})
	require.NoError(t, err)
	table, err := m.Table()
	require.NoError(t, err)
	got := map[string]float32{}
	for _, w := range table.Weights {
		if len(w.Scale) > 0 {
			require.Len(t, w.Scale, 64)
			got[w.Name[strings.LastIndex(w.Name, "self_attn."):]] = w.Scale[0]
		}
	}
	assert.Equal(t, map[string]float32{"self_attn.q_proj.weight": 1, "self_attn.k_proj.weight": 65, "self_attn.v_proj.weight": 129}, got)
}

// What is wrong with a scale, and what is quantized in another way, is refused by name.
func TestScaledRefuses(t *testing.T) {
	const layer = unetPrefix + "middle_block.1.transformer_blocks.0.attn1.to_q"
	const scale, matrix = layer + ".scale_weight", layer + ".weight"
	f32 := func(name string, shape []int64, values ...float32) modeltest.Tensor {
		return modeltest.Floats(name, modelfile.F32, shape, values...)
	}
	text := func(name, json string) modeltest.Tensor {
		return modeltest.Tensor{Name: name, DType: modelfile.U8, Shape: []int64{int64(len(json))}, Data: []byte(json)}
	}
	zero, inf := float32(0), float32(1e30)
	base := synthetic(t)
	scaled, _ := base.Scaled(t, modeltest.Scaling{})
	many := func(n int) []float32 {
		out := make([]float32, n)
		for i := range out {
			out[i] = 1.5
		}
		return out
	}
	for says, c := range map[string]struct {
		file *modeltest.File
		kind error
	}{
		"is the scale of \"" + matrix + "\", which is not there":         {scaled.Without(matrix), modelfile.ErrTensor},
		"a scale of shape [3] for a matrix of [128, 128]":                {scaled.Without(scale).With(f32(scale, []int64{3}, 1, 2, 3)), modelfile.ErrTensor},
		"scales of blocks are not":                                       {scaled.Without(scale).With(f32(scale, []int64{4, 4}, many(16)...)), modelfile.ErrUnsupported},
		"the scale 0 (element 0) is not a positive number":               {scaled.Without(scale).With(f32(scale, nil, zero)), modelfile.ErrTensor},
		"the scale -1 (element 0) is not a positive number":              {scaled.Without(scale).With(f32(scale, nil, -1)), modelfile.ErrTensor},
		"the scale NaN (element 0) is not a positive number":             {scaled.Without(scale).With(f32(scale, nil, inf*inf-inf*inf)), modelfile.ErrTensor},
		"the scale +Inf (element 1) is not a positive number":            {scaled.Without(scale).With(f32(scale, []int64{128}, append([]float32{1, inf * inf}, many(126)...)...)), modelfile.ErrTensor},
		"is a second scale of":                                           {scaled.With(f32(layer+".weight_scale", nil, 1)), modelfile.ErrTensor},
		"which is of type F16: it is not clear":                          {base.With(f32(scale, nil, 2)), modelfile.ErrTensor},
		"a scale of type U8: scales of blocks (MXFP8, NVFP4)":            {scaled.Without(scale).With(text(scale, "abcd")), modelfile.ErrUnsupported},
		"to_q.weight_scale_2\": stands beside":                           {scaled.With(f32(layer+".weight_scale_2", nil, 1)), modelfile.ErrUnsupported},
		"to_q.pre_quant_scale\": stands beside":                          {scaled.With(f32(layer+".pre_quant_scale", []int64{128}, many(128)...)), modelfile.ErrUnsupported},
		"to_q.weight_quantizer._amax\": stands beside":                   {scaled.With(f32(layer+".weight_quantizer._amax", nil, 1)), modelfile.ErrUnsupported},
		"is quantized as \"nvfp4\", which is not read":                   {scaled.With(text(layer+".comfy_quant", `{"format":"nvfp4"}`)), modelfile.ErrUnsupported},
		"is quantized in a rotated basis":                                {scaled.With(text(layer+".comfy_quant", `{"format":"float8_e4m3fn","convrot":true}`)), modelfile.ErrUnsupported},
		"is float8_e5m2 by this, and of type F8_E4M3":                    {scaled.With(text(layer+".comfy_quant", `{"format":"float8_e5m2"}`)), modelfile.ErrUnsupported},
		"to_q.comfy_quant\": bad JSON":                                   {scaled.With(text(layer+".comfy_quant", `{"format`)), modelfile.ErrConfig},
		"text_projection\": has 64 scales, one for each row":             transposed(base),
		"which is of type I8; scaled FP8 is read":                        {base.Without(matrix).With(modeltest.Tensor{Name: matrix, DType: modelfile.I8, Shape: []int64{128, 128}, Data: make([]byte, 128*128)}, f32(scale, nil, 1)), modelfile.ErrUnsupported},
		"metadata " + modelfile.QuantizationKey + ": \"" + matrix + "\"": {quantizedAs(scaled, layer, "int8_tensorwise"), modelfile.ErrUnsupported},
	} {
		t.Run(says, func(t *testing.T) {
			path := c.file.Write(t, "m.safetensors")
			_, err := modelfile.Check(path)
			require.ErrorIs(t, err, c.kind)
			require.ErrorContains(t, err, says)
			require.ErrorContains(t, err, path)
		})
	}
}

func transposed(base *modeltest.File) struct {
	file *modeltest.File
	kind error
} {
	const name = "conditioner.embedders.1.model.text_projection"
	ones := make([]float32, 64)
	for i := range ones {
		ones[i] = 2
	}
	return struct {
		file *modeltest.File
		kind error
	}{base.Without(name).With(modeltest.Tensor{Name: name, DType: modelfile.F8E4M3, Shape: []int64{64, 64}, Data: make([]byte, 64*64)},
		modeltest.Floats(name+"_scale", modelfile.F32, []int64{64}, ones...)), modelfile.ErrUnsupported}
}

func quantizedAs(f *modeltest.File, layer, format string) *modeltest.File {
	text, _ := json.Marshal(map[string]any{"layers": map[string]string{layer: format}})
	return &modeltest.File{Metadata: map[string]string{modelfile.QuantizationKey: string(text)}, Tensors: f.Tensors}
}

// Scales of one hurt nobody where a matrix is not FP8; unscaled FP8 stays what it is; other models' scales are theirs.
func TestScaledTolerates(t *testing.T) {
	base := synthetic(t)
	r, err := modelfile.Check(base.With(modeltest.Floats(unetPrefix+"middle_block.1.proj_in.weight_scale", modelfile.F32, nil, 1)).Write(t, "m.safetensors"))
	require.NoError(t, err)
	assert.Nil(t, r.Scaled)
	scaled, _ := base.Scaled(t, modeltest.Scaling{})
	var names []string
	for _, x := range scaled.Tensors {
		if strings.HasSuffix(x.Name, ".scale_weight") {
			names = append(names, x.Name)
		}
	}
	r, err = modelfile.Check(scaled.Without(names...).Write(t, "m.safetensors"))
	require.NoError(t, err)
	assert.Nil(t, r.Scaled)
	assert.Positive(t, r.DTypes[modelfile.F8E4M3])
	r, err = modelfile.Inspect((&modeltest.File{Tensors: []modeltest.Tensor{modeltest.Floats("double_blocks.0.img_attn.weight_scale", modelfile.F32, nil, 1)}}).
		Write(t, "flux.safetensors"))
	require.NoError(t, err)
	assert.Equal(t, modelfile.KindFlux, r.Kind)
}
