package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"image"
	"io"
)

// orientation is EXIF's tag 0x0112 (CIPA DC-008, "Orientation"): where row 0 and column 0 of the stored picture are to be shown.
// 1 is upright; 2, 3, 4 mirror and turn by half; 5 to 8 swap the sides.
type orientation int

const (
	upright       orientation = 1
	firstSideways orientation = 5
)

const (
	orientationTag = 0x0112
	tiffLong       = 4 // the type of a number of 32 bits
)

// exifMark stands before EXIF's TIFF structure in JPEG files, and by mistake in others.
var exifMark = []byte("Exif\x00\x00")

// readOrientation looks for the orientation in a JPEG's segments before its picture. What is damaged is upright.
func readOrientation(r io.Reader) orientation {
	in := bufio.NewReader(r)
	var marker [2]byte
	if _, err := io.ReadFull(in, marker[:]); err != nil || marker != [2]byte{0xff, 0xd8} {
		return upright
	}
	for {
		var head [4]byte // marker, then the length that counts itself
		if _, err := io.ReadFull(in, head[:]); err != nil || head[0] != 0xff || head[1] == 0xda {
			return upright
		}
		length := int(binary.BigEndian.Uint16(head[2:])) - 2
		if length < 0 {
			return upright
		}
		segment := make([]byte, length)
		if _, err := io.ReadFull(in, segment); err != nil {
			return upright
		}
		if tiff, ok := bytes.CutPrefix(segment, exifMark); ok && head[1] == 0xe1 {
			return tiffOrientation(tiff)
		}
	}
}

// exifOrientation reads the orientation from the EXIF data of a PNG or WebP file.
func exifOrientation(b []byte) orientation { return tiffOrientation(bytes.TrimPrefix(b, exifMark)) }

// tiffOrientation reads the tag from the first directory of a TIFF structure.
func tiffOrientation(b []byte) orientation {
	if len(b) < 8 {
		return upright
	}
	var order binary.ByteOrder
	switch string(b[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	at := uint64(order.Uint32(b[4:]))
	if at+2 > uint64(len(b)) {
		return upright
	}
	entries := b[at+2:]
	for range order.Uint16(b[at:]) {
		if len(entries) < 12 {
			return upright
		}
		if order.Uint16(entries) == orientationTag {
			value := uint32(order.Uint16(entries[8:]))
			if order.Uint16(entries[2:]) == tiffLong { // some programs write 32 bits
				value = order.Uint32(entries[8:])
			}
			if value >= 1 && value <= 8 {
				return orientation(value)
			}
			return upright
		}
		entries = entries[12:]
	}
	return upright
}

// apply turns a picture upright.
func (o orientation) apply(img image.Image) image.Image {
	if o == upright {
		return img
	}
	from := straight(img)
	w, h := from.Rect.Dx(), from.Rect.Dy()
	size := image.Rect(0, 0, w, h)
	if o >= firstSideways {
		size = image.Rect(0, 0, h, w)
	}
	out := image.NewNRGBA(size)
	for y := range h {
		for x := range w {
			tx, ty := x, y
			if o == 2 || o == 3 || o == 7 || o == 8 {
				tx = w - 1 - x
			}
			if o == 3 || o == 4 || o == 6 || o == 7 {
				ty = h - 1 - y
			}
			if o >= firstSideways {
				tx, ty = ty, tx
			}
			copy(out.Pix[out.PixOffset(tx, ty):][:4], from.Pix[from.PixOffset(x, y):][:4])
		}
	}
	return out
}
