package install

import (
	"crypto/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"aead.dev/minisign"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTrust is what lies beside an archive, what a caller gives, and what is believed.
func TestTrust(t *testing.T) {
	name := archiveName("cpu")
	for _, c := range []struct {
		name   string
		change func(t *testing.T, r *release)
		o      Options
		is     error
		says   string // of the error or the warnings
		how    string
	}{
		{"signed", nil, Options{}, nil, "", VerifiedSignature},
		{"the sums were changed", func(_ *testing.T, r *release) {
			r.files[sumsName] = append(r.files[sumsName], '\n')
		}, Options{}, ErrUnverified, "the file or its signature was changed", ""},
		{"the archive was changed", func(_ *testing.T, r *release) { r.files[name][100] ^= 1 }, Options{}, ErrUnverified,
			name + " is not the file that it should be: its SHA-256 is ", ""},
		{"somebody else signed", func(t *testing.T, r *release) {
			_, secret, err := minisign.GenerateKey(rand.Reader)
			require.NoError(t, err)
			r.files[signatureName] = minisign.Sign(secret, r.files[sumsName])
		}, Options{}, ErrUnverified, "somebody else signed it: its key is ", ""},
		{"the signature is damaged", func(_ *testing.T, r *release) {
			r.files[signatureName] = []byte("not a signature")
		}, Options{}, ErrUnverified, "the signature is damaged", ""},
		{"web pages", func(_ *testing.T, r *release) {
			r.files[sumsName] = []byte("<!DOCTYPE html><title>Log in</title>")
			r.files[signatureName] = r.files[sumsName]
		}, Options{}, ErrUnverified, "a web page came in its place", ""},
		{"no signature", func(_ *testing.T, r *release) { delete(r.files, signatureName) }, Options{}, ErrUnverified,
			"nobody signed these archives", ""},
		{"no sums", func(_ *testing.T, r *release) { delete(r.files, sumsName) }, Options{}, ErrUnavailable,
			"give the archive's sum (sha256) if you know it", ""},
		{"signed nonsense", func(_ *testing.T, r *release) { resign(r, "nonsense") }, Options{}, ErrUnverified, "line 1", ""},
		{"two sums", func(_ *testing.T, r *release) {
			resign(r, string(r.files[sumsName])+strings.Repeat("0", 64)+"  "+name+"\n")
		}, Options{}, ErrUnverified, "has two sums", ""},
		{"sums as written in binary mode, on Windows", func(_ *testing.T, r *release) {
			resign(r, strings.ToUpper(sum(r.files[name]))+" *"+name+"\r\n")
		}, Options{}, nil, "", VerifiedSignature},
		{"another version's sums", func(_ *testing.T, r *release) {
			resign(r, sum(r.files[name])+"  "+strings.Replace(name, Version, "99.0.0", 1)+"\n")
		}, Options{}, ErrUnavailable, "lists " + strings.Replace(name, Version, "99.0.0", 1), ""},
		{"the caller's sum", func(_ *testing.T, r *release) {
			delete(r.files, sumsName)
			delete(r.files, signatureName)
		}, Options{SHA256: "is right", Variant: "cpu"}, nil, "", VerifiedSum},
		{"the caller's sum is another", nil, Options{SHA256: strings.Repeat("0", 64), Variant: "cpu"}, ErrUnverified, "is not the file", ""},
		{"without looking, nothing beside it", func(_ *testing.T, r *release) {
			delete(r.files, sumsName)
			delete(r.files, signatureName)
		}, Options{NoVerify: true}, nil, "whoever can change this archive can run any code as you", VerifiedNot},
		{"without looking, unsigned sums", func(_ *testing.T, r *release) {
			delete(r.files, signatureName)
		}, Options{NoVerify: true}, nil, "nobody's signature was looked at, as you asked", VerifiedNot},
		{"without looking, a wrong sum", func(_ *testing.T, r *release) { r.files[name][100] ^= 1 }, Options{NoVerify: true}, ErrUnverified,
			"is not the file that it should be", ""},
	} {
		for place, from := range map[string]func(*testing.T, *release, *Options){
			"server": func(t *testing.T, r *release, o *Options) { o.URL = serve(t, r).URL },
			"folder": func(t *testing.T, r *release, o *Options) { o.From = r.folder(t) },
			"file":   func(t *testing.T, r *release, o *Options) { o.From = filepath.Join(r.folder(t), name) },
			"address of the archive": func(t *testing.T, r *release, o *Options) {
				o.From = serve(t, r).URL + "/v" + Version + "/" + name
			},
		} {
			t.Run(c.name+"/"+place, func(t *testing.T) {
				rel, is, says := newRelease(t, "cpu"), c.is, c.says
				if c.change != nil {
					c.change(t, rel)
				}
				o := c.o
				o.PublicKey = rel.public
				from(t, rel, &o)
				if o.SHA256 == "is right" {
					o.SHA256 = strings.ToUpper(sum(rel.files[name]))
				}
				m := newMachine(t)
				result, err := m.ensure(t.Context(), o)
				if c.is != nil {
					if is == ErrUnavailable && isArchiveName(o.From) && rel.files[sumsName] != nil { // the archive is there, its line is not
						is, says = ErrUnverified, "has no line for "+name
					}
					require.ErrorIs(t, err, is)
					assert.ErrorContains(t, err, says)
					assert.Empty(t, m.left(t))
					return
				}
				require.NoError(t, err)
				assert.Equal(t, whole, m.left(t))
				assert.Equal(t, c.how, result.Verified)
				assert.Contains(t, strings.Join(result.Warnings, "\n"), c.says)
			})
		}
	}
}

func resign(r *release, sums string) {
	r.files[sumsName] = []byte(sums)
	r.files[signatureName] = minisign.Sign(r.secret, r.files[sumsName])
}

// TestProjectKey holds the key of the sources: it can be read, and while it is the placeholder the message says so.
func TestProjectKey(t *testing.T) {
	_, err := Options{}.key()
	require.NoError(t, err)
	rel := newRelease(t, "cpu")
	_, err = newMachine(t).ensure(t.Context(), Options{From: rel.folder(t)})
	require.ErrorIs(t, err, ErrUnverified)
	if placeholder() {
		assert.ErrorContains(t, err, "this program was built without the key of a release")
	} else {
		assert.ErrorContains(t, err, "somebody else signed it")
	}
}

// TestMinisignSigns verifies what the program minisign wrote: testdata/minisign was made with `minisign -G -W -p key.pub -s key` and
// `minisign -S -s key -m SHA256SUMS`.
func TestMinisignSigns(t *testing.T) {
	dir := filepath.Join("testdata", "minisign")
	public, err := os.ReadFile(filepath.Join(dir, "key.pub"))
	require.NoError(t, err)
	known, err := Options{PublicKey: string(public)}.trusted(t.Context(), &folder{dir: dir})
	require.NoError(t, err)
	assert.Equal(t, VerifiedSignature, known.how)
	assert.Equal(t, strings.Repeat("01", 32), known.sum("daguerre-0.1.0-linux-amd64-cpu.tar.gz"))
}

// TestMirrorNeedsNoTrust serves a changed file beside the true sums.
func TestMirrorNeedsNoTrust(t *testing.T) {
	s, m := serve(t, newRelease(t, "cpu")), newMachine(t)
	s.fault = archiveFault(func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		_, err := w.Write(tarGz(t, usual("cpu")...))
		return err == nil
	})
	_, err := m.ensure(t.Context(), s.options())
	require.ErrorIs(t, err, ErrUnverified)
	assert.Empty(t, m.left(t), "what was downloaded is deleted")
}
