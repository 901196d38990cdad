package picture

import (
	"fmt"
	"image"
	"math"
)

// Load reads a picture that this program or one of its tools made, of any size, as opaque pixels.
func Load(path string) (*image.NRGBA, error) {
	img, err := Read(path, math.MaxInt)
	if err != nil {
		return nil, err
	}
	return Opaque(img), nil
}

// Difference compares the red, green and blue values of two opaque pictures of one size: the peak signal-to-noise ratio in dB, +Inf for
// equal ones, and the largest difference of a value.
func Difference(a, b *image.NRGBA) (psnr float64, largest int, err error) {
	if a.Rect.Size() != b.Rect.Size() {
		return 0, 0, fmt.Errorf("one picture is %v, the other %v", a.Rect.Size(), b.Rect.Size())
	}
	sum, n := 0.0, 0
	for y := range a.Rect.Dy() {
		for i := range 4 * a.Rect.Dx() {
			if i%4 == 3 {
				continue // alpha
			}
			d := int(a.Pix[y*a.Stride+i]) - int(b.Pix[y*b.Stride+i])
			sum += float64(d * d)
			largest = max(largest, d, -d)
			n++
		}
	}
	return 10 * math.Log10(255*255*float64(n)/sum), largest, nil
}
