//go:build !race

package modelfile_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// withExtras writes a file's tensors and others of the given types, of three elements each. As what a tensor of the file is called,
// an extra takes its place.
func withExtras(t *testing.T, from string, extras map[string]modelfile.DType) string {
	t.Helper()
	f, err := modelfile.Open(from)
	require.NoError(t, err)
	defer f.Close()
	b := subset(t, f, f.Tensors, func(x *modelfile.Tensor) bool { _, replaced := extras[x.Name]; return !replaced })
	n := binary.LittleEndian.Uint64(b)
	head, data := map[string]any{}, b[8+n:]
	require.NoError(t, json.Unmarshal(b[8:8+n], &head))
	for _, name := range slices.Sorted(maps.Keys(extras)) {
		size, ok := extras[name].Bytes(3, 1)
		if !ok {
			size = 5 // of a type that only its file knows
		}
		head[name] = map[string]any{"dtype": extras[name], "shape": []int{3}, "data_offsets": []int{len(data), len(data) + int(size)}}
		data = append(bytes.Clone(data), make([]byte, size)...)
	}
	text, err := json.Marshal(head)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "extras.safetensors")
	whole := append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)
	require.NoError(t, os.WriteFile(path, append(whole, data...), 0o600))
	return path
}

// Tensors that no component uses may have any type, also one that is not known. The model is what it is without them.
func TestExtrasOfAnyType(t *testing.T) {
	base := written(t, "m.safetensors", synth.Options{Dims: small()})
	extras := map[string]modelfile.DType{}
	for i, d := range []modelfile.DType{"BOOL", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "C64", "C128", "F64", "F8_E4M3",
		"F8_E5M2",
		"F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F6_E2M3", "F6_E3M2", "F99"} {
		extras[fmt.Sprintf("extra.%02d", i)] = d
	}
	path := withExtras(t, base, extras)
	r, err := modelfile.Check(path, modelfile.KindSDXLBase)
	require.NoError(t, err)
	assert.Equal(t, int64(1), r.DTypes["F99"], "it is listed")
	other, _ := r.Component("other")
	assert.Equal(t, len(extras), other.Tensors)
	requireSameWeights(t, tableOf(t, backend.Files{Model: base}), tableOf(t, backend.Files{Model: path}))

	const used = "model.diffusion_model.out.0.bias"
	for _, d := range []modelfile.DType{"F99", "C64", "BOOL", "U16", "F8_E8M0"} {
		_, err := modelfile.Check(withExtras(t, withShape(t, base, used, 3), map[string]modelfile.DType{used: d}))
		require.ErrorIs(t, err, modelfile.ErrTensor)
		assert.ErrorContains(t, err, used)
	}
}

// withShape gives a tensor of a file another shape.
func withShape(t *testing.T, from, name string, shape ...int64) string {
	t.Helper()
	f, err := modelfile.Open(from)
	require.NoError(t, err)
	defer f.Close()
	path := filepath.Join(t.TempDir(), "shape.safetensors")
	require.NoError(t, os.WriteFile(path, subset(t, f, f.Tensors, func(x *modelfile.Tensor) bool {
		if x.Name == name {
			x.Shape = shape
		}
		return true
	}), 0o600))
	return path
}
