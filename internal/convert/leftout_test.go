package convert

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
)

// What no component needs does not keep a model from being converted. What the output has no type for is left out and named.
func TestLeftOut(t *testing.T) {
	in := filepath.Join(t.TempDir(), "in.safetensors")
	tensors := []writer.Tensor{{Name: "lora_unet_conv_in.lora_down.weight", DType: modelfile.F16, Shape: []int64{2, 4, 1, 1}, Size: 16},
		{Name: "flags", DType: modelfile.Bool, Shape: []int64{3}, Size: 3}, {Name: "phases", DType: "C64", Shape: []int64{1}, Size: 8},
		{Name: "other", DType: "F99", Shape: []int64{5}, Size: 5}, {Name: "ids", DType: modelfile.I64, Shape: []int64{1}, Size: 8}}
	require.NoError(t, writer.Atomically(in, func(w io.Writer) error {
		if err := writer.SafetensorsHeader(w, tensors, nil); err != nil {
			return err
		}
		_, err := w.Write(make([]byte, 16+3+8+5+8))
		return err
	}, nil))
	for out, left := range map[string][]string{"out.gguf": {"flags", "phases", "other"}, "out.safetensors": {"other"}} {
		path := filepath.Join(t.TempDir(), out)
		report, err := Convert(t.Context(), in, path, Options{Type: modelfile.F16})
		require.NoError(t, err)
		assert.Equal(t, left, report.LeftOut, out)
		f, err := modelfile.Open(path)
		require.NoError(t, err)
		assert.Len(t, f.Tensors, len(tensors)-len(left), out)
		require.NoError(t, f.Close())
	}
}
