package picture

import (
	"bytes"
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
	img, err := decode(f, maxPixels)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return img, nil
}

// Decode is Read for a file that is in memory.
func Decode(data []byte, maxPixels int) (image.Image, error) {
	return decode(bytes.NewReader(data), maxPixels)
}

func decode(f io.ReadSeeker, maxPixels int) (image.Image, error) {
	head, format, err := image.DecodeConfig(f)
	if err != nil {
		return nil, fmt.Errorf("not a readable %s file: %w", Formats, err)
	}
	if head.Width < 1 || head.Height < 1 || head.Width > maxPixels/head.Height {
		return nil, fmt.Errorf("%d x %d pixels; at most %d million are read: scale it down", head.Width, head.Height, maxPixels>>20)
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
		return nil, fmt.Errorf("damaged: %w", err)
	}
	return turn.apply(img), nil
}
