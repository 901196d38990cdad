package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"

	"golang.org/x/image/webp"
)

// webpFile is the first picture of a WebP file, found in its container (RFC 9649).
type webpFile struct {
	canvas   image.Point // 0, 0 if only the picture has a size
	place    image.Point // of the picture on the canvas
	frame    image.Point // the picture's size, if it is part of an animation
	alpha    *webpChunk  // of a lossy picture; nil: none
	pixels   *webpChunk  // "VP8 " or "VP8L"
	file     io.ReaderAt // that they are in
	chunks   int         // that were looked at
	turn     orientation
	animated bool
}

// webpChunk is a chunk of a WebP file.
type webpChunk struct {
	name     string
	at, size int64 // of its data
}

var errWebP = errors.New("webp: no picture is in it")

// The flags of a VP8X chunk.
const (
	webpAnimation = 1 << 1
	webpAlpha     = 1 << 4
)

// findWebP looks through a WebP file's chunks; nil if it is not a WebP file.
func findWebP(f io.ReaderAt) *webpFile {
	var head [12]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || string(head[:4]) != "RIFF" || string(head[8:]) != "WEBP" {
		return nil
	}
	w := &webpFile{file: f, turn: upright}
	end := 8 + int64(binary.LittleEndian.Uint32(head[4:]))
	extended := false
	for c, ok := w.chunk(12, end); ok; c, ok = w.chunk(c.next(), end) {
		if w.chunks++; w.chunks > maxChunks {
			break
		}
		switch c.name {
		case "VP8X":
			var data [10]byte
			if _, err := f.ReadAt(data[:], c.at); err != nil || c.size < 10 || extended {
				return w
			}
			extended = true
			w.canvas = image.Pt(uint24(data[4:])+1, uint24(data[7:])+1)
			w.animated = data[0]&webpAnimation != 0
		case "ANMF":
			if w.pixels == nil && w.animated {
				w.findFrame(c)
			}
		case "EXIF":
			if data := make([]byte, min(c.size, maxExifBytes)); extended {
				n, _ := f.ReadAt(data, c.at)
				w.turn = exifOrientation(data[:n])
			}
		default:
			w.take(c)
		}
		if !extended && w.pixels != nil {
			break // the rest belongs to nothing
		}
	}
	return w
}

// findFrame finds the picture in an animation's frame.
func (w *webpFile) findFrame(c webpChunk) {
	var data [16]byte // place and size in units of 2 and 1, duration, flags
	if _, err := w.file.ReadAt(data[:], c.at); err != nil || c.size < 16 {
		return
	}
	w.place = image.Pt(2*uint24(data[0:]), 2*uint24(data[3:]))
	w.frame = image.Pt(uint24(data[6:])+1, uint24(data[9:])+1)
	for inner, ok := w.chunk(c.at+16, c.at+c.size); ok && w.chunks <= maxChunks; inner, ok = w.chunk(inner.next(), c.at+c.size) {
		w.chunks++
		w.take(inner)
	}
}

// take takes a chunk of pixels. The first counts.
func (w *webpFile) take(c webpChunk) {
	switch {
	case w.pixels != nil:
	case c.name == "ALPH" && w.alpha == nil:
		w.alpha = &c
	case c.name == "VP8 " || c.name == "VP8L":
		w.pixels = &c
	}
}

// chunk reads the head of a chunk. A chunk that is longer than its surroundings is cut.
func (w *webpFile) chunk(at, end int64) (webpChunk, bool) {
	var head [8]byte
	if _, err := w.file.ReadAt(head[:], at); err != nil || at+8 > end {
		return webpChunk{}, false
	}
	size := int64(binary.LittleEndian.Uint32(head[4:]))
	return webpChunk{string(head[:4]), at + 8, min(size, end-at-8)}, true
}

// next is where the chunk after this one begins: chunks are padded to an even size.
func (c webpChunk) next() int64 { return c.at + c.size + c.size&1 }

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// size is the size of the canvas, or of the picture if there is no canvas.
func (w *webpFile) size() (image.Point, error) {
	if w.pixels == nil {
		return image.Point{}, errWebP
	}
	config, err := webp.DecodeConfig(w.still())
	if err != nil {
		return image.Point{}, err
	}
	size := image.Pt(config.Width, config.Height)
	switch {
	case w.canvas == image.Point{}:
		return size, nil
	case !w.animated && size != w.canvas, w.animated && size != w.frame:
		return image.Point{}, errors.New("webp: the picture has another size than the file says")
	case !image.Rectangle{Min: w.place, Max: w.place.Add(size)}.In(image.Rectangle{Max: w.canvas}):
		return image.Point{}, errors.New("webp: the picture is outside its canvas")
	}
	return w.canvas, nil
}

// still is a WebP file of the picture alone.
func (w *webpFile) still() io.Reader {
	var parts []io.Reader
	size := 4
	add := func(name string, data io.Reader, n int64) {
		parts = append(parts, bytes.NewReader(binary.LittleEndian.AppendUint32([]byte(name), uint32(n))), data)
		if n&1 == 1 {
			parts = append(parts, bytes.NewReader([]byte{0}))
		}
		size += int(8 + n + n&1)
	}
	if lossy := w.pixels.name == "VP8 "; lossy && w.alpha != nil {
		of := w.canvas
		if w.animated {
			of = w.frame
		}
		x, y := of.X-1, of.Y-1
		add("VP8X", bytes.NewReader([]byte{webpAlpha, 0, 0, 0, byte(x), byte(x >> 8), byte(x >> 16), byte(y), byte(y >> 8), byte(y >> 16)}), 10)
		add("ALPH", io.NewSectionReader(w.file, w.alpha.at, w.alpha.size), w.alpha.size)
	}
	add(w.pixels.name, io.NewSectionReader(w.file, w.pixels.at, w.pixels.size), w.pixels.size)
	head := append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(size)), "WEBP"...)
	return io.MultiReader(append([]io.Reader{bytes.NewReader(head)}, parts...)...)
}

// decode decodes the picture, at its place on the canvas.
func (w *webpFile) decode() (image.Image, error) {
	img, err := webp.Decode(w.still())
	if err != nil {
		return nil, err
	}
	var out *image.NRGBA
	switch img := img.(type) {
	case *image.YCbCr:
		out = fromVP8(img)
	case *image.NYCbCrA:
		out = fromVP8(&img.YCbCr)
		for y := range out.Rect.Dy() {
			for x := range out.Rect.Dx() {
				out.Pix[y*out.Stride+4*x+3] = img.A[y*img.AStride+x]
			}
		}
	case *image.NRGBA:
		out = img
	default:
		return nil, errWebP
	}
	out.Rect = out.Rect.Add(w.place)
	return out, nil
}
