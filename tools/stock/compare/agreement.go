package main

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
)

// agreement says how alike two pictures are, over all red, green and blue values of 0 to 255.
type agreement struct {
	PSNR     float64 `json:"psnr_db"`      // 10 log10(255^2 / mean squared difference); 99 for equal pictures
	MaxDiff  int     `json:"max_diff"`     // largest difference of a value
	Contrast float64 `json:"contrast_std"` // standard deviation of the first picture: near 0 a PSNR means nothing
}

// equalPSNR stands for the infinite PSNR of equal pictures, which JSON cannot hold. No other pair of 8-bit
// pictures below 100 megapixels reaches it.
const equalPSNR = 99

func comparePictures(a, b string) (agreement, error) {
	x, err := readPicture(a)
	if err != nil {
		return agreement{}, err
	}
	y, err := readPicture(b)
	if err != nil {
		return agreement{}, err
	}
	if x.Rect.Size() != y.Rect.Size() {
		return agreement{}, fmt.Errorf("%s is %v and %s is %v", a, x.Rect.Size(), b, y.Rect.Size())
	}
	return agreementOf(x, y), nil
}

// agreementOf compares two pictures of equal size.
func agreementOf(x, y *image.NRGBA) agreement {
	var out agreement
	var square, sum, sumSquares, n float64
	for i := range x.Pix {
		if i%4 == 3 {
			continue // alpha
		}
		d := int(x.Pix[i]) - int(y.Pix[i])
		square += float64(d * d)
		out.MaxDiff = max(out.MaxDiff, d, -d)
		v := float64(x.Pix[i])
		sum, sumSquares, n = sum+v, sumSquares+v*v, n+1
	}
	out.Contrast = math.Sqrt(max(0, sumSquares/n-(sum/n)*(sum/n)))
	out.PSNR = equalPSNR
	if square > 0 {
		out.PSNR = min(equalPSNR, 10*math.Log10(255*255*n/square))
	}
	return out
}

func readPicture(path string) (*image.NRGBA, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b := img.Bounds()
	out := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	for y := range b.Dy() {
		for x := range b.Dx() {
			out.SetNRGBA(x, y, color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA))
		}
	}
	return out, nil
}
