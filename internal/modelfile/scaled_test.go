//go:build !race

package modelfile_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/modeltest"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

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
	const scale, matrix, format = layer + ".scale_weight", layer + ".weight", layer + ".comfy_quant"
	const projection = "conditioner.embedders.1.model.text_projection"
	damaged, unread := modelfile.ErrTensor, modelfile.ErrUnsupported
	base := synthetic(t)
	scaled, _ := base.Scaled(t, modeltest.Scaling{})
	f32 := func(name string, shape []int64, values ...float32) modeltest.Tensor {
		return modeltest.Floats(name, modelfile.F32, shape, values...)
	}
	raw := func(d modelfile.DType, name, data string, shape ...int64) modeltest.Tensor {
		return modeltest.Tensor{Name: name, DType: d, Shape: shape, Data: []byte(data)}
	}
	said := func(json string) *modeltest.File {
		return scaled.With(raw(modelfile.U8, format, json, int64(len(json))))
	}
	instead := func(shape []int64, values ...float32) *modeltest.File { // of the right scale
		return scaled.Without(scale).With(f32(scale, shape, values...))
	}
	beside := func(ending string) *modeltest.File { return scaled.With(f32(layer+ending, nil, 1)) }
	ones := slices.Repeat([]float32{1}, 128)
	inf := float32(math.Inf(1))
	bytes := string(make([]byte, 128*128))
	for _, c := range []struct {
		says string
		kind error
		file *modeltest.File
	}{
		{`is the scale of "` + matrix + `", which is missing`, damaged, scaled.Without(matrix)},
		{`"` + matrix + `": is of type F8_E4M3 without a scale`, damaged, scaled.Without(scale)},
		{"a scale of shape [3] for a matrix of [128, 128]", damaged, instead([]int64{3}, 1, 2, 3)},
		{"scales of blocks are not", unread, instead([]int64{4, 4}, ones[:16]...)},
		{"the scale 0 (element 0) is not a positive number", damaged, instead(nil, 0)},
		{"the scale -1 (element 0) is not a positive number", damaged, instead(nil, -1)},
		{"the scale NaN (element 0) is not a positive number", damaged, instead(nil, inf-inf)},
		{"the scale +Inf (element 127) is not a positive number", damaged, instead([]int64{128}, append(ones[:127:127], inf)...)},
		{"is a second scale of", damaged, beside(".weight_scale")},
		{"which is of type F16: it is not clear", damaged, base.With(f32(scale, nil, 2))},
		{"a scale of type U8: scales of blocks (MXFP8, NVFP4)", unread, scaled.Without(scale).With(raw(modelfile.U8, scale, "abcd", 4))},
		{`to_q.weight_scale_2": is beside`, unread, beside(".weight_scale_2")},
		{`to_q.pre_quant_scale": is beside`, unread, beside(".pre_quant_scale")},
		{`to_q.weight_quantizer._amax": is beside`, unread, beside(".weight_quantizer._amax")},
		{`is quantized as "nvfp4", which is not read`, unread, said(`{"format":"nvfp4"}`)},
		{"is quantized in a rotated basis", unread, said(`{"format":"float8_e4m3fn","convrot":true}`)},
		{"is float8_e5m2 by this, and of type F8_E4M3", unread, said(`{"format":"float8_e5m2"}`)},
		{`to_q.comfy_quant": bad JSON`, modelfile.ErrConfig, said(`{"format`)},
		{"metadata " + modelfile.QuantizationKey + `: "` + matrix + `"`, unread, quantizedAs(scaled, layer, "int8_tensorwise")},
		{"which is of type I8; scaled FP8 is read", unread,
			base.Without(matrix).With(raw(modelfile.I8, matrix, bytes, 128, 128), f32(scale, nil, 1))},
		{`text_projection": has 64 scales, one for each row`, unread,
			base.Without(projection).With(raw(modelfile.F8E4M3, projection, bytes[:64*64], 64, 64),
				f32(projection+"_scale", []int64{64}, ones[:64]...))},
	} {
		t.Run(c.says, func(t *testing.T) {
			path := c.file.Write(t, "m.safetensors")
			_, err := modelfile.Check(path)
			require.ErrorIs(t, err, c.kind)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, path)
		})
	}
}

func quantizedAs(f *modeltest.File, layer, format string) *modeltest.File {
	text, _ := json.Marshal(map[string]any{"layers": map[string]string{layer: format}})
	return &modeltest.File{Metadata: map[string]string{modelfile.QuantizationKey: string(text)}, Tensors: f.Tensors}
}

// Scales of one hurt nobody where a matrix is not FP8; unscaled FP8 stays what it is; other models' scales are theirs.
func TestScaledTolerates(t *testing.T) {
	base := synthetic(t)
	one := modeltest.Floats(unetPrefix+"middle_block.1.proj_in.weight_scale", modelfile.F32, nil, 1)
	r, err := modelfile.Check(base.With(one).Write(t, "m.safetensors"))
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
	one.Name = "double_blocks.0.img_attn.weight_scale"
	r, err = modelfile.Inspect((&modeltest.File{Tensors: []modeltest.Tensor{one}}).Write(t, "flux.safetensors"))
	require.NoError(t, err)
	assert.Equal(t, modelfile.KindFlux, r.Kind)
}
