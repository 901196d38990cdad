package main

import (
	"fmt"
	"image"
	"math"

	"github.com/daguerre-go/daguerre/internal/picture"
)

// agreement says how alike two pictures are, over all red, green and blue values of 0 to 255.
type agreement struct {
	PSNR     float64 `json:"psnr_db"`      // at most equalPSNR
	MaxDiff  int     `json:"max_diff"`     // largest difference of a value
	Contrast float64 `json:"contrast_std"` // standard deviation of the first picture: near 0 a PSNR means nothing
}

// equalPSNR stands for the infinite PSNR of equal pictures, which JSON cannot hold. No other two 8-bit pictures below 100 megapixels reach
// it.
const equalPSNR = 99

func comparePictures(a, b string) (agreement, error) {
	x, err := picture.Load(a)
	if err != nil {
		return agreement{}, err
	}
	y, err := picture.Load(b)
	if err != nil {
		return agreement{}, err
	}
	out, err := agreementOf(x, y)
	if err != nil {
		return agreement{}, fmt.Errorf("%s and %s: %w", a, b, err)
	}
	return out, nil
}

func agreementOf(x, y *image.NRGBA) (agreement, error) {
	psnr, largest, err := picture.Difference(x, y)
	var sum, squares, n float64
	for i, v := range x.Pix {
		if i%4 == 3 {
			continue // alpha
		}
		sum, squares, n = sum+float64(v), squares+float64(v)*float64(v), n+1
	}
	return agreement{PSNR: min(equalPSNR, psnr), MaxDiff: largest, Contrast: math.Sqrt(max(0, squares/n-(sum/n)*(sum/n)))}, err
}
