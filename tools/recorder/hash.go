package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"os"
	"strings"

	pictures "github.com/daguerre-go/daguerre/internal/picture"
)

// hashBytes is a hash short enough to read.
func hashBytes(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// hashPixels hashes a picture's pixels, whatever their form in memory.
func hashPixels(img image.Image) string {
	b := img.Bounds()
	flat := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(flat, flat.Bounds(), img, b.Min, draw.Src)
	return hashBytes(flat.Pix)
}

// hashFloats hashes numbers by their bits.
func hashFloats(data []float32) string {
	var raw bytes.Buffer
	_ = binary.Write(&raw, binary.LittleEndian, data) // to memory
	return hashBytes(raw.Bytes())
}

// hashTree hashes a file, or all files of a folder.
func hashTree(path string) (string, error) {
	files, err := os.ReadDir(path)
	if err != nil {
		data, err := os.ReadFile(path)
		return hashBytes(data), err
	}
	var all []string
	for _, f := range files {
		hash, hashErr := hashTree(path + "/" + f.Name())
		all, err = append(all, f.Name(), hash), errors.Join(err, hashErr)
	}
	return hashBytes([]byte(strings.Join(all, "\n"))), err
}

// comparePictures prints the peak signal-to-noise ratio of two pictures in dB over all colour channels, +Inf for equal ones.
func comparePictures(first, second string, least float64) error {
	a, errA := pictures.Load(first)
	b, errB := pictures.Load(second)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	value, _, err := pictures.Difference(a, b)
	fmt.Printf("%.1f\n", value)
	if err == nil && value < least {
		err = fmt.Errorf("%.1f dB between %s and %s, wanted at least %g", value, first, second, least)
	}
	return err
}
