package modeltest

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// Scaling says how matrices are turned into FP8 with scales. Zero values are ComfyUI's old way without a marker.
type Scaling struct {
	Type       modelfile.DType // F8E4M3 if empty
	Ending     string          // of a scale's name, instead of ".weight"; ".scale_weight" if empty
	Scale      modelfile.DType // of scales; F32 if empty
	Rows       bool            // a scale for each row instead of one
	Shape      []int64         // of a scale; -1 stands for the number of rows
	Activation string          // ending of scales of activations; none if empty
	Marker     string          // name of a marker tensor; none if empty
	Tensors    bool            // a tensor of JSON says each layer's format
	Metadata   bool            // the metadata does
	Short      string          // a prefix that the metadata leaves out of layers' names
	Bytes      bool            // FP8 is stored as U8
}

// Scaled turns the matrices of transformer blocks and text encoders into scaled FP8. The second file has what that means, in F32.
func (f *File) Scaled(t testing.TB, s Scaling) (scaled, products *File) {
	t.Helper()
	if s.Type == "" {
		s.Type = modelfile.F8E4M3
	}
	if s.Ending == "" {
		s.Ending = ".scale_weight"
	}
	if s.Scale == "" {
		s.Scale = modelfile.F32
	}
	codes := newCodes(t, s.Type)
	scaled, products = &File{Metadata: map[string]string{}}, &File{Metadata: f.Metadata}
	for k, v := range f.Metadata {
		scaled.Metadata[k] = v
	}
	layers, format := map[string]any{}, map[string]any{"format": map[modelfile.DType]string{modelfile.F8E4M3: "float8_e4m3fn",
		modelfile.F8E5M2: "float8_e5m2"}[s.Type]}
	for _, x := range f.Tensors {
		if !isMatrix(x) {
			scaled.Tensors, products.Tensors = append(scaled.Tensors, x), append(products.Tensors, x)
			continue
		}
		layer := strings.TrimSuffix(x.Name, ".weight")
		more := codes.scale(t, x, s, products)
		if s.Activation != "" {
			more = append(more, Floats(layer+s.Activation, modelfile.F32, nil, 0.5))
		}
		if s.Tensors {
			text, err := json.Marshal(format)
			require.NoError(t, err)
			more = append(more, Tensor{layer + ".comfy_quant", modelfile.U8, []int64{int64(len(text))}, text})
		}
		layers[strings.TrimPrefix(layer, s.Short)] = format
		scaled.Tensors = append(scaled.Tensors, more...)
	}
	require.NotEmpty(t, layers)
	if s.Metadata {
		text, err := json.Marshal(map[string]any{"format_version": "1.0", "layers": layers})
		require.NoError(t, err)
		scaled.Metadata[modelfile.QuantizationKey] = string(text)
	}
	if s.Marker != "" {
		scaled.Tensors = append(scaled.Tensors, Tensor{s.Marker, s.Type, []int64{0}, nil})
	}
	return scaled, products
}

// isMatrix picks what ComfyUI's tools quantize: linear layers, but for the embeddings of time and size, and the projection.
func isMatrix(x Tensor) bool {
	return strings.HasSuffix(x.Name, ".weight") && len(x.Shape) == 2 &&
		(strings.Contains(x.Name, "transformer_blocks.") || strings.Contains(x.Name, ".layers.") || strings.Contains(x.Name, ".resblocks."))
}

// codes are the values of an FP8 type, in order.
type codes struct {
	values []float32
	bytes  []byte
}

func newCodes(t testing.TB, d modelfile.DType) codes {
	t.Helper()
	var c codes
	value := make([]float32, 1)
	for i := range 256 {
		require.True(t, d.Decode([]byte{byte(i)}, value))
		if v := value[0]; v-v == 0 && !(v == 0 && i != 0) {
			at, _ := slices.BinarySearch(c.values, v)
			c.values, c.bytes = slices.Insert(c.values, at, v), slices.Insert(c.bytes, at, byte(i))
		}
	}
	return c
}

// nearest is the code of the value that is nearest.
func (c codes) nearest(x float32) int {
	at, _ := slices.BinarySearch(c.values, x)
	if at == len(c.values) || at > 0 && x-c.values[at-1] < c.values[at]-x {
		at--
	}
	return at
}

// scale returns a matrix in FP8 and its scale, and adds their product to products.
func (c codes) scale(t testing.TB, x Tensor, s Scaling, products *File) []Tensor {
	t.Helper()
	rows := int(x.Shape[0])
	columns := int(x.Shape[1])
	values := make([]float32, rows*columns)
	require.True(t, x.DType.Decode(x.Data, values))
	runs := 1
	if s.Rows {
		runs = rows
	}
	scales, run := make([]float32, runs), len(values)/runs
	for r := range scales {
		most := float32(1e-6)
		for _, v := range values[r*run : (r+1)*run] {
			most = max(most, float32(math.Abs(float64(v))))
		}
		scales[r] = most / c.values[len(c.values)-1]
	}
	shape := slices.Clone(s.Shape)
	for i, n := range shape {
		if n < 0 {
			shape[i] = int64(rows)
		}
	}
	stored := Floats(strings.TrimSuffix(x.Name, ".weight")+s.Ending, s.Scale, shape, scales...)
	require.True(t, s.Scale.Decode(stored.Data, scales)) // as rounded
	out := Tensor{x.Name, s.Type, x.Shape, make([]byte, len(values))}
	for i, v := range values {
		at := c.nearest(v / scales[i/run])
		out.Data[i], values[i] = c.bytes[at], c.values[at]*scales[i/run]
	}
	products.Tensors = append(products.Tensors, Floats(x.Name, modelfile.F32, x.Shape, values...))
	if s.Bytes {
		out.DType = modelfile.U8
	}
	return []Tensor{out, stored}
}
