package picture

import (
	"image"
	"math"
)

// blurPasses is how many box blurs stand for a Gaussian one.
const blurPasses = 3

// Blur blurs a mask with a standard deviation in pixels. The result is that of Pillow's GaussianBlur, bit for bit: three box blurs of a
// fractional radius in each direction. Beyond the border there is the border.
func Blur(img *image.Gray, deviation float64) *image.Gray {
	out := image.NewGray(image.Rect(0, 0, img.Rect.Dx(), img.Rect.Dy()))
	for y := range out.Rect.Dy() {
		copy(out.Pix[y*out.Stride:][:out.Rect.Dx()], img.Pix[img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y+y):])
	}
	blurChannels(out.Pix, out.Rect.Dx(), out.Rect.Dy(), 1, deviation)
	return out
}

// BlurFour is Blur for a picture of four channels, each by itself, in place. The picture begins at the origin.
func BlurFour(img *image.NRGBA, deviation float64) {
	blurChannels(img.Pix, img.Rect.Dx(), img.Rect.Dy(), 4, deviation)
}

// blurChannels blurs pixels of so many channels in place.
func blurChannels(pix []byte, width, height, channels int, deviation float64) {
	if deviation <= 0 {
		return
	}
	radius := boxRadius(float32(deviation))
	for c := range channels {
		for y := range height {
			blurLine(pix[y*width*channels+c:], width, channels, radius)
		}
		for x := range width {
			blurLine(pix[x*channels+c:], height, width*channels, radius)
		}
	}
}

// boxRadius is the radius of the box blur of which blurPasses have the deviation of a Gaussian one ("Theoretical Foundations of Gaussian
// Convolution by Extended Box Filtering", Gwosdek et al. 2011).
func boxRadius(deviation float32) float32 {
	variance := deviation * deviation / blurPasses
	length := float32(math.Sqrt(12*float64(variance) + 1))
	whole := float32(math.Floor((float64(length) - 1) / 2))
	part := (2*whole + 1) * (whole*(whole+1) - 3*variance)
	part = float32(float64(part) / float64(6*(variance-(whole+1)*(whole+1))))
	return whole + part
}

// blurLine blurs a line of n values that are step bytes apart, all passes. The pixels at the two ends of the box count in part.
func blurLine(line []byte, n, step int, radius float32) {
	r := int(radius)
	inner := uint32(float32(1<<24) / (radius*2 + 1))
	outer := (1<<24 - uint32(2*r+1)*inner) / 2
	in, out := make([]byte, n), make([]byte, n)
	for i := range in {
		in[i] = line[i*step]
	}
	at := func(i int) uint32 { return uint32(in[min(max(i, 0), n-1)]) }
	for range blurPasses {
		sum := uint32(0)
		for i := -r; i <= r; i++ {
			sum += at(i)
		}
		for i := range out {
			out[i] = byte((sum*inner + (at(i-r-1)+at(i+r+1))*outer + 1<<23) >> 24)
			sum += at(i+r+1) - at(i-r)
		}
		in, out = out, in
	}
	for i, v := range in {
		line[i*step] = v
	}
}
