package imagefile

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gradient is a picture in which every pixel differs from its neighbours.
func gradient(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x * 7), uint8(y * 5), uint8(x*y + 3), 255})
		}
	}
	return img
}

func TestFormatOf(t *testing.T) {
	for path, want := range map[string]Format{"a.png": PNG, "b.PNG": PNG, "c.jpg": JPEG, "x/d.JPEG": JPEG, "e.webp": WebP} {
		got, err := FormatOf(path)
		require.NoError(t, err, path)
		assert.Equal(t, want, got, path)
	}
	for _, path := range []string{"a", "a.gif", "dir.png/a", ".", ""} {
		_, err := FormatOf(path)
		require.ErrorIs(t, err, ErrFormat, path)
		assert.Contains(t, err.Error(), ".png, .jpg or .webp")
	}
}

func TestEncodeDecode(t *testing.T) {
	img := gradient(37, 21)
	for _, f := range []Format{PNG, WebP, JPEG} {
		data, err := Encode(img, f, EncodeOptions{Text: []Text{{"k", "v"}}})
		require.NoError(t, err, f)
		got, err := Decode(data)
		require.NoError(t, err, f)
		require.Equal(t, img.Bounds(), got.Bounds(), f)
		if f == JPEG {
			continue
		}
		for y := range 21 {
			for x := range 37 {
				require.Equal(t, img.At(x, y), color.NRGBAModel.Convert(got.At(x, y)), "%s pixel %d,%d", f, x, y)
			}
		}
	}
	_, err := Encode(img, "gif", EncodeOptions{})
	require.ErrorIs(t, err, ErrFormat)
	_, err = Encode(img, JPEG, EncodeOptions{JPEGQuality: 101})
	require.Error(t, err)
}

func TestJPEGQuality(t *testing.T) {
	img := gradient(64, 64)
	low, err := Encode(img, JPEG, EncodeOptions{JPEGQuality: 20})
	require.NoError(t, err)
	high, err := Encode(img, JPEG, EncodeOptions{JPEGQuality: 95})
	require.NoError(t, err)
	assert.Less(t, len(low), len(high))
}

func TestPNGText(t *testing.T) {
	texts := []Text{
		{"parameters", "a red circle\nSteps: 20, Seed: 42"},
		{"daguerre", `{"prompt":"ein grüner Kreis 円 🎨"}`},
		{"empty", ""},
	}
	data, err := Encode(gradient(8, 8), PNG, EncodeOptions{Text: texts})
	require.NoError(t, err)
	got, err := ReadText(data)
	require.NoError(t, err)
	assert.Equal(t, texts, got)
	assert.Contains(t, string(data), "tEXtparameters\x00a red")
	assert.Contains(t, string(data), "iTXtdaguerre\x00\x00\x00\x00\x00{")
	_, err = png.Decode(bytes.NewReader(data))
	require.NoError(t, err, "the file must stay a valid PNG")

	for _, bad := range []Text{{"", "x"}, {" a", "x"}, {"ü", "x"}, {"k", "a\x00b"}, {"k", "\xff"}, {string(make([]byte, 80)), "x"}} {
		_, err := Encode(gradient(8, 8), PNG, EncodeOptions{Text: []Text{bad}})
		require.Error(t, err, "%q", bad)
	}
}

func TestReadTextOfOthers(t *testing.T) {
	base, err := Encode(gradient(4, 4), PNG, EncodeOptions{})
	require.NoError(t, err)
	var out bytes.Buffer
	out.Write(base[:ihdrEnd])
	writeChunk(&out, "tEXt", "Author\x00Jos\xe9")
	// zlib stream of "hello" with stored block.
	z := "\x78\x01\x01\x05\x00\xfa\xffhello\x06\x2c\x02\x15"
	writeChunk(&out, "zTXt", "packed\x00\x00"+z)
	writeChunk(&out, "iTXt", "packed8\x00\x01\x00en\x00\x00"+z)
	out.Write(base[ihdrEnd:])
	got, err := ReadText(out.Bytes())
	require.NoError(t, err)
	assert.Equal(t, []Text{{"Author", "José"}, {"packed", "hello"}, {"packed8", "hello"}}, got)
}

func FuzzReadText(f *testing.F) {
	data, err := Encode(gradient(4, 4), PNG, EncodeOptions{Text: []Text{{"a", "b"}, {"c", "ü"}}})
	require.NoError(f, err)
	f.Add(data)
	f.Add(data[:len(data)-5])
	f.Add([]byte(pngSignature))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = ReadText(b) })
}

func FuzzDecode(f *testing.F) {
	for _, format := range []Format{PNG, JPEG, WebP} {
		data, err := Encode(gradient(9, 5), format, EncodeOptions{})
		require.NoError(f, err)
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = Decode(b) })
}

func TestDecodeRefuses(t *testing.T) {
	good, err := Encode(gradient(8, 8), PNG, EncodeOptions{})
	require.NoError(t, err)
	huge := append([]byte(nil), good...)
	binary.BigEndian.PutUint32(huge[16:], 100000)
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	wide := append([]byte(nil), good...)
	binary.BigEndian.PutUint32(wide[16:], 12000)
	binary.BigEndian.PutUint32(wide[20:], 12000)
	binary.BigEndian.PutUint32(wide[29:], crc32.ChecksumIEEE(wide[12:29]))
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"empty": {nil, ErrFormat}, "text": {[]byte("hello"), ErrFormat}, "gif": {[]byte("GIF89a......"), ErrFormat},
		"cut": {good[:40], ErrFormat}, "one byte": {good[:1], ErrFormat},
		"huge side": {huge, ErrTooLarge}, "too many pixels": {wide, ErrTooLarge},
	} {
		_, err := Decode(c.data)
		require.ErrorIs(t, err, c.want, name)
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	data, err := Encode(gradient(8, 6), WebP, EncodeOptions{})
	require.NoError(t, err)
	path := filepath.Join(dir, "misnamed.png")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	img, err := Read(path)
	require.NoError(t, err, "the content decides, not the name")
	assert.Equal(t, 8, img.Bounds().Dx())

	_, err = Read(filepath.Join(dir, "missing.png"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Read(dir)
	require.ErrorIs(t, err, ErrFormat)
	assert.Contains(t, err.Error(), dir)
	bad := filepath.Join(dir, "bad.jpg")
	require.NoError(t, os.WriteFile(bad, []byte("nope"), 0o600))
	_, err = Read(bad)
	require.ErrorIs(t, err, ErrFormat)
	assert.Contains(t, err.Error(), "bad.jpg")
	long := filepath.Join(dir, "long.png")
	f, err := os.Create(long)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(MaxFileBytes+1))
	require.NoError(t, f.Close())
	_, err = Read(long)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestResize(t *testing.T) {
	img := image.NewNRGBA(image.Rect(3, 4, 13, 14))
	for i := range img.Pix {
		img.Pix[i] = 200
	}
	out := Resize(img, 64, 24)
	assert.Equal(t, image.Rect(0, 0, 64, 24), out.Bounds())
	r, _, _, _ := out.At(30, 12).RGBA()
	assert.InDelta(t, 200, float64(color.NRGBAModel.Convert(out.At(30, 12)).(color.NRGBA).R), 1, "%d", r)
	assert.Same(t, img, Resize(img, 10, 10))
}
