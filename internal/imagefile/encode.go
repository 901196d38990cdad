package imagefile

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
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
		quality := opts.JPEGQuality
		if quality == 0 {
			quality = DefaultJPEGQuality
		}
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
