package request

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
)

// parsePicture reads a picture as run files write it: a path, or a data URL in base64.
func parsePicture(s string) (Picture, error) {
	rest, ok := strings.CutPrefix(s, "data:")
	if !ok {
		return Picture{Path: s}, nil
	}
	head, text, ok := strings.Cut(rest, ",")
	if !ok || !strings.HasSuffix(head, "base64") {
		return Picture{}, fmt.Errorf("is a data URL without base64; write data:image/png;base64, and then the data")
	}
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return Picture{}, fmt.Errorf("is no base64 of a picture: %w", err)
	}
	if len(data) == 0 {
		return Picture{}, fmt.Errorf("is a data URL of nothing; write the picture's bytes in base64 after the comma")
	}
	return Picture{Data: data}, nil
}

// String writes the picture as run files do; "" where there is none, or only one that was decoded already.
func (p Picture) String() string {
	if p.Data == nil {
		return p.Path
	}
	kind := "application/octet-stream"
	for magic, of := range map[string]string{"\x89PNG": "image/png", "\xff\xd8": "image/jpeg", "GIF8": "image/gif", "RIFF": "image/webp"} {
		if bytes.HasPrefix(p.Data, []byte(magic)) {
			kind = of
		}
	}
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(p.Data)
}
