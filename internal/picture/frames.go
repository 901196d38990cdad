package picture

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// Limits for reading a file's chunks. Real files stay far below them.
const (
	maxChunks    = 1 << 17
	maxExifBytes = 1 << 20
)

// scanPNG looks through a PNG's chunks for its orientation (eXIf, which may follow the pixels) and for an animation (acTL). A damaged file
// counts as upright and without animation: the reader of the pixels reports the damage.
func scanPNG(f io.ReaderAt) (turn orientation, animated bool) {
	turn = upright
	at := int64(8) // after the signature
	for range maxChunks {
		var head [8]byte // length, type
		if _, err := f.ReadAt(head[:], at); err != nil {
			return turn, animated
		}
		length := int64(binary.BigEndian.Uint32(head[:]))
		switch string(head[4:]) {
		case "eXIf":
			if body := make([]byte, 4+min(length, maxExifBytes)+4); length <= maxExifBytes {
				_, err := f.ReadAt(body, at+4)
				data, sum := body[:4+length], body[4+length:]
				if err == nil && crc32.ChecksumIEEE(data) == binary.BigEndian.Uint32(sum) {
					turn = exifOrientation(data[4:])
				}
			}
		case "acTL":
			var frames [4]byte
			_, err := f.ReadAt(frames[:], at+8)
			animated = err == nil && binary.BigEndian.Uint32(frames[:]) > 1
		case "IEND":
			return turn, animated
		}
		at += 8 + length + 4
	}
	return turn, animated
}

// severalFrames reports whether a GIF has a second picture. GIF89a (CompuServe, 1990) names the parts.
func severalFrames(r io.Reader) bool {
	in := bufio.NewReader(r)
	table := func(flags byte) int { // bytes of a table of colours
		if flags&0x80 == 0 {
			return 0
		}
		return 3 << (flags&7 + 1)
	}
	skip := func(n int) bool {
		_, err := in.Discard(n)
		return err == nil
	}
	subBlocks := func() bool {
		for {
			n, err := in.ReadByte()
			if err != nil || n == 0 {
				return err == nil
			}
			if !skip(int(n)) {
				return false
			}
		}
	}
	var screen [13]byte
	if _, err := io.ReadFull(in, screen[:]); err != nil || !skip(table(screen[10])) {
		return false
	}
	for frames := 0; ; {
		kind, err := in.ReadByte()
		switch {
		case err != nil:
			return false
		case kind == 0x21: // an extension: its label, then sub-blocks
			if !skip(1) || !subBlocks() {
				return false
			}
		case kind == 0x2c: // a picture: its place, colours, and size of codes, then sub-blocks
			if frames++; frames > 1 {
				return true
			}
			var place [9]byte
			if _, err := io.ReadFull(in, place[:]); err != nil || !skip(table(place[8])+1) || !subBlocks() {
				return false
			}
		default: // the trailer
			return false
		}
	}
}
