// Package imagefile writes the pictures of the command line as PNG, JPEG and WebP, with the generation settings stored in PNG text chunks.
// It reads those back, and knows nothing of diffusion.
package imagefile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"path/filepath"
	"strings"
	"sync"

	"github.com/HugoSmits86/nativewebp"
)

// DefaultJPEGQuality is used where EncodeOptions.JPEGQuality is zero.
const DefaultJPEGQuality = 92

// EncodeOptions are the settings of Encode; the zero value is useful.
type EncodeOptions struct {
	// Text is stored in PNG files, in this order. JPEG and WebP files carry no text.
	Text []Text
	// JPEGQuality is 1 to 100; 0 means DefaultJPEGQuality.
	JPEGQuality int
}

// pngBuffers keeps an encoder's working memory, 850 KB, for the next picture: without it that is made anew for each.
type pngBuffers struct{}

var pngBufferPool sync.Pool

// Get implements png.EncoderBufferPool.
func (pngBuffers) Get() *png.EncoderBuffer {
	b, _ := pngBufferPool.Get().(*png.EncoderBuffer)
	return b
}

// Put implements png.EncoderBufferPool.
func (pngBuffers) Put(b *png.EncoderBuffer) { pngBufferPool.Put(b) }

// Encode returns img as a file of the given format.
func Encode(img image.Image, format Format, opts EncodeOptions) ([]byte, error) {
	var buf bytes.Buffer
	switch format {
	case PNG:
		encoder := png.Encoder{BufferPool: pngBuffers{}}
		if err := encoder.Encode(&buf, img); err != nil {
			return nil, fmt.Errorf("encoding PNG: %w", err)
		}
		return insertText(buf.Bytes(), opts.Text)
	case JPEG:
		quality := cmp.Or(opts.JPEGQuality, DefaultJPEGQuality)
		if quality < 1 || quality > 100 {
			return nil, fmt.Errorf("JPEG quality %d: must be 1 to 100", quality)
		}
		if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: quality}); err != nil {
			return nil, fmt.Errorf("encoding JPEG: %w", err)
		}
	case WebP:
		if err := nativewebp.Encode(&buf, img, nil); err != nil {
			return nil, fmt.Errorf("encoding WebP: %w", err)
		}
	default:
		return nil, fmt.Errorf("%w: %q; use png, jpeg or webp", ErrFormat, format)
	}
	return buf.Bytes(), nil
}

// ErrFormat is wrapped by errors about a picture of a format that is not offered, or damaged.
var ErrFormat = errors.New("unsupported picture format")

// Format is a picture file format that can be written.
type Format string

// The formats that can be written. WebP is always lossless.
const (
	PNG  Format = "png"
	JPEG Format = "jpeg"
	WebP Format = "webp"
)

// extensions maps a lower-case file name extension to its format.
var extensions = map[string]Format{".png": PNG, ".jpg": JPEG, ".jpeg": JPEG, ".webp": WebP}

// FormatOf returns the format that path's extension names, in any case. The error wraps ErrFormat and lists the extensions that work.
func FormatOf(path string) (Format, error) {
	ext := strings.ToLower(filepath.Ext(path))
	if f, ok := extensions[ext]; ok {
		return f, nil
	}
	if ext == "" {
		return "", fmt.Errorf("%w: %q has no extension; end the name in .png, .jpg or .webp", ErrFormat, path)
	}
	return "", fmt.Errorf("%w: %q ends in %q; end the name in .png, .jpg or .webp", ErrFormat, path, ext)
}
