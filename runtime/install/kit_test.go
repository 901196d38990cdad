package install

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

func TestMain(m *testing.M) {
	patient.Pause = func(int) time.Duration { return time.Millisecond }
	_ = os.Unsetenv(native.EnvLibrary)
	os.Exit(m.Run())
}

// item is an entry of an archive.
type item struct {
	name, text string
	flag       byte // of tar; 0: a regular file
	link       string
}

// noise makes an archive that gzip does not make small.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

// folderOf is the archive's only folder.
func folderOf(variant string) string {
	return strings.TrimSuffix(archiveName(variant), archiveSuffix("linux"))
}

// usual is what a release's archive of a variant holds. Its library is text that fakeProbe understands.
func usual(variant string) []item {
	top := folderOf(variant)
	return []item{{name: top + "/", flag: tar.TypeDir}, {name: top + "/bin/daguerre", text: noise(1000)},
		{name: top + "/lib/daguerre/libdaguerre-" + variant + ".so", text: "library " + variant + " " + Version + " " + noise(20_000)},
		{name: top + "/share/licenses/daguerre/LICENSE", text: "MIT"}, {name: top + "/share/man/man1/daguerre.1", text: "man"}}
}

func tarGz(t *testing.T, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, i := range items {
		h := &tar.Header{Name: i.name, Size: int64(len(i.text)), Mode: 0o644, Typeflag: i.flag, Linkname: i.link, Format: tar.FormatPAX}
		switch i.flag {
		case 0:
			h.Typeflag = tar.TypeReg
		case tar.TypeXGlobalHeader:
			h = &tar.Header{Name: i.name, Typeflag: i.flag, Format: tar.FormatPAX, PAXRecords: map[string]string{"comment": "0123"}}
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := w.Write([]byte(i.text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

func zipped(t *testing.T, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, i := range items {
		h := &zip.FileHeader{Name: i.name, Method: zip.Deflate}
		text := i.text
		switch i.flag {
		case tar.TypeDir:
			h.SetMode(os.ModeDir | 0o755)
		case tar.TypeSymlink:
			h.SetMode(os.ModeSymlink | 0o777)
			text = i.link
		case tar.TypeFifo:
			h.SetMode(os.ModeNamedPipe | 0o644)
		}
		f, err := w.CreateHeader(h)
		require.NoError(t, err)
		_, err = f.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

// release is a folder of archives with its sums and their signature.
type release struct {
	files  map[string][]byte
	public string
	secret minisign.PrivateKey
}

func newRelease(t *testing.T, variants ...string) *release {
	t.Helper()
	public, secret, err := minisign.GenerateKey(rand.Reader)
	require.NoError(t, err)
	r := &release{files: map[string][]byte{}, public: public.String(), secret: secret}
	for _, v := range variants {
		r.files[archiveName(v)] = tarGz(t, usual(v)...)
	}
	r.sign()
	return r
}

// with puts another file in the place of an archive, and signs that.
func (r *release) with(name string, data []byte) *release {
	r.files[name] = data
	r.sign()
	return r
}

func (r *release) sign() {
	var sums strings.Builder
	for name, data := range r.files {
		if isArchiveName(name) {
			fmt.Fprintf(&sums, "%s  %s\n", sum(data), name)
		}
	}
	r.files[sumsName] = []byte(sums.String())
	r.files[signatureName] = minisign.Sign(r.secret, r.files[sumsName])
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// folder writes the release into a folder.
func (r *release) folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range r.files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	return dir
}

// fakeProbe takes text for libraries: "library VARIANT VERSION ...". Text of another kind does not work.
func fakeProbe(usual ...string) func(native.Options) (native.Library, error) {
	return func(o native.Options) (native.Library, error) {
		places := usual
		if o.LibraryPath != "" {
			places = []string{o.LibraryPath}
		}
		var attempts []native.Attempt
		for _, dir := range places {
			for _, variant := range native.Variants() {
				path := filepath.Join(dir, "libdaguerre-"+variant+".so")
				data, err := os.ReadFile(path)
				if err != nil || o.Variant != "" && o.Variant != variant {
					continue
				}
				if fields := strings.Fields(string(data)); len(fields) > 2 && fields[0] == "library" {
					return native.Library{Path: path, Variant: fields[1], Version: fields[2]}, nil
				}
				a := native.Attempt{Outcome: "dlopen failed: not text of a library"}
				a.Path = path
				attempts = append(attempts, a)
			}
		}
		return native.Library{}, &native.LoadError{Variant: o.Variant, Attempts: attempts}
	}
}

// plainHost has no GPU.
var plainHost = host{system: "linux", getenv: func(string) string { return "" }, glob: func(string) []string { return nil },
	open: func(string) error { return errors.New("not there") }}

// machine is an empty data folder.
type machine struct {
	root  string // of all versions
	host  host
	limit limits
	found []string // folders that the loader looks into before the data folder
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	return &machine{root: filepath.Join(t.TempDir(), "daguerre", "lib"), host: plainHost, limit: roomy}
}

func (m *machine) dir() string { return filepath.Join(m.root, Version) }

func (m *machine) ensure(ctx context.Context, o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	in := &installation{o: o, dir: m.dir(), host: m.host, limits: m.limit, probe: fakeProbe(append(m.found, m.dir())...)}
	return in.ensure(ctx)
}

// left lists what lies in the data folder, but the lock.
func (m *machine) left(t *testing.T) (files []string) {
	t.Helper()
	err := filepath.WalkDir(m.root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != lockName {
			rel, _ := filepath.Rel(m.root, path) // it lies below
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	return files
}

// whole is what left says after an installation of the CPU's variant.
var whole = []string{Version + "/libdaguerre-cpu.so", Version + "/licenses/LICENSE"}

// web serves a release. A fault may answer a request in its place.
type web struct {
	*httptest.Server
	mu      sync.Mutex
	release *release
	fault   func(n int, name string, w http.ResponseWriter, r *http.Request) bool // n counts requests of this name from 1
	count   map[string]int
	ranges  []string // of requests for archives, "" for none
}

func serve(t *testing.T, r *release) *web {
	t.Helper()
	s := &web{release: r, count: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, "/v"+Version+"/")
		s.mu.Lock()
		s.count[name]++
		n, fault := s.count[name], s.fault
		if isArchiveName(name) {
			s.ranges = append(s.ranges, r.Header.Get("Range"))
		}
		data, there := s.release.files[name]
		s.mu.Unlock()
		if fault != nil && fault(n, name, w, r) {
			return
		}
		if !ok || !there {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", `"`+sum(data)[:16]+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s
}

// options are those of a program that uses the server.
func (s *web) options() Options { return Options{URL: s.URL, PublicKey: s.release.public} }

// cut sends the first n bytes of an answer and ends the connection.
func cut(w http.ResponseWriter, data []byte, n int) {
	w.Header().Set("ETag", `"`+sum(data)[:16]+`"`)
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	_, _ = w.Write(data[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}
