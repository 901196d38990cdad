package picture

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"image"
)

// Sum is the SHA-256 of what a picture shows: its width and height as 64-bit numbers in little endian, then red, green, blue and alpha of
// every pixel, in a byte each. It does not depend on the file's format.
func Sum(img image.Image) string {
	b := img.Bounds()
	h := sha256.New()
	_, _ = h.Write(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, uint64(b.Dx())), uint64(b.Dy()))) // never fails
	if b.Empty() {
		return hex.EncodeToString(h.Sum(nil))
	}
	pixels := straight(img)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		_, _ = h.Write(pixels.Pix[pixels.PixOffset(b.Min.X, y):][:4*b.Dx()])
	}
	return hex.EncodeToString(h.Sum(nil))
}
