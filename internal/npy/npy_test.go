package npy

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// file builds a .npy file from a header's text and its data.
func file(version byte, header string, data []byte) []byte {
	out := append([]byte("\x93NUMPY"), version, 0)
	if version == 1 {
		out = binary.LittleEndian.AppendUint16(out, uint16(len(header)))
	} else {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(header)))
	}
	return append(append(out, header...), data...)
}

func TestRoundTrip(t *testing.T) {
	for _, a := range []Array{
		{Shape: []int{}, Data: []float32{42}},
		{Shape: []int{3}, Data: []float32{1, -2.5, float32(math.Inf(1))}},
		{Shape: []int{2, 0, 5}, Data: []float32{}},
		{Shape: []int{1, 2, 3, 2}, Data: []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
	} {
		path := filepath.Join(t.TempDir(), "a.npy")
		require.NoError(t, WriteFile(path, a))
		got, err := ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, a, got)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Zero(t, (len(raw)-4*len(a.Data))%64, "the data is aligned as NumPy aligns it")
	}
	assert.Error(t, Write(&bytes.Buffer{}, Array{Shape: []int{2}, Data: []float32{1}}))
}

func TestReadTypesAndVersions(t *testing.T) {
	want := []float32{1.5, -2}
	for _, c := range []struct {
		version byte
		descr   string
		data    []byte
	}{
		{1, "<f2", []byte{0x00, 0x3e, 0x00, 0xc0}},
		{2, ">f2", []byte{0x3e, 0x00, 0xc0, 0x00}},
		{3, "<f4", []byte{0, 0, 0xc0, 0x3f, 0, 0, 0, 0xc0}},
		{1, ">f4", []byte{0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0}},
		{2, "<f8", []byte{0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0}},
	} {
		got, err := Read(bytes.NewReader(file(c.version, "{'descr': '"+c.descr+"', 'fortran_order': False, 'shape': (2,), }  \n", c.data)))
		require.NoError(t, err, c.descr)
		assert.Equal(t, Array{Shape: []int{2}, Data: want}, got, c.descr)
	}
}

func TestHalf(t *testing.T) {
	for bits, want := range map[uint16]float32{0: 0, 0x3c00: 1, 0xbc00: -1, 0x7bff: 65504, 0x0001: 0x1p-24, 0x0400: 0x1p-14,
		0x7c00: float32(math.Inf(1)), 0xfc00: float32(math.Inf(-1))} {
		assert.Equal(t, want, modelfile.HalfToFloat32(bits))
	}
	assert.True(t, math.IsNaN(float64(modelfile.HalfToFloat32(0x7e00))))
}

func TestReadRefuses(t *testing.T) {
	ok := "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"empty":       {nil, "fewer than 8 bytes"},
		"text":        {[]byte("hello, I am a text file"), "magic"},
		"version 9":   {file(9, ok, nil), "version 9.0"},
		"no length":   {[]byte("\x93NUMPY\x01\x00\x10"), "header's length"},
		"huge header": {append([]byte("\x93NUMPY\x02\x00"), 0xff, 0xff, 0xff, 0xff), "claims 4294967295"},
		"cut header":  {file(1, ok, nil)[:30], "inside the header"},
		"cut data":    {file(1, ok, make([]byte, 7)), "after 7 of 8"},
		"integers":    {file(1, "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", make([]byte, 8)), "'<i4'"},
		"objects":     {file(1, "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", make([]byte, 8)), "type is"},
		"fortran":     {file(1, "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }", make([]byte, 8)), "Fortran"},
		"2^62 values": {file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483648, 2147483648), }", nil), "more than"},
		"2^100": {file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1267650600228229401496703205376,), }", nil),
			"no usable shape"},
		"negative":         {file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", nil), "no usable shape"},
		"duplicate":        {file(1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", nil), "twice"},
		"unknown":          {file(1, "{'descr': '<f4', 'evil': __import__}", nil), "unknown key"},
		"missing":          {file(1, "{'descr': '<f4'}", nil), "lacks"},
		"trailing":         {file(1, ok+"x", nil), "goes on"},
		"unfinished":       {file(1, "{'descr': '<f4", nil), "does not end"},
		"billion, no data": {file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (200000000,), }", nil), "after 0 of"},
	} {
		_, err := Read(bytes.NewReader(c.data))
		require.ErrorIs(t, err, ErrFormat, name)
		if name != "integers" {
			assert.ErrorContains(t, err, c.want, name)
		}
	}
	_, err := ReadFile(t.TempDir())
	assert.Error(t, err)
	_, err = ReadFile(filepath.Join(t.TempDir(), "none.npy"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzRead(f *testing.F) {
	f.Add(file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", make([]byte, 8)))
	f.Add(file(2, "{'descr': '>f8', 'fortran_order': False, 'shape': (), }\n", make([]byte, 8)))
	f.Add(file(3, "{'shape': (1, 2), 'descr': '<f2', 'fortran_order': False}", make([]byte, 4)))
	f.Add(file(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2147483648, 2147483648), }", nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Read(bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := Write(&out, a); err != nil {
			t.Fatal(err)
		}
		b, err := Read(&out)
		if err != nil || len(b.Data) != len(a.Data) {
			t.Fatalf("round trip: %v", err)
		}
	})
}
