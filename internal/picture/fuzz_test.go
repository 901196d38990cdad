package picture

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// seed adds the files of testdata/formats with an ending.
func seed(f *testing.F, ending string) {
	f.Helper()
	names, err := filepath.Glob("testdata/formats/*" + ending)
	require.NoError(f, err)
	require.NotEmpty(f, names)
	for _, name := range names {
		data, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(data)
	}
}

func FuzzOrientation(f *testing.F) {
	f.Add(append([]byte{0xff, 0xd8}, exif(binary.BigEndian, 3)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o := readOrientation(bytes.NewReader(data)); o < 1 || o > 8 {
			t.Fatalf("orientation %d", o)
		}
	})
}

func FuzzPNG(f *testing.F) {
	seed(f, ".png")
	f.Fuzz(func(t *testing.T, data []byte) {
		if o, _ := scanPNG(bytes.NewReader(data)); o < 1 || o > 8 {
			t.Fatalf("orientation %d", o)
		}
	})
}

func FuzzGIF(f *testing.F) {
	seed(f, ".gif")
	f.Fuzz(func(_ *testing.T, data []byte) { severalFrames(bytes.NewReader(data)) })
}

// FuzzWebP decodes: what the container says and what its picture says need not agree.
func FuzzWebP(f *testing.F) {
	seed(f, ".webp")
	f.Fuzz(func(t *testing.T, data []byte) {
		w := findWebP(bytes.NewReader(data))
		if w == nil {
			return
		}
		if w.turn < 1 || w.turn > 8 {
			t.Fatalf("orientation %d", w.turn)
		}
		img, err := Decode(data, 1<<16)
		if err != nil {
			return
		}
		h, err := readHeader(bytes.NewReader(data), 1<<16)
		if err != nil || img.Bounds() != h.shown() {
			t.Fatalf("%v in a file of %v: %v", img.Bounds(), h.shown(), err)
		}
	})
}
