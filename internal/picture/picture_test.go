package picture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// letters is a 3 x 2 picture whose pixels are A to F in reading order.
func letters() *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, 3, 2))
	for i := range 6 {
		img.SetNRGBA(i%3, i/3, color.NRGBA{'A' + uint8(i), 0, 0, 255})
	}
	return img
}

func read(img image.Image) (rows []string) {
	b := img.Bounds()
	for y := range b.Dy() {
		row := ""
		for x := range b.Dx() {
			row += string(rune(img.At(x, y).(color.NRGBA).R))
		}
		rows = append(rows, row)
	}
	return rows
}

func TestOrientations(t *testing.T) {
	for o, want := range map[orientation][]string{
		1: {"ABC", "DEF"}, // upright
		2: {"CBA", "FED"}, // mirrored
		3: {"FED", "CBA"}, // turned by half
		4: {"DEF", "ABC"}, // upside down, mirrored
		5: {"AD", "BE", "CF"},
		6: {"DA", "EB", "FC"}, // a quarter to the right makes it upright
		7: {"FC", "EB", "DA"},
		8: {"CF", "BE", "AD"}, // a quarter to the left
	} {
		assert.Equal(t, want, read(o.apply(letters())), "orientation %d", o)
	}
}

// exif is a JPEG's APP1 segment with an unrelated entry and an orientation.
func exif(order binary.AppendByteOrder, value uint16) []byte {
	tiff := []byte("II*\x00")
	if order == binary.BigEndian {
		tiff = []byte("MM\x00*")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2)
	for _, tag := range []uint16{0x010f, orientationTag} {
		tiff = order.AppendUint16(tiff, tag)
		tiff = order.AppendUint16(tiff, 3) // SHORT
		tiff = order.AppendUint32(tiff, 1)
		tiff = order.AppendUint16(tiff, value)
		tiff = append(tiff, 0, 0)
	}
	body := append([]byte("Exif\x00\x00"), tiff...)
	return append(binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(body)+2)), body...)
}

func TestReadTurnsAPhotographUpright(t *testing.T) {
	stored := image.NewGray(image.Rect(0, 0, 32, 16)) // white where row 0 is
	for i := range 32 * 8 {
		stored.Pix[i] = 255
	}
	var plain bytes.Buffer
	require.NoError(t, jpeg.Encode(&plain, stored, nil))
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		path := filepath.Join(t.TempDir(), "phone.jpg")
		file := append(append([]byte{0xff, 0xd8}, exif(order, 6)...), plain.Bytes()[2:]...)
		require.NoError(t, os.WriteFile(path, file, 0o600))
		img, err := Read(path, 1<<20)
		require.NoError(t, err)
		require.Equal(t, image.Rect(0, 0, 16, 32), img.Bounds())
		left, _, _, _ := img.At(1, 16).RGBA()
		right, _, _, _ := img.At(14, 16).RGBA()
		assert.Less(t, left, uint32(0x2000), "row 0 is to be shown on the right")
		assert.Greater(t, right, uint32(0xe000))
	}
}

// tinyWebP is a lossless WebP of one pixel.
const tinyWebP = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="

// TestReadSizeIsThatOfRead: for every orientation and format, a frame that does not fill its GIF among them.
func TestReadSizeIsThatOfRead(t *testing.T) {
	var plain, still, small bytes.Buffer
	require.NoError(t, jpeg.Encode(&plain, image.NewGray(image.Rect(0, 0, 32, 16)), nil))
	require.NoError(t, png.Encode(&still, letters()))
	frame := image.NewPaletted(image.Rect(2, 1, 5, 3), color.Palette{color.White, color.Black})
	animation := &gif.GIF{Image: []*image.Paletted{frame}, Delay: []int{0}, Config: image.Config{Width: 8, Height: 4}}
	require.NoError(t, gif.EncodeAll(&small, animation))
	tiny, err := base64.StdEncoding.DecodeString(tinyWebP)
	require.NoError(t, err)
	files := map[string][]byte{"png": still.Bytes(), "gif": small.Bytes(), "webp": tiny, "jpg": plain.Bytes()}
	sizes := map[string]image.Point{"png": {3, 2}, "gif": {8, 4}, "webp": {1, 1}, "jpg": {32, 16}}
	for o := range uint16(9) {
		name := fmt.Sprintf("%d.jpg", o)
		files[name] = append(append([]byte{0xff, 0xd8}, exif(binary.BigEndian, o)...), plain.Bytes()[2:]...)
		sizes[name] = image.Pt(32, 16)
		if o >= 5 {
			sizes[name] = image.Pt(16, 32)
		}
	}
	for name, data := range files {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		size, err := ReadSize(path, 1<<20)
		require.NoError(t, err, name)
		img, err := Read(path, 1<<20)
		require.NoError(t, err, name)
		want := image.Rectangle{Max: sizes[name]}
		assert.Equal(t, []image.Rectangle{want, want}, []image.Rectangle{size.Bounds(), img.Bounds()}, name)
	}
}

