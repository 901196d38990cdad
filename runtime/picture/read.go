package picture

import (
	"fmt"
	"image"
	_ "image/gif"  // the formats that image.Decode
	_ "image/jpeg" // knows are those
	_ "image/png"  // imported here
	"io"
	"os"

	_ "golang.org/x/image/webp" // and this one
)

// Formats names what Read reads, for messages.
const Formats = "PNG, JPEG, GIF or WebP"

// Read decodes a picture file, after its header has shown at most maxPixels, and turns a JPEG upright as its EXIF orientation says.
func Read(path string, maxPixels int) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil {
		return nil, err
	} else if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file; name a %s file", path, Formats)
	}
	head, format, err := image.DecodeConfig(f)
	if err != nil {
		return nil, fmt.Errorf("%s: not a readable %s file: %w", path, Formats, err)
	}
	if head.Width < 1 || head.Height < 1 || head.Width > maxPixels/head.Height {
		return nil, fmt.Errorf("%s: %d x %d pixels; at most %d million are read: scale it down", path, head.Width, head.Height, maxPixels>>20)
	}
	turn := upright
	if format == "jpeg" {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		turn = readOrientation(f)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	img, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: damaged: %w", path, err)
	}
	return turn.apply(img), nil
}
