package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// tensors is a safetensors file in pieces, for making broken ones.
type tensors struct {
	metadata map[string]string
	names    []string // in the order of the data
	dtype    map[string]string
	shape    map[string][]int64
	data     map[string][]byte
}

// readTensors takes a safetensors file apart.
func readTensors(t *testing.T, path string) *tensors {
	t.Helper()
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	size := binary.LittleEndian.Uint64(file)
	var header map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(file[8:8+size], &header))
	x := &tensors{dtype: map[string]string{}, shape: map[string][]int64{}, data: map[string][]byte{}}
	for name, raw := range header {
		if name == "__metadata__" {
			require.NoError(t, json.Unmarshal(raw, &x.metadata))
			continue
		}
		var entry struct {
			DType   string   `json:"dtype"`
			Shape   []int64  `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}
		require.NoError(t, json.Unmarshal(raw, &entry))
		x.names = append(x.names, name)
		x.dtype[name], x.shape[name] = entry.DType, entry.Shape
		x.data[name] = file[8+int64(size)+entry.Offsets[0] : 8+int64(size)+entry.Offsets[1]]
	}
	return x
}

// bytes puts the file together again.
func (x *tensors) bytes(t *testing.T) []byte {
	t.Helper()
	header := map[string]any{}
	if x.metadata != nil {
		header["__metadata__"] = x.metadata
	}
	var body bytes.Buffer
	for _, name := range x.names {
		begin := body.Len()
		body.Write(x.data[name])
		header[name] = map[string]any{"dtype": x.dtype[name], "shape": x.shape[name], "data_offsets": []int{begin, body.Len()}}
	}
	text, err := json.Marshal(header)
	require.NoError(t, err)
	return append(rawHeader(uint64(len(text)), string(text)), body.Bytes()...)
}

// rawHeader begins a safetensors file with any length and text.
func rawHeader(size uint64, text string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, size), text...)
}

// remove drops a tensor.
func (x *tensors) remove(name string) {
	for i, n := range x.names {
		if n == name {
			x.names = append(x.names[:i:i], x.names[i+1:]...)
		}
	}
}

// hugeGGUF is a GGUF header that claims 2^60 tensors and metadata entries.
func hugeGGUF() []byte {
	b := []byte("GGUF\x03\x00\x00\x00")
	b = binary.LittleEndian.AppendUint64(b, 1<<60)
	return binary.LittleEndian.AppendUint64(b, 1<<60)
}

// evilPickle is a pickle that asks for os.system(command).
func evilPickle(command string) []byte {
	return []byte("\x80\x02cos\nsystem\nX" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(command)))) + command + "\x85R.")
}

// evilCheckpoint wraps the pickle as torch.save does.
func evilCheckpoint(t *testing.T, command string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for name, data := range map[string][]byte{"archive/data.pkl": evilPickle(command), "archive/version": []byte("3\n")} {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		require.NoError(t, err)
		_, err = f.Write(data)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}
