package adapters

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// Hashes identify an adapter's file as the web UI and model sites do.
type Hashes struct {
	SHA256 string `json:"sha256"`           // of the whole file, lower-case hexadecimal
	AutoV2 string `json:"autov2"`           // its first ten digits
	AutoV3 string `json:"autov3,omitempty"` // first twelve digits of the sum of what follows a safetensors header; renaming or retitling keeps it
}

// Hash reads a file once and computes its Hashes. Cancelling ctx stops it within a mebibyte.
func Hash(ctx context.Context, path string) (Hashes, error) {
	f, err := os.Open(path)
	if err != nil {
		return Hashes{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Hashes{}, err
	}
	if !st.Mode().IsRegular() {
		return Hashes{}, fmt.Errorf("%s is no regular file", path)
	}
	whole, data := sha256.New(), sha256.New()
	skip := headerBytes(f, st.Size())
	buf := make([]byte, 1<<20)
	for at := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return Hashes{}, err
		}
		n, err := f.ReadAt(buf, at)
		whole.Write(buf[:n])
		if from := skip - at; skip > 0 && from < int64(n) {
			data.Write(buf[max(from, 0):n])
		}
		at += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return Hashes{}, err
		}
	}
	h := Hashes{SHA256: hex.EncodeToString(whole.Sum(nil))}
	h.AutoV2 = h.SHA256[:10]
	if skip > 0 {
		h.AutoV3 = hex.EncodeToString(data.Sum(nil))[:12]
	}
	return h, nil
}

// headerBytes is where a safetensors file's data begins; 0 for other files.
func headerBytes(r io.ReaderAt, size int64) int64 {
	var b [9]byte
	if _, err := r.ReadAt(b[:], 0); err != nil || b[8] != '{' {
		return 0
	}
	n := binary.LittleEndian.Uint64(b[:8])
	if n > modelfile.MaxHeaderBytes || int64(n)+8 > size {
		return 0
	}
	return int64(n) + 8
}

// Hash fills in the report's sums.
func (r *Report) Hash(ctx context.Context) error {
	h, err := Hash(ctx, r.Path)
	if err == nil {
		r.SHA256, r.AutoV2, r.AutoV3 = h.SHA256, h.AutoV2, h.AutoV3
	}
	return err
}
