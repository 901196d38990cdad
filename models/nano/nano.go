// Package nano has the nano model in the program: SDXL with very small numbers, trained on pictures of coloured shapes. With it a new
// machine makes a picture in seconds, and tests have a real model. README.md beside this file is the model card.
package nano

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed" // the model is embedded
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
)

// CacheEnv names the environment variable that overrides the folder models are unpacked into.
const CacheEnv = "DAGUERRE_CACHE"

// HeldOutJSON is the list of held-out prompts with seeds; package checker reads it.
//
//go:embed heldout.json
var HeldOutJSON []byte

//go:embed nano-base.safetensors.gz
var base []byte

// baseSHA256 is written by tools/nano/export.py together with the model.
//
//go:embed nano-base.sha256
var baseSHA256 string

// BaseSHA256 is the hash of the unpacked base model, in lower-case hexadecimal.
func BaseSHA256() string {
	return strings.TrimSpace(baseSHA256)
}

// Path returns the file name of the base model, one safetensors file in SDXL's original layout. At first use the file is unpacked into
// CacheDir, under a name with its hash. It gets that name when it is complete, so that any number of processes may call Path at once.
// A file that is there is hashed again, and replaced if it is damaged. Half-unpacked files of killed processes are removed. ctx is checked
// between blocks of 1 MiB.
func Path(ctx context.Context) (string, error) {
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	return unpack(ctx, dir, "nano-base", base, BaseSHA256())
}

// CacheDir is the folder models are unpacked into: $DAGUERRE_CACHE if set, else daguerre in the user's cache folder. Where there is none,
// as without $HOME, it is a folder for temporary files of this user. It need not exist yet.
func CacheDir() (string, error) {
	if dir := os.Getenv(CacheEnv); dir != "" {
		return dir, nil
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return filepath.Join(os.TempDir(), fmt.Sprintf("daguerre-%d", os.Getuid())), nil
	}
	return filepath.Join(user, "daguerre"), nil
}

// unpack writes the gzip stream to dir/name-hash.safetensors and returns that path.
func unpack(ctx context.Context, dir, name string, packed []byte, hash string) (string, error) {
	path := filepath.Join(dir, name+"-"+hash[:16]+".safetensors")
	sweep(dir, name)
	switch got, err := modelfile.HashFile(ctx, path, nil); {
	case err == nil && got == hash:
		return path, nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("nano: reading the unpacked model: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("nano: making the cache folder (%s overrides it): %w", CacheEnv, err)
	}
	err := write(ctx, path, name, packed, hash)
	for range 3 { // another process may have swept the file away before it was locked
		if errors.Is(err, os.ErrNotExist) {
			err = write(ctx, path, name, packed, hash)
		}
	}
	if err != nil {
		// Windows refuses to replace a file that another process has open: it won the race.
		if got, hashErr := modelfile.HashFile(ctx, path, nil); hashErr == nil && got == hash {
			return path, nil
		}
		return "", fmt.Errorf("nano: unpacking the model (%s overrides the folder): %w", CacheEnv, err)
	}
	return path, nil
}

// write unpacks into a file that is locked until it is complete.
func write(ctx context.Context, path, name string, packed []byte, hash string) error {
	zr, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("embedded model: %w", err)
	}
	return writer.Atomically(path, func(w io.Writer) error {
		if f, ok := w.(*os.File); ok {
			lock(f, true)
		}
		sum := sha256.New()
		if _, err := io.Copy(io.MultiWriter(w, sum), contextReader{ctx, zr}); err != nil {
			return err
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != hash {
			return fmt.Errorf("embedded %s unpacks to SHA-256 %s, want %s", name, got, hash)
		}
		return nil
	}, nil)
}

// sweep removes half-unpacked files of killed processes. A process that still unpacks holds a lock on its file.
func sweep(dir, name string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "."+name+"-") || !strings.HasSuffix(e.Name(), ".tmp") || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		mine := lock(f, false)
		if !locks { // on this system an open file cannot be removed: close ours first; files of other processes stay
			_ = f.Close()
		}
		if mine {
			_ = os.Remove(path) // the next start tries again
		}
		_ = f.Close()
	}
}

// contextReader stops with the context's error, and reads at most 1 MiB at a time.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p[:min(len(p), 1<<20)])
}
