package e2e

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// kit makes the files of one row.
type kit struct {
	t    *testing.T
	dir  string
	more string // of a ControlNet's table
	*fieldSource
}

// change alters the tensors that a file is made of.
type change func(x *tensors)

// original is a file of the nano model in the original layout, after changes.
func original(changes ...change) func(*kit) string {
	return func(k *kit) string { return k.save("file.safetensors", changed(k.nano, changes)) }
}

// diffusers is the same in one file with diffusers' names.
func diffusers(changes ...change) func(*kit) string {
	return func(k *kit) string { return k.save("file.safetensors", changed(k.canonical, changes)) }
}

// layout is a file with the names and shapes of testdata/fields, made by tools/fields. The values are those of the nano model's component,
// as far as it has such tensors, else zeros.
func layout(name, component string, changes ...change) func(*kit) string {
	return func(k *kit) string { return k.save(name+".safetensors", changed(k.layout(name, component), changes)) }
}

// gguf is a file of the nano model as GGUF, after changes.
func gguf(changes ...change) func(*kit) string {
	return func(k *kit) string { return k.save("file.gguf", changed(k.nano, changes)) }
}

// tensorsOf is a file of nothing but zeros.
func tensorsOf(changes ...change) func(*kit) string {
	return func(k *kit) string { return k.save("file.safetensors", changed(&tensors{}, changes)) }
}

// written is a file of package synth, with random weights.
func written(name string, opt synth.Options) func(*kit) string {
	return func(k *kit) string {
		path := filepath.Join(k.dir, name)
		require.NoError(k.t, synth.Write(k.t.Context(), path, opt))
		return path
	}
}

// raw is a file of these bytes.
func raw(name string, b []byte) func(*kit) string {
	return func(k *kit) string { return k.bytes(name, b) }
}

// torchFile is a copy of a file that torch.save wrote.
func torchFile(name string) func(*kit) string {
	return func(k *kit) string {
		b, err := os.ReadFile(filepath.Join("../../internal/modelfile/testdata/torch", name))
		require.NoError(k.t, err)
		return k.bytes(name, b)
	}
}

// as gives a file another name.
func as(name string, file func(*kit) string) func(*kit) string {
	return func(k *kit) string {
		path := filepath.Join(k.dir, name)
		require.NoError(k.t, os.Rename(file(k), path))
		return path
	}
}

// changed applies changes to a copy, which shares the values.
func changed(from *tensors, changes []change) *tensors {
	x := &tensors{metadata: maps.Clone(from.metadata), names: slices.Clone(from.names), dtype: maps.Clone(from.dtype),
		shape: maps.Clone(from.shape), data: maps.Clone(from.data)}
	if x.dtype == nil {
		x.dtype, x.shape, x.data = map[string]string{}, map[string][]int64{}, map[string][]byte{}
	}
	for _, c := range changes {
		c(x)
	}
	return x
}

// names gives every tensor another name; those that become "" are left out.
func names(to func(string) string) change {
	return func(x *tensors) {
		old := *x
		*x = tensors{metadata: old.metadata, dtype: map[string]string{}, shape: map[string][]int64{}, data: map[string][]byte{}}
		for _, n := range old.names {
			if name := to(n); name != "" {
				x.add(name, old.dtype[n], old.shape[n], old.data[n])
			}
		}
	}
}

func (x *tensors) add(name, dtype string, shape []int64, data []byte) {
	x.names = append(x.names, name)
	x.dtype[name], x.shape[name], x.data[name] = dtype, append([]int64{}, shape...), data // no dimensions are a list of none
}

// prefix puts one prefix in the place of another.
func prefix(from, to string) change {
	return names(func(n string) string {
		if rest, ok := strings.CutPrefix(n, from); ok {
			return to + rest
		}
		return n
	})
}

// only keeps what has a prefix, without it.
func only(prefix string) change {
	return names(func(n string) string {
		rest, ok := strings.CutPrefix(n, prefix)
		if !ok {
			return ""
		}
		return rest
	})
}

// without leaves out the tensors whose names have one of the pieces.
func without(pieces ...string) change {
	return names(func(n string) string {
		if slices.ContainsFunc(pieces, func(p string) bool { return strings.Contains(n, p) }) {
			return ""
		}
		return n
	})
}

// replaced puts pieces of names in the places of others.
func replaced(pairs ...string) change { return names(strings.NewReplacer(pairs...).Replace) }

