package imagefile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"unicode/utf8"
)

// Text is one keyword and its text in a PNG file.
type Text struct {
	Keyword string // 1 to 79 printable ASCII characters, no space at either end
	Value   string // UTF-8, without NUL
}

const pngSignature = "\x89PNG\r\n\x1a\n"

// ihdrEnd is where the first chunk after IHDR begins: signature, length, type, 13 bytes, CRC.
const ihdrEnd = len(pngSignature) + 4 + 4 + 13 + 4

// insertText adds text chunks to an encoded PNG, directly after IHDR, so that readers which stop at the pixels see them. Pure ASCII becomes
// tEXt, which every reader knows; anything else becomes iTXt, the chunk for UTF-8 (PNG specification, third edition, 11.3.3).
func insertText(file []byte, texts []Text) ([]byte, error) {
	if len(texts) == 0 {
		return file, nil
	}
	if len(file) < ihdrEnd || string(file[:len(pngSignature)]) != pngSignature {
		return nil, fmt.Errorf("%w: not a PNG file", ErrFormat)
	}
	var out bytes.Buffer
	out.Write(file[:ihdrEnd])
	for _, t := range texts {
		if err := checkText(t); err != nil {
			return nil, err
		}
		if isASCII(t.Value) {
			writeChunk(&out, "tEXt", t.Keyword+"\x00"+t.Value)
		} else { // keyword, NUL, uncompressed, method 0, empty language tag, empty translated keyword
			writeChunk(&out, "iTXt", t.Keyword+"\x00\x00\x00\x00\x00"+t.Value)
		}
	}
	out.Write(file[ihdrEnd:])
	return out.Bytes(), nil
}

func checkText(t Text) error {
	if n := len(t.Keyword); n < 1 || n > 79 || !isASCII(t.Keyword) || strings.TrimSpace(t.Keyword) != t.Keyword {
		return fmt.Errorf("PNG keyword %q: must be 1 to 79 ASCII characters without spaces around", t.Keyword)
	}
	if !utf8.ValidString(t.Value) || strings.ContainsRune(t.Value, 0) {
		return fmt.Errorf("PNG text %q: must be UTF-8 without NUL", t.Keyword)
	}
	return nil
}

func isASCII(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 }) }

func writeChunk(out *bytes.Buffer, kind, data string) {
	chunk := append(binary.BigEndian.AppendUint32(nil, uint32(len(data))), kind+data...)
	out.Write(binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:])))
}

// ReadText returns the texts of a PNG file that Encode made, by their keywords. The error wraps ErrFormat where it is none, or damaged.
func ReadText(file []byte) (map[string]string, error) {
	rest, ok := bytes.CutPrefix(file, []byte(pngSignature))
	if !ok {
		return nil, fmt.Errorf("%w: not a PNG file", ErrFormat)
	}
	texts := map[string]string{}
	for len(rest) > 0 {
		end := uint64(8)
		if len(rest) > 4 {
			end += uint64(binary.BigEndian.Uint32(rest))
		}
		if end+4 > uint64(len(rest)) || crc32.ChecksumIEEE(rest[4:end]) != binary.BigEndian.Uint32(rest[end:]) {
			return nil, fmt.Errorf("%w: damaged PNG chunk", ErrFormat)
		}
		keyword, value, _ := strings.Cut(string(rest[8:end]), "\x00")
		switch string(rest[4:8]) {
		case "tEXt":
			texts[keyword] = value
		case "iTXt":
			texts[keyword] = strings.TrimPrefix(value, "\x00\x00\x00\x00")
		}
		rest = rest[end+4:]
	}
	return texts, nil
}
