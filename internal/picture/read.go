package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
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
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, err := decode(f, maxPixels)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return img, nil
}

// ReadSize is Read without decoding: what it returns has the size that the picture is shown at, and no pixels.
func ReadSize(path string, maxPixels int) (image.Image, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, _, err := header(f, maxPixels)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return size, nil
}

// Decode is Read for a file that is in memory.
func Decode(data []byte, maxPixels int) (image.Image, error) {
	return decode(bytes.NewReader(data), maxPixels)
}

func open(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file; name a %s file", path, Formats)
	}
	if err != nil {
		_ = f.Close() // nothing was read
		return nil, err
	}
	return f, nil
}

// header reads the size that a picture is shown at, and how it is turned for that.
func header(f io.ReadSeeker, maxPixels int) (image.Rectangle, orientation, error) {
	head, format, err := image.DecodeConfig(f)
	if err != nil {
		return image.Rectangle{}, upright, fmt.Errorf("not a readable %s file: %w", Formats, err)
	}
	if head.Width < 1 || head.Height < 1 || head.Width > maxPixels/head.Height {
		return image.Rectangle{}, upright, fmt.Errorf("%d x %d pixels; at most %d million are read: scale it down", head.Width, head.Height,
			maxPixels>>20)
	}
	turn := upright
	if format == "jpeg" {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return image.Rectangle{}, upright, err
		}
		turn = readOrientation(f)
	}
	if turn >= firstSideways {
		head.Width, head.Height = head.Height, head.Width
	}
	return image.Rect(0, 0, head.Width, head.Height), turn, nil
}

func decode(f io.ReadSeeker, maxPixels int) (image.Image, error) {
	size, turn, err := header(f, maxPixels)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	img, _, err := image.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	img = turn.apply(img)
	if img.Bounds() != size { // the first frame of a GIF need not fill it
		canvas := image.NewNRGBA(size)
		draw.Draw(canvas, img.Bounds(), img, img.Bounds().Min, draw.Src)
		img = canvas
	}
	return img, nil
}
