package adapters

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// entry is one tensor of a test's file.
type entry struct {
	name  string
	shape []int
	data  []float32
}

// random fills a tensor with numbers of a fixed stream.
func random(name string, shape ...int) entry {
	seed := uint64(len(name))
	for _, c := range name {
		seed = seed*31 + uint64(c)
	}
	r := rand.New(rand.NewPCG(seed, 1))
	e := entry{name: name, shape: shape, data: make([]float32, backend.Count(shape...))}
	for i := range e.data {
		e.data[i] = float32(r.NormFloat64())
	}
	return e
}

func scalar(name string, v float32) entry { return entry{name, []int{}, []float32{v}} }

// safetensors encodes a file.
func safetensors(t testing.TB, meta map[string]string, entries ...entry) []byte {
	t.Helper()
	var head strings.Builder
	head.WriteByte('{')
	if meta != nil {
		text, err := json.Marshal(meta)
		require.NoError(t, err)
		head.WriteString(`"__metadata__":` + string(text))
	}
	var data []byte
	for _, e := range entries {
		if head.Len() > 1 {
			head.WriteByte(',')
		}
		begin := len(data)
		for _, v := range e.data {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		text, err := json.Marshal(map[string]any{"dtype": "F32", "shape": e.shape, "data_offsets": []int{begin, len(data)}})
		require.NoError(t, err)
		name, err := json.Marshal(e.name)
		require.NoError(t, err)
		head.WriteString(string(name) + ":" + string(text))
	}
	head.WriteByte('}')
	out := binary.LittleEndian.AppendUint64(nil, uint64(head.Len()))
	return append(append(out, head.String()...), data...)
}

// write puts a file into the test's folder.
func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, data, 0o644))
	return path
}

// nano and sdxl are the models that tests match against.
var (
	nano = NewModel(ModulesOf(modelfile.Preset("nano")))
	sdxl = NewModel(ModulesOf(modelfile.Preset("sdxl-base")))
)

// mustOpen opens a file of the given tensors against the nano model.
func mustOpen(t testing.TB, entries ...entry) *File {
	t.Helper()
	f, err := Open(write(t, "a.safetensors", safetensors(t, nil, entries...)), nano)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// values decodes a RawTensor of F32.
func values(t testing.TB, r backend.RawTensor) []float64 {
	t.Helper()
	require.Equal(t, backend.TypeF32, r.Type)
	out := make([]float64, len(r.Data)/4)
	require.Len(t, out, backend.Count(r.Shape...))
	for i := range out {
		out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(r.Data[4*i:])))
	}
	return out
}

// delta is what a target adds to a weight, written out from the definition of its form: [rows, cols].
func delta(t testing.TB, target backend.LoRATarget, weight []float64, rows, cols int) []float64 {
	t.Helper()
	out := make([]float64, rows*cols)
	a := values(t, target.A)
	switch target.Form {
	case backend.LoRALowRank:
		b, rank := values(t, target.B), target.A.Shape[0]
		require.Equal(t, rows*rank, len(b))
		require.Equal(t, rank*cols, len(a))
		for i := range rows {
			for j := range cols {
				for r := range rank {
					out[i*cols+j] += b[i*rank+r] * a[r*cols+j]
				}
			}
		}
	case backend.LoRAKron:
		b, n, q := values(t, target.B), target.A.Shape[1], target.B.Shape[1]
		for i := range rows {
			for j := range cols {
				out[i*cols+j] = a[i/target.B.Shape[0]*n+j/q] * b[i%target.B.Shape[0]*q+j%q]
			}
		}
	case backend.LoRADense, backend.LoRABias, backend.LoRANorm:
		require.Len(t, a, rows*cols)
		copy(out, a)
	case backend.LoRAInScale, backend.LoRAOutScale:
		for i := range rows {
			for j := range cols {
				out[i*cols+j] = weight[i*cols+j] * a[map[bool]int{true: j, false: i}[target.Form == backend.LoRAInScale]]
			}
		}
	}
	for i := range out {
		out[i] *= target.Scale
	}
	return out
}

func requireClose(t testing.TB, want, have []float64) {
	t.Helper()
	require.Len(t, have, len(want))
	var difference, norm float64
	for i := range want {
		difference += (want[i] - have[i]) * (want[i] - have[i])
		norm += want[i] * want[i]
	}
	require.Greater(t, norm, 0.0)
	require.Less(t, math.Sqrt(difference/norm), 1e-5)
}