// with adds a tensor of zeros.
func with(name string, dtype modelfile.DType, shape ...int64) change {
	return func(x *tensors) {
		n := int64(1)
		for _, d := range shape {
			n *= d
		}
		size, ok := dtype.Bytes(n, n)
		if !ok {
			size = n
		}
		x.add(name, string(dtype), shape, make([]byte, size))
	}
}

// states puts an entry into the metadata.
func states(key, value string) change {
	return func(x *tensors) {
		if x.metadata = maps.Clone(x.metadata); x.metadata == nil {
			x.metadata = map[string]string{}
		}
		x.metadata[key] = value
	}
}

// reshaped lays tensors in rows of 256 and notes their shapes, as ComfyUI-GGUF does.
func reshaped(x *tensors) {
	for _, n := range x.names {
		elements, s := int64(len(x.data[n])/2), x.shape[n]
		if len(s) > 1 && elements%256 == 0 && s[len(s)-1]%256 != 0 {
			var sides []string
			for _, d := range s {
				sides = append(sides, strconv.FormatInt(d, 10))
			}
			states(modelfile.ReshapedKey+n, "["+strings.Join(sides, ", ")+"]")(x)
			x.shape[n] = []int64{elements / 256, 256}
		}
	}
}

func (k *kit) bytes(name string, b []byte) string {
	path := filepath.Join(k.dir, name)
	require.NoError(k.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(k.t, os.WriteFile(path, b, 0o600))
	return path
}

// save writes tensors as the format that the name's extension says.
func (k *kit) save(name string, x *tensors) string {
	if filepath.Ext(name) != ".gguf" {
		return k.bytes(name, x.bytes(k.t))
	}
	var list []writer.Tensor
	for _, n := range x.names {
		list = append(list, writer.Tensor{Name: n, DType: modelfile.DType(x.dtype[n]), Shape: x.shape[n], Size: int64(len(x.data[n]))})
	}
	var b bytes.Buffer
	require.NoError(k.t, writer.Header(&b, modelfile.FormatGGUF, list, x.metadata))
	for _, n := range x.names {
		b.Write(x.data[n])
		b.Write(writer.Padding(modelfile.FormatGGUF, int64(len(x.data[n]))))
	}
	return k.bytes(name, b.Bytes())
}

// layout reads testdata/fields.
func (k *kit) layout(name, component string) *tensors {
	text, err := os.ReadFile(filepath.Join("../../testdata/fields", name+".txt"))
	require.NoError(k.t, err)
	x := changed(&tensors{metadata: k.nano.metadata}, nil)
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		var shape []int64
		if len(words) > 2 {
			for side := range strings.SplitSeq(words[2], ",") {
				n, err := strconv.ParseInt(side, 10, 64)
				require.NoError(k.t, err)
				shape = append(shape, n)
			}
		}
		with(words[0], modelfile.DType(words[1]), shape...)(x)
		for _, inner := range []string{"", "text_model."} {
			if data := k.canonical.data[component+"."+inner+words[0]]; len(data) == len(x.data[words[0]]) {
				x.data[words[0]] = data
			}
		}
	}
	return x
}

// canonicalTensors reads a model's weights in order, under the names that diffusers gives them.
func canonicalTensors(t *testing.T, path string, metadata map[string]string) *tensors {
	t.Helper()
	m, err := modelfile.ReadModel(backend.Files{Model: path})
	require.NoError(t, err)
	table, err := m.Table()
	require.NoError(t, err)
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	x := changed(&tensors{metadata: metadata}, nil)
	for _, w := range table.Weights {
		b := make([]byte, w.Bytes)
		_, err := io.ReadFull(io.NewSectionReader(file, w.Offset, w.Bytes), b)
		require.NoError(t, err)
		if w.Strides != nil { // a projection, the other way round
			rows, columns, in := int(w.Shape[0]), int(w.Shape[1]), b
			b = nil
			for r := range rows {
				for c := range columns {
					at := 2 * (r*int(w.Strides[0]) + c*int(w.Strides[1]))
					b = append(b, in[at], in[at+1])
				}
			}
		}
		x.add(w.Name, strings.ToUpper(string(w.Type)), w.Shape, b)
	}
	return x
}

// nanoConfig is what the nano model's file states.
func nanoConfig(t *testing.T, path string) *modelfile.Config {
	t.Helper()
	c, err := modelfile.ReadConfig(path)
	require.NoError(t, err)
	return &c
}
