package picture

import (
	"bytes"
	"fmt"
	"image"
	_ "image/gif"  // the formats that image.Decode
	_ "image/jpeg" // knows are those
	_ "image/png"  // imported here
	"io"

	"github.com/daguerre-go/daguerre/internal/regular"
)

// Formats names what Read reads, for messages.
const Formats = "PNG, JPEG, GIF or WebP"

// Read decodes a picture file if its header shows at most maxPixels, and turns it upright by its EXIF orientation. From an animation it
// takes the first picture; Notes says so.
func Read(path string, maxPixels int) (image.Image, error) {
	return fromFile(path, maxPixels, decode)
}

// ReadSize is Read without decoding: what it returns has the size that the picture is shown at, and no pixels.
func ReadSize(path string, maxPixels int) (image.Image, error) {
	return fromFile(path, maxPixels, func(f file, maxPixels int) (image.Image, error) {
		h, err := readHeader(f, maxPixels)
		return h.shown(), err
	})
}

// Decode is Read for a file that is in memory.
func Decode(data []byte, maxPixels int) (image.Image, error) {
	return decode(bytes.NewReader(data), maxPixels)
}

func fromFile(path string, maxPixels int, read func(f file, maxPixels int) (image.Image, error)) (image.Image, error) {
	f, _, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, err := read(f, maxPixels)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return img, nil
}

// file is what a picture is read from.
type file interface {
	io.ReadSeeker
	io.ReaderAt
}

// header is what a file says about its picture before the pixels.
type header struct {
	size     image.Point // as it is stored
	turn     orientation
	animated bool
	webp     *webpFile // nil for other formats
}

// shown is the size that the picture is shown at.
func (h header) shown() image.Rectangle {
	if h.turn >= firstSideways {
		return image.Rect(0, 0, h.size.Y, h.size.X)
	}
	return image.Rectangle{Max: h.size}
}

func readHeader(f file, maxPixels int) (h header, err error) {
	h.turn = upright
	format := ""
	if h.webp = findWebP(f); h.webp != nil {
		format = "webp"
		h.size, err = h.webp.size()
	} else {
		var config image.Config
		config, format, err = image.DecodeConfig(f)
		h.size = image.Pt(config.Width, config.Height)
	}
	if err != nil {
		return h, fmt.Errorf("not a readable %s file: %w", Formats, err)
	}
	if h.size.X < 1 || h.size.Y < 1 || h.size.X > maxPixels/h.size.Y {
		return h, fmt.Errorf("%d x %d pixels; at most %d million are read: scale it down", h.size.X, h.size.Y, maxPixels>>20)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return h, err
	}
	switch format {
	case "jpeg":
		h.turn = readOrientation(f)
	case "png":
		h.turn, h.animated = scanPNG(f)
	case "gif":
		h.animated = severalFrames(f)
	case "webp":
		h.turn, h.animated = h.webp.turn, h.webp.animated
	}
	return h, nil
}

func decode(f file, maxPixels int) (image.Image, error) {
	h, err := readHeader(f, maxPixels)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var img image.Image
	if h.webp != nil {
		img, err = h.webp.decode()
	} else {
		img, _, err = image.Decode(f)
	}
	if err != nil {
		return nil, fmt.Errorf("damaged: %w", err)
	}
	if stored := (image.Rectangle{Max: h.size}); img.Bounds() != stored { // the first frame of an animation need not fill it
		img = onCanvas(straight(img), stored)
	}
	img = h.turn.apply(img)
	if h.animated {
		img = noted{straight(img), []string{"the file is an animation; its first picture is used"}}
	}
	return img, nil
}

// onCanvas puts a picture where it belongs on a transparent canvas.
func onCanvas(img *image.NRGBA, size image.Rectangle) *image.NRGBA {
	canvas := image.NewNRGBA(size)
	seen := img.Rect.Intersect(size)
	for y := seen.Min.Y; y < seen.Max.Y; y++ {
		copy(canvas.Pix[canvas.PixOffset(seen.Min.X, y):][:4*seen.Dx()], img.Pix[img.PixOffset(seen.Min.X, y):])
	}
	return canvas
}

// noted is a picture with a note for the user.
type noted struct {
	*image.NRGBA
	notes []string
}

// Notes says what Read did with a picture that the user may not expect.
func Notes(img image.Image) []string {
	n, _ := img.(noted)
	return n.notes
}
