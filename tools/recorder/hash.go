package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // previews of the worker
	"image/png"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
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
	raw := make([]byte, 0, 4*len(data))
	for _, v := range data {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return hashBytes(raw)
}

// hashEncoded hashes the pixels of a PNG or JPEG file.
func hashEncoded(data []byte) (hash string, size image.Point, err error) {
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return "", image.Point{}, err
	}
	return hashPixels(img), img.Bounds().Size(), nil
}

// hashTree hashes a file, or all files of a folder.
func hashTree(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		data, err := os.ReadFile(path)
		return hashBytes(data), err
	}
	files, err := os.ReadDir(path)
	if err != nil {
		return "", err
	}
	var all []string
	for _, f := range files {
		hash, err := hashTree(path + "/" + f.Name())
		if err != nil {
			return "", err
		}
		all = append(all, f.Name(), hash)
	}
	return hashBytes([]byte(strings.Join(all, "\n"))), nil
}

// manifestOf reads the manifest out of a PNG file: the text chunk daguerre. What changes with the program's version is left out.
func manifestOf(data []byte) (json.RawMessage, error) {
	const head = 8 // bytes before the first chunk
	for rest := data[min(head, len(data)):]; len(rest) >= 12; {
		n := int(binary.BigEndian.Uint32(rest))
		if n > len(rest)-12 {
			break
		}
		kind, body := string(rest[4:8]), rest[8:8+n]
		rest = rest[12+n:]
		keyword, text, found := bytes.Cut(body, []byte{0})
		if !found || string(keyword) != "daguerre" {
			continue
		}
		switch kind {
		case "tEXt":
			return cleanManifest(text)
		case "iTXt": // uncompressed: two flags, a language and a translated keyword come first
			parts := bytes.SplitN(text[2:], []byte{0}, 3)
			return cleanManifest(parts[len(parts)-1])
		}
	}
	return nil, errors.New("the PNG file has no manifest")
}

func cleanManifest(text []byte) (json.RawMessage, error) {
	var m table
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	for _, key := range []string{"version", "engine", "library", "go", "software"} {
		delete(m, key)
	}
	return json.Marshal(m)
}

var shapePattern = regexp.MustCompile(`'shape': \(([0-9, ]*)\)`)

// latentHashes hashes each picture's part of a .npy file of float32.
func latentHashes(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(data) < 10 || len(data) < 10+int(binary.LittleEndian.Uint16(data[8:])) {
		return nil, fmt.Errorf("%s is no .npy file", path)
	}
	body := data[10+int(binary.LittleEndian.Uint16(data[8:])):]
	found := shapePattern.FindSubmatch(data)
	if found == nil {
		return nil, fmt.Errorf("%s has no shape", path)
	}
	n, err := strconv.Atoi(strings.TrimSpace(strings.Split(string(found[1]), ",")[0]))
	if err != nil || n < 1 || len(body)%n != 0 {
		return nil, fmt.Errorf("%s has the shape (%s)", path, found[1])
	}
	var out []string
	for i := range n {
		out = append(out, hashBytes(body[i*len(body)/n:(i+1)*len(body)/n]))
	}
	return out, nil
}

// writeNPY writes numbers as a .npy file of float32.
func writeNPY(path string, shape []int, data []float32) error {
	text := strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", ", "), "[]")
	header := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%s,), }", text)
	header += strings.Repeat(" ", (64-(10+len(header)+1)%64)%64) + "\n"
	out := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	out = append(out, header...)
	for _, v := range data {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v))
	}
	return os.WriteFile(path, out, 0o600)
}

func writePNG(path string, img image.Image) error {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o600)
}
