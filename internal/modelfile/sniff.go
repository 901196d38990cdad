package modelfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/daguerre-go/daguerre/internal/fault"
)

const sniffBytes = 512

// sniff tells the format from the first bytes of r; what is no model file is described in the error.
func sniff(r io.ReaderAt, size int64, ext string) Format {
	if size == 0 {
		panic(fail(ErrTruncated, "", "download it again", "the file is empty"))
	}
	head := make([]byte, min(size, sniffBytes))
	if _, err := r.ReadAt(head, 0); err != io.EOF {
		fault.Check(err)
	}
	switch {
	case bytes.HasPrefix(head, []byte("GGUF")):
		return FormatGGUF
	case bytes.HasPrefix(head, []byte("FUGG")):
		panic(fail(ErrUnsupported, "magic", "convert it on a little-endian machine", "a big-endian GGUF file"))
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return FormatTorchZip
	case looksSafetensors(head):
		return FormatSafetensors
	case len(head) > 1 && head[0] == 0x80 && head[1] <= 5:
		return FormatTorchLegacy
	}
	if what, remedy := describe(head, size); what != "" {
		panic(fail(ErrFormat, "", remedy, "%s", what))
	}
	if strings.EqualFold(ext, ".safetensors") || size < 8 {
		return FormatSafetensors // its reader says what is wrong
	}
	panic(fail(ErrFormat, "", "download it again, or convert it to .safetensors",
		"not a model file: it is neither safetensors, GGUF nor a PyTorch file (first bytes % x)", head[:min(len(head), 8)]))
}

// looksSafetensors: eight bytes of length, then the JSON object.
func looksSafetensors(head []byte) bool { return len(head) > 8 && head[8] == '{' }

// describe recognises what people mistakenly save under a model's name.
func describe(head []byte, size int64) (what, remedy string) {
	text := strings.ToLower(strings.TrimLeft(string(head), " \t\r\n\ufeff"))
	const again = "download the file itself again"
	switch {
	case strings.HasPrefix(text, "version https://git-lfs"):
		return "a git-lfs pointer, not the model itself", "run `git lfs pull`, or download the file itself"
	case strings.HasPrefix(text, "<!doctype html"), strings.HasPrefix(text, "<html"), strings.HasPrefix(text, "<head"):
		return "an HTML page, not a model: the download led to a web page (a login or an error)", again
	case strings.HasPrefix(text, "<?xml"):
		return "an XML document, not a model (perhaps a server's error message)", again
	case bytes.HasPrefix(head, []byte("\x89PNG")), bytes.HasPrefix(head, []byte("\xff\xd8\xff")), bytes.HasPrefix(head, []byte("RIFF")):
		return "a picture, not a model", "name the model file"
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return "a gzip archive", "unpack it first"
	case bytes.HasPrefix(head, []byte("7z\xbc\xaf")), bytes.HasPrefix(head, []byte("Rar!")), bytes.HasPrefix(head, []byte("\xfd7zXZ")):
		return "a compressed archive", "unpack it first"
	case bytes.HasPrefix(head, []byte("ggml")), bytes.HasPrefix(head, []byte("lmgg")), bytes.HasPrefix(head, []byte("tjgg")):
		return "a GGML file of before GGUF", "convert it to GGUF"
	case bytes.HasPrefix(head, []byte("SQLite format 3\x00")):
		return "an SQLite database, as Draw Things keeps models", "use the model's safetensors file"
	case head[0] == 8 && (bytes.Contains(head[:min(len(head), 64)], []byte("pytorch")) || bytes.Contains(head[:min(len(head), 64)],
		[]byte("onnx"))):
		return "an ONNX file", "use the PyTorch version of the model"
	case bytes.HasPrefix(head, []byte("\x89HDF")):
		return "an HDF5 file (Keras/TensorFlow)", "use the PyTorch version of the model"
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return "a tar archive (or a PyTorch file of before 2017)", "unpack it, or re-save it as .safetensors"
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "["):
		return "JSON text, not a model" + quoteStart(head), "name the weights, not their configuration; or download them again"
	case len(head) >= 2 && isText(head, size):
		return "a text file, not a model" + quoteStart(head), again
	}
	return "", ""
}

// isText: valid UTF-8 (but for a cut last rune) without control characters.
func isText(head []byte, size int64) bool {
	if int64(len(head)) < size {
		for n := 0; n < utf8.UTFMax && len(head) > 0 && !utf8.Valid(head); n++ {
			head = head[:len(head)-1]
		}
	}
	if !utf8.Valid(head) {
		return false
	}
	for _, c := range head {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// quoteStart shows the first line of a text.
func quoteStart(head []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(head)), "\n")
	if len(line) > 60 {
		line = line[:60] + "..."
	}
	return fmt.Sprintf(", beginning %q", strings.ToValidUTF8(line, ""))
}

var extensions = map[string][]Format{
	".safetensors": {FormatSafetensors},
	".gguf":        {FormatGGUF},
	".ckpt":        {FormatTorchZip, FormatTorchLegacy},
	".pt":          {FormatTorchZip, FormatTorchLegacy},
	".pth":         {FormatTorchZip, FormatTorchLegacy},
	".bin":         {FormatTorchZip, FormatTorchLegacy},
}

// extensionWarning says that a name promises another format than the content has.
func extensionWarning(path string, format Format) string {
	ext := strings.ToLower(filepath.Ext(path))
	want, ok := extensions[ext]
	if !ok || slices.Contains(want, format) {
		return ""
	}
	return fmt.Sprintf("the name ends in %s but the content is %s; it is read as %s", ext, format, format)
}

func shapeString(shape []int64) string { return strings.ReplaceAll(fmt.Sprint(shape), " ", ", ") }

// littleEndian reads an unsigned integer of at most eight bytes.
func littleEndian(b []byte) uint64 {
	var w [8]byte
	copy(w[:], b)
	return binary.LittleEndian.Uint64(w[:])
}
