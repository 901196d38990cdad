package modelfile

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGGUF(t *testing.T) {
	for _, version := range []uint32{2, 3} {
		g := newGGUF(2, 6)
		binary.LittleEndian.PutUint32(g.Bytes()[4:], version)
		g.str("general.architecture").num(uint32(8)).str("sd")
		g.str("n").num(uint32(5), int32(-4))
		g.str("f").num(uint32(6), float32(0.5))
		g.str("flag").num(uint32(7), uint8(1))
		g.str("list").num(uint32(9), uint32(2), uint64(3), uint16(1), uint16(2), uint16(3))
		g.str("words").num(uint32(9), uint32(8), uint64(100))
		for range 100 {
			g.str("w")
		}
		g.tensor("a", 0, 0, 3, 2).tensor("q", 8, 32, 64, 2)
		f, err := open("m.gguf", g.data(32+136))
		require.NoError(t, err)
		assert.Equal(t, FormatGGUF, f.Format)
		assert.Equal(t, "a F32 [2 3]; q Q8_0 [2 64]; ", shapesOf(f))
		assert.Equal(t, map[string]string{"general.architecture": "sd", "n": "-4", "f": "0.5", "flag": "true", "list": "[1, 2, 3]",
			"words": "[100 x string]"}, f.Metadata)
		assert.Equal(t, int64(136), f.Tensors[1].Size)
		_, err = f.ReadFloat32("q")
		require.ErrorIs(t, err, ErrUnsupported)
		v, err := f.ReadRaw("q")
		require.NoError(t, err)
		assert.Len(t, v, 136)
	}
}

func TestGGUFScalars(t *testing.T) {
	b := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	for typ, want := range map[uint32]string{ggufU8: "255", ggufI8: "-1", ggufU16: "65535", ggufI16: "-1", ggufU32: "4294967295",
		ggufI32: "-1", ggufU64: "18446744073709551615", ggufI64: "-1", ggufF64: "NaN", ggufBool: "true"} {
		assert.Equal(t, want, ggufScalar(typ, b[:ggufScalarBytes[typ]]), ggufTypeNames[typ])
	}
}

func TestGGUFRefuses(t *testing.T) {
	head := func(version uint32, tensors, kvs uint64) []byte {
		g := &ggufFile{}
		g.WriteString("GGUF")
		return g.num(version, tensors, kvs).data(64)
	}
	for _, c := range []struct {
		name string
		b    []byte
		kind error
		says []string
	}{
		{"only magic", []byte("GGUF"), ErrTruncated, []string{"version", "missing"}},
		{"version 1", head(1, 0, 0), ErrUnsupported, []string{"version 1"}},
		{"version 99", head(99, 0, 0), ErrUnsupported, []string{"99"}},
		{"big endian", head(3<<24, 0, 0), ErrUnsupported, []string{"big-endian"}},
		{"big-endian magic", []byte("FUGGxxxxxxxxxxxx"), ErrUnsupported, []string{"big-endian"}},
		{"absurd tensor count", head(3, 1<<60, 0), ErrLimit, []string{"tensor count", "1,152,921,504,606,846,976"}},
		{"absurd metadata count", head(3, 0, 1<<63), ErrLimit, []string{"metadata count"}},
		{"more tensors than bytes", head(3, 1000, 0), ErrTruncated, []string{"1,000 tensors", "missing"}},
		{"key too long", newGGUF(0, 1).num(uint64(70000)).data(70100), ErrLimit, []string{"70,000"}},
		{"string of 2^63", newGGUF(0, 1).str("k").num(uint32(8), uint64(1)<<63).data(32), ErrFormat, []string{`metadata "k"`}},
		{"string beyond the file", newGGUF(0, 1).str("k").num(uint32(8), uint64(500)).data(32), ErrTruncated, []string{"missing"}},
		{"unknown value type", newGGUF(0, 1).str("k").num(uint32(77)).data(32), ErrFormat, []string{"77"}},
		{"key twice", newGGUF(0, 2).str("k").num(uint32(0), uint8(1)).str("k").num(uint32(0), uint8(1)).data(32), ErrFormat, []string{"twice"}},
		{"array of arrays", newGGUF(0, 1).str("k").num(uint32(9), uint32(9), uint64(1)).data(32), ErrUnsupported, []string{"array"}},
		{"array beyond the file", newGGUF(0, 1).str("k").num(uint32(9), uint32(4), uint64(1)<<40).data(32), ErrTruncated,
			[]string{"does not fit"}},
		{"alignment 0", newGGUF(0, 1).str("general.alignment").num(uint32(4), uint32(0)).data(32), ErrFormat, []string{"general.alignment"}},
		{"alignment 24", newGGUF(0, 1).str("general.alignment").num(uint32(4), uint32(24)).data(32), ErrFormat, []string{"power of two"}},
		{"alignment of a word", newGGUF(0, 1).str("general.alignment").num(uint32(8)).str("x").data(32), ErrFormat, []string{"power of two"}},
		{"five dimensions", newGGUF(1, 0).tensor("a", 0, 0, 1, 1, 1, 1, 1).data(32), ErrLimit, []string{`tensor "a"`, "5 dimensions"}},
		{"2^31 dimensions", newGGUF(1, 0).str("a").num(uint32(1) << 31).data(32), ErrLimit, []string{"dimensions"}},
		{"dimension 2^63", newGGUF(1, 0).tensor("a", 0, 0, 1<<63).data(32), ErrFormat, []string{"dimensions"}},
		{"shape overflows", newGGUF(1, 0).tensor("a", 0, 0, 1<<40, 1<<40).data(32), ErrFormat, []string{"overflows"}},
		{"row not of whole blocks", newGGUF(1, 0).tensor("a", 8, 0, 33).data(64), ErrFormat, []string{"does not go with type Q8_0"}},
		{"offset not aligned", newGGUF(1, 0).tensor("a", 0, 4, 4).data(64), ErrFormat, []string{"alignment"}},
		{"offset beyond the file", newGGUF(1, 0).tensor("a", 0, 1<<40, 4).data(64), ErrTruncated, []string{"missing"}},
		{"offset overflows", newGGUF(1, 0).tensor("a", 0, 1<<63-32, 4).data(64), ErrFormat, []string{"overflows"}},
		{"truncated data", newGGUF(1, 0).tensor("a", 0, 0, 16).data(60), ErrTruncated, []string{`tensor "a"`, "4 bytes are missing"}},
		{"overlap", newGGUF(2, 0).tensor("a", 0, 0, 16).tensor("b", 0, 32, 4).data(64), ErrFormat, []string{"overlaps"}},
		{"name twice", newGGUF(2, 0).tensor("a", 0, 0, 4).tensor("a", 0, 32, 4).data(64), ErrFormat, []string{"twice"}},
		{"name not UTF-8", newGGUF(1, 0).tensor("\xff", 0, 0, 4).data(64), ErrFormat, []string{"UTF-8"}},
		{"name too long", newGGUF(1, 0).tensor(strings.Repeat("n", 2000), 0, 0, 4).data(64), ErrLimit, []string{"2,000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open("m.gguf", c.b)
			requireError(t, err, c.kind, append(c.says, "m.gguf")...)
		})
	}
}

