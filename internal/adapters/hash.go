package adapters

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/regular"
)

// Hashes identify an adapter's file as the web UI and model sites do.
type Hashes struct {
	SHA256 string `json:"sha256,omitempty"` // of the whole file, lower-case hexadecimal
	AutoV2 string `json:"autov2,omitempty"` // its first ten digits
	// AutoV3 is the first twelve digits of the sum of what follows a safetensors header. Renaming or retitling keeps it.
	AutoV3 string `json:"autov3,omitempty"`
}

// Hash reads a file once and computes its Hashes. Cancelling ctx stops it within a mebibyte of the data.
func Hash(ctx context.Context, path string) (h Hashes, err error) {
	f, st, err := regular.Open(path)
	if err != nil {
		return h, err
	}
	defer f.Close()
	whole, data := sha256.New(), sha256.New()
	head := headerBytes(f, st.Size())
	_, err = io.CopyN(whole, f, head)
	for both := io.MultiWriter(whole, data); err == nil; {
		if err = ctx.Err(); err == nil {
			_, err = io.CopyN(both, f, 1<<20)
		}
	}
	if err != io.EOF {
		return h, err
	}
	h.SHA256 = hex.EncodeToString(whole.Sum(nil))
	h.AutoV2 = h.SHA256[:10]
	if head > 0 {
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
