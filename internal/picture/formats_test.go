package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/json"
	"image"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pillows is what Pillow reads from a file of testdata/formats (tools/goldens/formats.py).
type pillows struct {
	Width, Height int
	RGBA          []byte // packed by zlib
}

// apart are the files whose pixels are not Pillow's to the bit, with the largest difference of a value. Go's JPEG decoder rounds otherwise
// than libjpeg-turbo, and multiplies ink where Pillow does it with other rounding.
var apart = map[string]int{"444.jpg": 2, "grey.jpg": 1, "progressive.jpg": 2, "cmyk.jpg": 3}

// TestReadsAsPillow: every kind of file has the pixels, alpha and size that Pillow reads, turned upright.
func TestReadsAsPillow(t *testing.T) {
	dir := filepath.Join("testdata", "formats")
	text, err := os.ReadFile(filepath.Join(dir, "pixels.json"))
	require.NoError(t, err)
	var files map[string]pillows
	require.NoError(t, json.Unmarshal(text, &files))
	for name, want := range files {
		t.Run(name, func(t *testing.T) {
			img, err := Read(filepath.Join(dir, name), 1<<20)
			require.NoError(t, err)
			size, err := ReadSize(filepath.Join(dir, name), 1<<20)
			require.NoError(t, err)
			shown := image.Rect(0, 0, want.Width, want.Height)
			require.Equal(t, []image.Rectangle{shown, shown}, []image.Rectangle{img.Bounds(), size.Bounds()})
			packed, err := zlib.NewReader(bytes.NewReader(want.RGBA))
			require.NoError(t, err)
			pixels, err := io.ReadAll(packed)
			require.NoError(t, err)
			got, opaque, most := straight(img), Opaque(img), 0
			for i, w := range pixels {
				most = max(most, int(got.Pix[i])-int(w), int(w)-int(got.Pix[i]))
				if i%4 < 3 {
					require.Equal(t, got.Pix[i], opaque.Pix[i], "what is transparent keeps its colour")
				}
			}
			assert.LessOrEqual(t, most, apart[name])
			animated := strings.HasPrefix(name, "animated")
			assert.Equal(t, animated, len(Notes(img)) == 1, "an animation is said to be one")
		})
	}
}
