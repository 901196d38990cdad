package modelfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// stFile makes a safetensors file of a header and that many bytes of data.
func stFile(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range data {
		b = append(b, byte(i))
	}
	return b
}

// ggufFile builds GGUF files, also wrong ones.
type ggufFile struct{ bytes.Buffer }

func (g *ggufFile) num(v ...any) *ggufFile {
	for _, x := range v {
		_ = binary.Write(g, binary.LittleEndian, x)
	}
	return g
}

func (g *ggufFile) str(s string) *ggufFile {
	g.num(uint64(len(s)))
	g.WriteString(s)
	return g
}

func newGGUF(tensors, kvs uint64) *ggufFile {
	g := &ggufFile{}
	g.WriteString("GGUF")
	return g.num(uint32(3), tensors, kvs)
}

func (g *ggufFile) tensor(name string, typ uint32, offset uint64, ne ...uint64) *ggufFile {
	g.str(name).num(uint32(len(ne)))
	for _, d := range ne {
		g.num(d)
	}
	return g.num(typ, offset)
}

func (g *ggufFile) data(n int) []byte {
	for g.Len()%32 != 0 {
		g.WriteByte(0)
	}
	for i := range n {
		g.WriteByte(byte(i))
	}
	return g.Bytes()
}

// open parses bytes as the file of that name.
func open(name string, b []byte) (*File, error) {
	return parse(name, bytes.NewReader(b), int64(len(b)))
}

// requireError checks class, path, and that the message says the given things.
func requireError(t *testing.T, err, kind error, says ...string) {
	t.Helper()
	require.ErrorIs(t, err, kind)
	var e *Error
	require.True(t, errors.As(err, &e))
	require.NotEmpty(t, e.Path)
	for _, s := range says {
		require.Contains(t, err.Error(), s)
	}
}

func write(t *testing.T, dir, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, b, 0o644))
	return path
}

// pickle helpers: enough to write protocol 2 by hand.
func pkStr(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func pkInt(v int64) string {
	return "\x8a\x08" + string(binary.LittleEndian.AppendUint64(nil, uint64(v)))
}

func pkInts(v ...int64) string {
	var b strings.Builder
	b.WriteByte('(')
	for _, x := range v {
		b.WriteString(pkInt(x))
	}
	return b.String() + "t"
}

// pkTensor is a call of _rebuild_tensor_v2 on storage key of count elements.
func pkTensor(storage, key string, count, offset int64, shape, strides []int64) string {
	return "ctorch._utils\n_rebuild_tensor_v2\n((" + pkStr("storage") + "ctorch\n" + storage + "\n" + pkStr(key) + pkStr("cpu") +
		pkInt(count) +
		"tQ" + pkInt(offset) + pkInts(shape...) + pkInts(strides...) + "\x89N" + "tR"
}

func pkDict(items ...string) string { return "\x80\x02}(" + strings.Join(items, "") + "u." }

func shapesOf(f *File) string {
	var b strings.Builder
	for _, t := range f.Tensors {
		fmt.Fprintf(&b, "%s %s %v; ", t.Name, t.DType, t.Shape)
	}
	return b.String()
}