// Every prefix of a good file is refused, never a crash.
func TestGGUFPrefixes(t *testing.T) {
	g := newGGUF(1, 2).str("a").num(uint32(8)).str("text").str("b").num(uint32(9), uint32(8), uint64(2)).str("x").str("y")
	whole := g.tensor("t", 1, 0, 16).data(32)
	_, err := open("m.gguf", whole)
	require.NoError(t, err)
	for n := 4; n < len(whole); n++ {
		_, err := open("m.gguf", bytes.Clone(whole[:n]))
		requireError(t, err, ErrTruncated)
	}
}

// A tensor that was reshaped has the shape that the metadata say; one that says what cannot be is damaged.
func TestGGUFReshaped(t *testing.T) {
	reshaped := func(typ uint32, data int, ne []uint64, shape ...int32) []byte {
		g := newGGUF(1, 1).str(ReshapedKey+"a").num(uint32(9), uint32(5), uint64(len(shape)), shape)
		return g.tensor("a", typ, 0, ne...).data(data)
	}
	f, err := open("m.gguf", reshaped(0, 4*36, []uint64{36}, 1, 4, 3, 3))
	require.NoError(t, err)
	assert.Equal(t, "a F32 [1 4 3 3]; ", shapesOf(f))
	assert.Equal(t, []int64{1, 4, 3, 3}, f.Tensors[0].StoredShape(), "no blocks")
	f, err = open("m.gguf", reshaped(12, 144*9, []uint64{256, 9}, 64, 4, 3, 3)) // Q4_K
	require.NoError(t, err)
	assert.Equal(t, "a Q4_K [64 4 3 3]; ", shapesOf(f))
	assert.Equal(t, []int64{9, 256}, f.Tensors[0].StoredShape())
	assert.Equal(t, int64(256), f.Tensors[0].StoredRow())
	for says, b := range map[string][]byte{
		"does not have the 36 elements": reshaped(0, 4*36, []uint64{36}, 1, 4, 3, 4),
		"is no shape":                   reshaped(0, 4*36, []uint64{36}, -36),
	} {
		_, err := open("m.gguf", b)
		requireError(t, err, ErrFormat, ReshapedKey+"a", says)
	}
}

// A type that is unknown, or was removed, is an error only where the tensor is used.
func TestGGUFUnknownType(t *testing.T) {
	f, err := open("m.gguf", newGGUF(2, 0).tensor("a", 4, 0, 8).tensor("b", 0, 32, 4).data(64))
	require.NoError(t, err)
	assert.Equal(t, "a GGML_4 [8]; b F32 [4]; ", shapesOf(f))
	_, err = f.ReadFloat32("a")
	requireError(t, err, ErrUnsupported, "GGML_4")
}
