// Package pngtest reads back, for tests, the texts that imagefile puts into PNG files.
package pngtest

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"
)

// Texts returns the texts of a PNG file by their keywords. A chunk whose checksum is wrong is an error.
func Texts(file []byte) (map[string]string, error) {
	texts := map[string]string{}
	for rest := file[8:]; len(rest) > 0; { // behind the signature
		end := 8 + int(binary.BigEndian.Uint32(rest))
		if crc32.ChecksumIEEE(rest[4:end]) != binary.BigEndian.Uint32(rest[end:]) {
			return nil, errors.New("a chunk has a wrong checksum")
		}
		keyword, value, _ := strings.Cut(string(rest[8:end]), "\x00")
		switch string(rest[4:8]) {
		case "tEXt":
			texts[keyword] = value
		case "iTXt": // not compressed, without a language
			texts[keyword] = strings.TrimPrefix(value, "\x00\x00\x00\x00")
		}
		rest = rest[end+4:]
	}
	return texts, nil
}
