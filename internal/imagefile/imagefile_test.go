package imagefile

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/webp"
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

func decode(data []byte, f Format) (image.Image, error) {
	decoders := map[Format]func(io.Reader) (image.Image, error){PNG: png.Decode, JPEG: jpeg.Decode, WebP: webp.Decode}
	return decoders[f](bytes.NewReader(data))
}

func TestEncodeDecode(t *testing.T) {
	img := gradient(37, 21)
	for _, f := range []Format{PNG, WebP, JPEG} {
		data, err := Encode(img, f, EncodeOptions{Text: []Text{{"k", "v"}}})
		require.NoError(t, err, f)
		got, err := decode(data, f)
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
