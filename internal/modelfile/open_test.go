package modelfile

import (
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The superuser may read everything, so the mapping is tested by itself too.
func TestNoPermission(t *testing.T) {
	err := osError("m.gguf", &fs.PathError{Op: "open", Path: "m.gguf", Err: syscall.EACCES})
	requireError(t, err, ErrPermission, "m.gguf", "chmod")
	if os.Geteuid() != 0 {
		path := write(t, t.TempDir(), "m.safetensors", stFile(oneTensor, 24))
		require.NoError(t, os.Chmod(path, 0))
		_, err := Open(path)
		requireError(t, err, ErrPermission, "m.safetensors")
	}
	requireError(t, osError("x", &fs.PathError{Err: syscall.EIO}), ErrRead, "check the disk")
}

func TestOpenSaysWhatItIs(t *testing.T) {
	for _, c := range []struct{ name, content, says string }{
		{"m.safetensors", "<!DOCTYPE html>\n<html><head>", "HTML page"},
		{"m.safetensors", "  <html>", "HTML page"},
		{"m.ckpt", "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 6938078334\n", "git-lfs pointer"},
		{"m.safetensors", "Entry not found", "text file"},
		{"m.gguf", "{\"error\": \"Access to model is restricted\"}", "JSON text"},
		{"m.safetensors", "\x89PNG\r\n\x1a\n000000", "picture"},
		{"m.safetensors", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00", "gzip"},
		{"m.bin", "ggml\x01\x00\x00\x00\x01\x02\x03", "before GGUF"},
		{"m.bin", "<?xml version='1.0'?><Error>", "XML"},
		{"m.bin", "7z\xbc\xaf\x27\x1c\x00\x00\x00", "archive"},
		{"m.bin", "\x89HDF\r\n\x1a\n\x00", "HDF5"},
		{"m.bin", "x" + strings.Repeat("\x00", 256) + "ustar\x00" + strings.Repeat("\x00", 300), "tar archive"},
		{"m.bin", "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a", "neither safetensors, GGUF nor a PyTorch file"},
	} {
		_, err := open(c.name, []byte(c.content))
		requireError(t, err, ErrFormat, c.says, c.name)
	}
	_, err := open("m.safetensors", []byte{1, 0, 0, 0, 0, 0, 0, 0, 0x99})
	requireError(t, err, ErrFormat, "1 bytes cannot hold")
}

func TestExtensionMismatchIsSaid(t *testing.T) {
	f, err := open("m.ckpt", stFile(oneTensor, 24))
	require.NoError(t, err)
	require.Len(t, f.Warnings, 1)
	assert.Contains(t, f.Warnings[0], ".ckpt but the content is safetensors")
	f, err = open("m.safetensors", torchZip(pkDict(), nil))
	require.NoError(t, err)
	assert.Contains(t, f.Warnings[0], "torch-zip")
	f, err = open("anything", stFile(oneTensor, 24))
	require.NoError(t, err)
	assert.Empty(t, f.Warnings)
}

func TestReadAfterTheFileShrank(t *testing.T) {
	path := write(t, t.TempDir(), "m.safetensors", stFile(oneTensor, 24))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.Truncate(path, 90))
	_, err = f.ReadFloat32("a")
	requireError(t, err, ErrTruncated, "shorter")
	_, err = f.ReadFloat32("b")
	requireError(t, err, ErrTensor, `tensor "b"`)
}

func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		v := HalfToFloat32(uint16(h))
		if v != v {
			assert.Equal(t, uint16(h)&0x8000|0x7e00, Float32ToHalf(v))
			continue
		}
		if back := Float32ToHalf(v); back != uint16(h) {
			t.Fatalf("%#04x is %v, which becomes %#04x", h, v, back)
		}
	}
	for in, want := range map[float32]uint16{65519: 0x7bff, 65520: 0x7c00, float32(math.Inf(-1)): 0xfc00, 1 + 1.0/2048: 0x3c00,
		1 + 3.0/2048: 0x3c02, 1.0 / (1 << 25): 0, 1.5 / (1 << 25): 1, 3.0 / (1 << 25): 2, 1.0 / (1 << 24): 1} {
		assert.Equal(t, want, Float32ToHalf(in), "%g", in)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100_000 { // nearest: no neighbour is closer
		v := float32(math.Ldexp(rng.Float64()*2-1, rng.IntN(40)-26))
		h := Float32ToHalf(v)
		d := math.Abs(float64(HalfToFloat32(h)) - float64(v))
		for _, n := range []uint16{h - 1, h + 1} {
			if n&0x7fff < 0x7c00 && h&0x7fff < 0x7c00 && n&0x8000 == h&0x8000 {
				require.GreaterOrEqual(t, math.Abs(float64(HalfToFloat32(n))-float64(v)), d, "%g", v)
			}
		}
	}
}

func TestOtherNumbers(t *testing.T) {
	assert.Equal(t, uint16(0x3f80), Float32ToBFloat16(1))
	assert.Equal(t, uint16(0x3f80), Float32ToBFloat16(1+1.0/256), "a tie goes to even")
	assert.Equal(t, uint16(0x3f82), Float32ToBFloat16(1+3.0/256))
	assert.Equal(t, uint16(0x7fc0), Float32ToBFloat16(float32(math.NaN())))
	for x, want := range map[uint8]float32{0: 0, 1: 1.0 / 512, 7: 7.0 / 512, 8: 1.0 / 64, 0x38: 1, 0x7e: 448, 0xb8: -1} {
		assert.Equal(t, want, e4m3(x), "%#02x", x)
	}
	assert.True(t, math.IsNaN(float64(e4m3(0xff))))
	for d, c := range map[DType]struct {
		b    []byte
		want float32
	}{
		F8E5M2: {[]byte{0x3c}, 1}, I8: {[]byte{0xff}, -1}, U8: {[]byte{0xff}, 255}, I16: {[]byte{0xff, 0xff}, -1},
		U16: {[]byte{0xff, 0xff}, 65535}, I32: {[]byte{0xfe, 0xff, 0xff, 0xff}, -2}, U32: {[]byte{2, 0, 0, 0}, 2},
		I64: {[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -1}, U64: {[]byte{5, 0, 0, 0, 0, 0, 0, 0}, 5}, Bool: {[]byte{1}, 1},
		F64: {[]byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, 1}, BF16: {[]byte{0x80, 0x3f}, 1},
	} {
		out := make([]float32, 1)
		assert.True(t, d.Decode(c.b, out), d)
		assert.Equal(t, []float32{c.want}, out, d)
	}
}

func TestDTypeBytes(t *testing.T) {
	for d := range dtypes {
		assert.True(t, d.Known())
		n, ok := d.Bytes(512, 256)
		assert.True(t, ok, d)
		assert.Positive(t, n)
	}
	for _, d := range ggmlTypes {
		assert.True(t, d.Known(), d)
	}
	_, ok := F32.Bytes(1<<62, 1)
	assert.False(t, ok)
	_, ok = DType("Q4_0").Bytes(33, 33)
	assert.False(t, ok)
	_, ok = DType("nonsense").Bytes(1, 1)
	assert.False(t, ok)
}