func TestDamagedOrientationsAreUpright(t *testing.T) {
	good := append([]byte{0xff, 0xd8}, exif(binary.LittleEndian, 6)...)
	require.Equal(t, orientation(6), readOrientation(bytes.NewReader(good)))
	for n := range good {
		cut := good[:n]
		assert.NotPanics(t, func() { assert.Equal(t, upright, readOrientation(bytes.NewReader(cut)), n) })
	}
	for _, value := range []uint16{0, 9, 65535} {
		assert.Equal(t, upright, readOrientation(bytes.NewReader(append([]byte{0xff, 0xd8}, exif(binary.LittleEndian, value)...))))
	}
	assert.Equal(t, upright, tiffOrientation([]byte("II*\x00\xff\xff\xff\xff")))
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	var buf bytes.Buffer
	require.NoError(t, png.Encode(&buf, letters()))
	for says, path := range map[string]string{
		"no such file":                         filepath.Join(dir, "missing.png"),
		"is a directory; name a regular file":  dir,
		"not a readable PNG, JPEG, GIF or Web": write("text.png", []byte("hello")),
		"damaged":                              write("cut.png", buf.Bytes()[:60]),
		"3 x 2 pixels; at most":                write("good.png", buf.Bytes()),
	} {
		_, err := Read(path, 5)
		if says != "3 x 2 pixels; at most" {
			_, err = Read(path, 100)
		}
		require.ErrorContains(t, err, says)
		assert.ErrorContains(t, err, path)
	}
	img, err := Read(filepath.Join(dir, "good.png"), 6)
	require.NoError(t, err)
	same, err := Decode(buf.Bytes(), 6)
	require.NoError(t, err)
	assert.Equal(t, img, same)
	_, err = Decode(buf.Bytes(), 5)
	assert.EqualError(t, err, "3 x 2 pixels; at most 0 million are read: scale it down")
	assert.Equal(t, letters().Bounds(), img.Bounds())
}

func TestOpaqueKeepsColours(t *testing.T) {
	img := image.NewNRGBA(image.Rect(5, 5, 7, 6))
	img.SetNRGBA(5, 5, color.NRGBA{10, 20, 30, 128})
	img.SetNRGBA(6, 5, color.NRGBA{40, 50, 60, 255})
	out := Opaque(img)
	assert.Equal(t, []uint8{10, 20, 30, 255, 40, 50, 60, 255}, out.Pix)
	img.SetNRGBA(5, 5, color.NRGBA{10, 20, 30, 0})
	img.SetNRGBA(6, 5, color.NRGBA{1, 50, 60, 1})
	assert.Equal(t, []uint8{10, 20, 30, 255, 1, 50, 60, 255}, Opaque(img).Pix, "what is transparent keeps its colour")
	grey := image.NewGray(image.Rect(0, 0, 1, 1))
	grey.Pix[0] = 77
	assert.Equal(t, []uint8{77, 77, 77, 255}, Opaque(grey).Pix)
	assert.Same(t, out, Resize(out, 2, 1))
	assert.Equal(t, image.Rect(0, 0, 8, 4), Resize(out, 8, 4).Rect)
}

func TestDifference(t *testing.T) {
	grey := func(v uint8) *image.NRGBA {
		img := image.NewNRGBA(image.Rect(0, 0, 4, 2))
		for i := range img.Pix {
			img.Pix[i] = v
		}
		return img
	}
	a, b := grey(100), grey(102)
	b.Pix[3] = 0 // alpha is not compared
	psnr, largest, err := Difference(a, b)
	require.NoError(t, err)
	assert.InDelta(t, 20*math.Log10(255.0/2), psnr, 1e-9)
	assert.Equal(t, 2, largest)
	b = grey(100)
	psnr, largest, err = Difference(a, b.SubImage(b.Rect).(*image.NRGBA))
	require.NoError(t, err)
	assert.True(t, math.IsInf(psnr, 1))
	assert.Zero(t, largest)
	_, _, err = Difference(a, image.NewNRGBA(image.Rect(0, 0, 2, 4)))
	assert.ErrorContains(t, err, "(4,2)")
}
