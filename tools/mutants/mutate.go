package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// mutant is a damaged file.
type mutant struct {
	bytes     []byte
	how       string
	described bool // only what describes the numbers was damaged: names, types, shapes
}

// words replace a string or a number of a description.
var words = []string{`0`, `-1`, `1`, `2`, `7`, `1e9`, `18446744073709551615`, `null`, `[]`, `{}`, `""`, `"F16"`, `"F32"`, `"BF16"`, `"F8_E4M3"`,
	`"I64"`, `"BOOL"`, `"U4"`, `true`, `[0]`, `[1, 1]`, `"x"`}

var tokens = regexp.MustCompile(`"[^"]{0,200}"|-?[0-9]+(\.[0-9]+)?`)

// mutate damages a file in one of many ways.
func mutate(r *rand.Rand, name string, data []byte) mutant {
	data = slices.Clone(data)
	ext := filepath.Ext(name)
	switch {
	case ext == ".safetensors" && r.IntN(3) > 0:
		if m, ok := header(r, data); ok {
			return m
		}
	case (ext == ".toml" || ext == ".json") && r.IntN(2) > 0:
		text, how := swapToken(r, data)
		return mutant{bytes: text, how: how}
	}
	return raw(r, data)
}

// header damages one place of a safetensors file's header.
func header(r *rand.Rand, data []byte) (m mutant, ok bool) {
	if len(data) < 8 {
		return m, false
	}
	n := binary.LittleEndian.Uint64(data)
	if n > uint64(len(data)-8) {
		return m, false
	}
	text, how := swapToken(r, data[8:8+n])
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	retyped := strings.Contains(how, `"F16" becomes "BF16"`) // the same bytes are other numbers then, and nothing tells
	return mutant{bytes: slices.Concat(out, text, data[8+n:]), how: how, described: !retyped}, true
}

// swapToken gives one string or number of a text another value: a word, a neighbour's, or a letter or digit more or less.
func swapToken(r *rand.Rand, text []byte) ([]byte, string) {
	all := tokens.FindAllIndex(text, -1)
	if len(all) == 0 {
		return text, "nothing to change"
	}
	at := all[r.IntN(len(all))]
	old := text[at[0]:at[1]]
	var value []byte
	switch r.IntN(4) {
	case 0:
		value = []byte(words[r.IntN(len(words))])
	case 1:
		other := all[r.IntN(len(all))]
		value = slices.Clone(text[other[0]:other[1]])
	case 2:
		k := r.IntN(len(old))
		value = slices.Concat(old[:k], []byte{old[k], old[k]}, old[k+1:])
	default:
		k := r.IntN(len(old))
		value = slices.Concat(old[:k], []byte{"0123456789abcxyz._\"-"[r.IntN(20)]}, old[k+1:])
	}
	return slices.Concat(text[:at[0]], value, text[at[1]:]), fmt.Sprintf("%.80s becomes %.80s", old, value)
}

// raw damages bytes, mostly near the beginning, where headers are.
func raw(r *rand.Rand, data []byte) mutant {
	if len(data) == 0 {
		return mutant{}
	}
	place := func() int {
		if r.IntN(3) == 0 {
			return r.IntN(len(data))
		}
		return r.IntN(min(len(data), 1<<uint(3+r.IntN(14))))
	}
	at := place()
	n := min(1<<uint(r.IntN(10)), len(data)-at)
	how := ""
	switch r.IntN(7) {
	case 0:
		data, how = data[:at], "cut"
	case 1:
		data, how = append(data, bytes.Repeat([]byte{byte(r.IntN(256))}, n)...), "longer"
	case 2:
		clear(data[at:][:n])
		how = "zeros"
	case 3:
		for i := range n {
			data[at+i] = byte(r.IntN(256))
		}
		how = "noise"
	case 4:
		data, how = slices.Concat(data[:at], data[at+n:]), "a hole"
	case 5:
		data, how = slices.Concat(data[:at], data[at:at+n], data[at:]), "twice"
	default:
		data[at] ^= 1 << uint(r.IntN(8))
		n, how = 1, "a bit"
	}
	return mutant{bytes: data, how: fmt.Sprintf("%s: %d bytes at %d", how, n, at)}
}

// pixels are a PNG's, without the texts of its file.
func pixels(data []byte) []byte {
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return data
	}
	b := img.Bounds()
	flat := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(flat, flat.Bounds(), img, b.Min, draw.Src)
	return flat.Pix
}
