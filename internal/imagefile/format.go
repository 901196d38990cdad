package imagefile

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// ErrFormat is wrapped by errors about a picture of a format that is not offered, or damaged.
var ErrFormat = errors.New("unsupported picture format")

// Format is a picture file format that can be written.
type Format string

// The formats that can be written. WebP is always lossless.
const (
	PNG  Format = "png"
	JPEG Format = "jpeg"
	WebP Format = "webp"
)

// extensions maps a lower-case file name extension to its format.
var extensions = map[string]Format{".png": PNG, ".jpg": JPEG, ".jpeg": JPEG, ".webp": WebP}

// FormatOf returns the format that path's extension names, in any case. The error wraps ErrFormat and
// lists the extensions that work.
func FormatOf(path string) (Format, error) {
	ext := strings.ToLower(filepath.Ext(path))
	if f, ok := extensions[ext]; ok {
		return f, nil
	}
	if ext == "" {
		return "", fmt.Errorf("%w: %q has no extension; end the name in .png, .jpg or .webp", ErrFormat, path)
	}
	return "", fmt.Errorf("%w: %q ends in %q; end the name in .png, .jpg or .webp", ErrFormat, path, ext)
}
