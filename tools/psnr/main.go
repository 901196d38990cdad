// Command psnr compares two PNG pictures of the same size: psnr A.png B.png [MINIMUM]. It prints
// the peak signal-to-noise ratio in dB over all colour channels, "inf" for equal pictures, and
// exits 1 if it is below MINIMUM.
package main

import (
	"fmt"
	"image"
	"image/png"
	"math"
	"os"
	"strconv"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "psnr:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 && len(args) != 3 {
		return fmt.Errorf("%d arguments; wanted A.png B.png [MINIMUM]", len(args))
	}
	a, err := read(args[0])
	if err != nil {
		return err
	}
	b, err := read(args[1])
	if err != nil {
		return err
	}
	if a.Bounds().Size() != b.Bounds().Size() {
		return fmt.Errorf("%s is %v, %s is %v; pictures of one size are wanted", args[0], a.Bounds().Size(), args[1], b.Bounds().Size())
	}
	value := psnr(a, b)
	if math.IsInf(value, 1) {
		fmt.Println("inf")
	} else {
		fmt.Printf("%.1f\n", value)
	}
	if len(args) == 3 {
		minimum, err := strconv.ParseFloat(args[2], 64)
		if err != nil {
			return fmt.Errorf("minimum: %w", err)
		}
		if value < minimum {
			return fmt.Errorf("%.1f dB between %s and %s, wanted at least %g", value, args[0], args[1], minimum)
		}
	}
	return nil
}

func read(path string) (image.Image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	picture, err := png.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return picture, nil
}

// psnr is 10 log10(255^2 / mean squared difference) of the 8-bit red, green and blue values.
func psnr(a, b image.Image) float64 {
	size := a.Bounds().Size()
	sum := 0.0
	for y := range size.Y {
		for x := range size.X {
			ar, ag, ab, _ := a.At(a.Bounds().Min.X+x, a.Bounds().Min.Y+y).RGBA()
			br, bg, bb, _ := b.At(b.Bounds().Min.X+x, b.Bounds().Min.Y+y).RGBA()
			for _, d := range [3]float64{diff(ar, br), diff(ag, bg), diff(ab, bb)} {
				sum += d * d
			}
		}
	}
	return 10 * math.Log10(255*255*float64(3*size.X*size.Y)/sum)
}

func diff(a, b uint32) float64 { return float64(a>>8) - float64(b>>8) }
