package imagefile

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"unicode/utf8"
)

// Text is one keyword and its text in a PNG file.
type Text struct {
	Keyword string // 1 to 79 printable ASCII characters, no space at either end
	Value   string // UTF-8, without NUL
}

// maxTextBytes bounds the text that ReadText unpacks from one chunk.
const maxTextBytes = 64 << 20

const pngSignature = "\x89PNG\r\n\x1a\n"

// ihdrEnd is where the first chunk after IHDR begins: signature, length, type, 13 bytes, CRC.
const ihdrEnd = len(pngSignature) + 4 + 4 + 13 + 4

// insertText adds text chunks to an encoded PNG, directly after IHDR, so that readers which stop at
// the pixels see them. Pure ASCII becomes tEXt, which every reader knows; anything else becomes iTXt,
// the chunk for UTF-8 (PNG specification, third edition, 11.3.3).
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

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func writeChunk(out *bytes.Buffer, kind, data string) {
	body := kind + data
	var word [4]byte
	binary.BigEndian.PutUint32(word[:], uint32(len(data)))
	out.Write(word[:])
	out.WriteString(body)
	binary.BigEndian.PutUint32(word[:], crc32.ChecksumIEEE([]byte(body)))
	out.Write(word[:])
}

// ReadText returns the tEXt, zTXt and iTXt chunks of a PNG file, in their order. The error wraps
// ErrFormat when the bytes are not a PNG file or a chunk is damaged.
func ReadText(file []byte) ([]Text, error) {
	if !bytes.HasPrefix(file, []byte(pngSignature)) {
		return nil, fmt.Errorf("%w: not a PNG file", ErrFormat)
	}
	var texts []Text
	rest := file[len(pngSignature):]
	for len(rest) > 0 {
		if len(rest) < 12 {
			return nil, fmt.Errorf("%w: PNG file cut short", ErrFormat)
		}
		size := uint64(binary.BigEndian.Uint32(rest))
		if size > uint64(len(rest))-12 {
			return nil, fmt.Errorf("%w: PNG chunk of %d bytes in a file with %d left", ErrFormat, size, len(rest)-12)
		}
		kind, data := string(rest[4:8]), rest[8:8+size]
		if binary.BigEndian.Uint32(rest[8+size:]) != crc32.ChecksumIEEE(rest[4:8+size]) {
			return nil, fmt.Errorf("%w: PNG chunk %q has a wrong checksum", ErrFormat, kind)
		}
		rest = rest[12+size:]
		t, ok, err := parseText(kind, data)
		if err != nil {
			return nil, err
		}
		if ok {
			texts = append(texts, t)
		}
		if kind == "IEND" {
			break
		}
	}
	return texts, nil
}

// parseText reads one chunk; ok is false when it is no text chunk.
func parseText(kind string, data []byte) (t Text, ok bool, err error) {
	if kind != "tEXt" && kind != "zTXt" && kind != "iTXt" {
		return Text{}, false, nil
	}
	keyword, value, found := bytes.Cut(data, []byte{0})
	if !found {
		return Text{}, false, fmt.Errorf("%w: PNG %s chunk without a keyword", ErrFormat, kind)
	}
	t.Keyword = string(keyword)
	switch kind {
	case "tEXt":
		t.Value = latin1(value)
	case "zTXt":
		if len(value) < 1 || value[0] != 0 {
			return Text{}, false, fmt.Errorf("%w: PNG zTXt chunk of an unknown compression", ErrFormat)
		}
		if value, err = inflate(value[1:]); err != nil {
			return Text{}, false, err
		}
		t.Value = latin1(value)
	case "iTXt":
		if len(value) < 2 {
			return Text{}, false, fmt.Errorf("%w: PNG iTXt chunk cut short", ErrFormat)
		}
		compressed := value[0] == 1
		parts := bytes.SplitN(value[2:], []byte{0}, 3)
		if len(parts) != 3 {
			return Text{}, false, fmt.Errorf("%w: PNG iTXt chunk cut short", ErrFormat)
		}
		value = parts[2]
		if compressed {
			if value, err = inflate(value); err != nil {
				return Text{}, false, err
			}
		}
		t.Value = string(value)
	}
	return t, true, nil
}

func latin1(b []byte) string {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return string(runes)
}

func inflate(b []byte) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%w: PNG text: %w", ErrFormat, err)
	}
	out, err := io.ReadAll(io.LimitReader(r, maxTextBytes+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("%w: PNG text: %w", ErrFormat, err)
	}
	if len(out) > maxTextBytes {
		return nil, fmt.Errorf("%w: PNG text unpacks to more than %d bytes", ErrFormat, maxTextBytes)
	}
	return out, nil
}
