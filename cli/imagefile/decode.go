package imagefile

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

// ErrTooLarge is wrapped by errors about a picture beyond the limits below.
var ErrTooLarge = errors.New("picture too large")

// Limits on a picture that is read: they bound the memory a small hostile file can ask for.
const (
	MaxFileBytes = 256 << 20 // of the file
	MaxSide      = 16384     // pixels
	MaxPixels    = 64 << 20  // pixels in all
)

// Read opens and decodes a PNG, JPEG or WebP file, told apart by its first bytes, not its name.
// Errors name the file; they wrap ErrFormat, ErrTooLarge or the operating system's error.
func Read(path string) (image.Image, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: not a regular file; give a PNG, JPEG or WebP file", path, ErrFormat)
	}
	if info.Size() > MaxFileBytes {
		return nil, fmt.Errorf("%s: %w: %d bytes, at most %d are read", path, ErrTooLarge, info.Size(), MaxFileBytes)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFileBytes))
	if err != nil {
		return nil, err
	}
	img, err := Decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return img, nil
}

// codec decodes one format.
type codec struct {
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

// Decode decodes the bytes of a PNG, JPEG or WebP file. The header is held against the limits before
// any pixel is unpacked.
func Decode(data []byte) (image.Image, error) {
	c, err := sniff(data)
	if err != nil {
		return nil, err
	}
	cfg, err := c.config(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: damaged: %w", ErrFormat, err)
	}
	if cfg.Width < 1 || cfg.Height < 1 {
		return nil, fmt.Errorf("%w: %dx%d pixels", ErrFormat, cfg.Width, cfg.Height)
	}
	if cfg.Width > MaxSide || cfg.Height > MaxSide || int64(cfg.Width)*int64(cfg.Height) > MaxPixels {
		return nil, fmt.Errorf("%w: %dx%d pixels; at most %d a side and %d million in all, scale it down first",
			ErrTooLarge, cfg.Width, cfg.Height, MaxSide, MaxPixels>>20)
	}
	img, err := c.decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: damaged: %w", ErrFormat, err)
	}
	return img, nil
}

func sniff(data []byte) (codec, error) {
	switch {
	case bytes.HasPrefix(data, []byte(pngSignature)):
		return codec{png.DecodeConfig, png.Decode}, nil
	case bytes.HasPrefix(data, []byte{0xff, 0xd8, 0xff}):
		return codec{jpeg.DecodeConfig, jpeg.Decode}, nil
	case len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return codec{webp.DecodeConfig, webp.Decode}, nil
	case len(data) == 0:
		return codec{}, fmt.Errorf("%w: the file is empty; give a PNG, JPEG or WebP file", ErrFormat)
	}
	return codec{}, fmt.Errorf("%w: not a PNG, JPEG or WebP file; convert it to one of these", ErrFormat)
}

// Resize scales img to width x height pixels with the Catmull-Rom kernel; an image of that size is
// returned as it is. The aspect ratio is not kept.
func Resize(img image.Image, width, height int) image.Image {
	b := img.Bounds()
	if b.Dx() == width && b.Dy() == height {
		return img
	}
	out := image.NewNRGBA(image.Rect(0, 0, width, height))
	draw.CatmullRom.Scale(out, out.Bounds(), img, b, draw.Src, nil)
	return out
}
