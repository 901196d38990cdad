package install

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"

	"github.com/daguerre-go/daguerre/internal/words"
)

// releaseKey is the public key that releases are signed with, as minisign writes it.
//
//go:embed release.pub
var releaseKey string

const (
	sumsName      = "SHA256SUMS"
	signatureName = "SHA256SUMS.minisig"
	sumBytes      = sha256.Size
	mostSums      = 1 << 20 // bytes of SHA256SUMS
	mostSignature = 1 << 16
)

// trust is what an archive is compared with.
type trust struct {
	sums  map[string]string // by name; nil: there are none
	fixed string            // the sum that the caller gave
	how   string            // Verified... of Result
}

// sum is the sum that the archive of a name must have; "" if nothing is known of it.
func (t trust) sum(name string) string {
	if t.fixed != "" {
		return t.fixed
	}
	return t.sums[name]
}

// trusted reads SHA256SUMS and checks its signature, as the options ask for.
func (o Options) trusted(ctx context.Context, from origin) (trust, error) {
	if o.SHA256 != "" {
		return trust{fixed: strings.ToLower(o.SHA256), how: VerifiedSum}, nil
	}
	sums, err := from.read(ctx, sumsName, mostSums)
	if o.NoVerify && errors.Is(err, ErrUnavailable) {
		return trust{how: VerifiedNot}, nil
	}
	if errors.Is(err, ErrUnavailable) {
		return trust{}, failed(ErrUnavailable, "%w; without %s no archive of version %s can be verified: "+
			"give the archive's sum (sha256) if you know it%s", err, sumsName, Version, from.hint())
	}
	if err != nil {
		return trust{}, err
	}
	if o.NoVerify {
		table, err := parseSums(sums)
		return trust{sums: table, how: VerifiedNot}, err
	}
	signature, err := from.read(ctx, signatureName, mostSignature)
	if errors.Is(err, ErrUnavailable) {
		return trust{}, failed(ErrUnverified, "%w; nobody signed these archives: take them from another place, or give the "+
			"archive's sum (sha256) if you know it", err)
	}
	if err != nil {
		return trust{}, err
	}
	if err := o.signed(sums, signature, from); err != nil {
		return trust{}, err
	}
	table, err := parseSums(sums)
	return trust{sums: table, how: VerifiedSignature}, err
}

// signed checks the signature of SHA256SUMS.
func (o Options) signed(sums, signature []byte, from origin) error {
	key, err := o.key()
	if err != nil {
		return err
	}
	if minisign.Verify(key, sums, signature) {
		return nil
	}
	why := "the file or its signature was changed, or is not what was released; try another mirror"
	var s minisign.Signature
	switch err := s.UnmarshalText(signature); {
	case looksLikeHTML(sums) || looksLikeHTML(signature):
		why = "a web page came in its place; is there a login or a proxy between?"
	case err != nil:
		why = "the signature is damaged"
	case s.KeyID != key.ID() && o.PublicKey == "" && placeholder():
		why = "this program was built without the key of a release; give the key of whoever made the archives (public key)"
	case s.KeyID != key.ID():
		why = "somebody else signed it: its key is " + keyID(s.KeyID) + ", and " + keyID(key.ID()) + " is expected"
	}
	return failed(ErrUnverified, "%s: the signature is wrong: %s", from.place(sumsName), why)
}

// placeholder tells whether releaseKey is the one of the sources, which signs nothing.
func placeholder() bool { return strings.HasPrefix(releaseKey, "untrusted comment: placeholder") }

func keyID(id uint64) string {
	raw := make([]byte, 8)
	for i := range raw {
		raw[i] = byte(id >> (56 - 8*i))
	}
	return strings.ToUpper(hex.EncodeToString(raw))
}

func looksLikeHTML(text []byte) bool {
	head := bytes.ToLower(bytes.TrimSpace(text[:min(len(text), 256)]))
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
}

// parseSums reads what sha256sum writes: 64 digits, two spaces or a space and a star, a name.
func parseSums(text []byte) (map[string]string, error) {
	table := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), "\r")
		if line == "" {
			continue
		}
		sum, name, ok := strings.Cut(line, " ")
		name = strings.TrimPrefix(strings.TrimPrefix(name, " "), "*")
		if raw, err := hex.DecodeString(sum); !ok || err != nil || len(raw) != sumBytes || name == "" {
			return nil, failed(ErrUnverified, "%s, line %d: %s is not a sum and a name", sumsName, n, words.Quote(line))
		}
		sum = strings.ToLower(sum)
		if have, twice := table[name]; twice && have != sum {
			return nil, failed(ErrUnverified, "%s, line %d: %s has two sums", sumsName, n, words.Quote(name))
		}
		table[name] = sum
	}
	if err := lines.Err(); err != nil {
		return nil, failed(ErrUnverified, "%s: %w", sumsName, err)
	}
	return table, nil
}

// sumOf reads a file and returns its sum.
func sumOf(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, contextReader{ctx, f}); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// compare returns an error unless an archive has the sum that it should have.
func (t trust) compare(ctx context.Context, name, path string) (string, error) {
	have, err := sumOf(ctx, path)
	if err != nil {
		return "", err
	}
	want := t.sum(name)
	if want == "" && t.how != VerifiedNot {
		return have, failed(ErrUnverified, "%s has no line for %s; an archive that was renamed must have its name back", sumsName,
			words.Quote(name))
	}
	if want != "" && want != have {
		return have, failed(ErrUnverified, "%s is not the file that it should be: its SHA-256 is %s, where %s is expected",
			filepath.Base(name), have, want)
	}
	return have, nil
}

// contextReader ends reading when a context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
