package install

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/download"
	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/internal/words"
)

// limits bound what an archive may hold.
type limits struct {
	entries int
	file    int64 // bytes of one file that is taken out
	total   int64 // bytes of the archive when unpacked
}

// roomy is far above what a release holds: a CUDA library has some hundred MiB.
var roomy = limits{entries: 4096, file: 2 << 30, total: 4 << 30}

// The folders of an archive that are taken out, below its only folder. Their files lie flat.
const (
	libraryFolder = "lib/daguerre"
	licenceFolder = "share/licenses/daguerre"
	licences      = "licenses" // their folder beside the library
)

// plainName is what files that are taken out may be called.
var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

// kindOf tells an archive by its first bytes: "zip", "tar.gz", or "".
func kindOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "zip"
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return "tar.gz"
	}
	return ""
}

// unpacker takes the library and its licences out of an archive.
type unpacker struct {
	ctx      context.Context
	into     *os.Root
	limits   limits
	progress func(Progress)
	seen     int
	read     int64 // unpacked bytes
	files    []string
}

// unpack takes the library and the licences out of an archive into a folder and returns their names there. It looks at every entry. If one
// would lie outside, or is a link, a device or too large, it refuses the whole archive. Errors match ErrArchive.
func unpack(ctx context.Context, archive string, into *os.Root, most limits, progress func(Progress)) ([]string, error) {
	f, st, err := regular.Open(archive)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 4)
	n, _ := f.ReadAt(head, 0) // an archive that is shorter is none
	u := &unpacker{ctx: ctx, into: into, limits: most, progress: progress}
	switch kindOf(head[:n]) {
	case "zip":
		err = u.zip(f, st.Size())
	case "tar.gz":
		err = u.tarGz(f, st.Size())
	default:
		err = errors.New("it is neither a .tar.gz nor a .zip archive")
	}
	if err == nil && !slices.ContainsFunc(u.files, func(name string) bool { return !strings.HasPrefix(name, licences+"/") }) {
		err = fmt.Errorf("it holds no library: nothing lies in its folder %s", libraryFolder)
	}
	switch {
	case err == nil:
		return u.files, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, ErrWrite):
		return nil, err
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		err = errors.New("it ends too early; it is not complete")
	}
	return nil, failed(ErrArchive, "%w", err)
}

func (u *unpacker) tarGz(f *os.File, size int64) error {
	counted := &countingReader{r: contextReader{u.ctx, f}}
	zipped, err := gzip.NewReader(counted)
	if err != nil {
		return err
	}
	plain := &countingReader{r: zipped, most: u.limits.total}
	t := tar.NewReader(plain)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeXGlobalHeader { // a comment, as of git archive
			continue
		}
		mode := h.FileInfo().Mode()
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir { // hard links and sparse files have the mode of regular ones
			return fmt.Errorf("%s is %s; only files and folders are taken", words.Quote(h.Name), kindOfEntry(h.Typeflag, mode))
		}
		if err := u.entry(h.Name, mode, h.Size, func() (io.ReadCloser, error) { return io.NopCloser(t), nil }); err != nil {
			return err
		}
		u.tell(counted.n, size)
	}
	// gzip's own sum comes last.
	_, err = io.Copy(io.Discard, plain)
	u.tell(counted.n, size)
	return err
}

func kindOfEntry(flag byte, mode fs.FileMode) string {
	if flag == tar.TypeLink {
		return "a hard link"
	}
	if mode.IsRegular() {
		return "a special file"
	}
	return regular.Kind(mode)
}

func (u *unpacker) zip(f *os.File, size int64) error {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return err
	}
	for _, e := range z.File {
		if e.UncompressedSize64 > uint64(u.limits.total) || u.read+int64(e.UncompressedSize64) > u.limits.total {
			return errTooMuch(u.limits.total)
		}
		if mode := e.Mode(); !mode.IsRegular() && !mode.IsDir() {
			return fmt.Errorf("%s is %s; only files and folders are taken", words.Quote(e.Name), regular.Kind(mode))
		}
		if err := u.entry(e.Name, e.Mode(), int64(e.UncompressedSize64), func() (io.ReadCloser, error) { return e.Open() }); err != nil {
			return err
		}
		u.read += int64(e.UncompressedSize64)
		u.tell(u.read, 0)
	}
	return nil
}

// entry looks at an entry, and takes it out if it is wanted.
func (u *unpacker) entry(name string, mode fs.FileMode, size int64, open func() (io.ReadCloser, error)) error {
	if u.seen++; u.seen > u.limits.entries {
		return fmt.Errorf("it holds more than %d files", u.limits.entries)
	}
	clean := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if clean == "" && mode.IsDir() || clean == "." {
		return nil
	}
	if !fs.ValidPath(clean) || strings.ContainsAny(clean, "\\:\x00") {
		return fmt.Errorf("%s leads out of the archive's folder", words.Quote(name))
	}
	_, below, _ := strings.Cut(clean, "/")
	target := path.Base(below)
	switch path.Dir(below) {
	case libraryFolder:
	case licenceFolder:
		target = licences + "/" + target
	default:
		return nil
	}
	if mode.IsDir() {
		return fmt.Errorf("%s is a folder, where only files are expected", words.Quote(name))
	}
	if !plainName.MatchString(path.Base(below)) {
		return fmt.Errorf("%s is no name of a file of a release", words.Quote(name))
	}
	if size > u.limits.file {
		return errTooMuch(u.limits.file)
	}
	if slices.ContainsFunc(u.files, func(have string) bool { return strings.EqualFold(have, target) }) {
		return fmt.Errorf("it holds %s twice", words.Quote(name))
	}
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	u.files = append(u.files, target)
	return u.write(target, contextReader{u.ctx, r}, size)
}

// write writes a file of the given size and sees it onto the disk, so that a name never leads to half a file after a power cut.
func (u *unpacker) write(name string, r io.Reader, size int64) error {
	if dir := path.Dir(name); dir != "." {
		if err := u.into.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return download.NoRoom(err, size)
		}
	}
	f, err := u.into.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return download.NoRoom(err, size)
	}
	defer f.Close() // closed below where its error counts
	n, err := io.Copy(markWriting{f}, io.LimitReader(r, size+1))
	switch {
	case err != nil:
		return err
	case n != size:
		return fmt.Errorf("%s has another size than the archive says", words.Quote(name))
	}
	if err := f.Sync(); err != nil {
		return download.NoRoom(err, size)
	}
	if err := f.Close(); err != nil {
		return download.NoRoom(err, size)
	}
	return nil
}

func (u *unpacker) tell(done, total int64) {
	if u.progress != nil {
		u.progress(Progress{Stage: StageUnpack, Done: done, Total: total})
	}
}

func errTooMuch(most int64) error {
	return fmt.Errorf("it unpacks to more than %s, which no release does", words.Bytes(most))
}

// countingReader counts what is read, and refuses more than most if that is not 0.
type countingReader struct {
	r       io.Reader
	n, most int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.n += int64(n); c.most > 0 && c.n > c.most {
		return 0, errTooMuch(c.most)
	}
	return n, err
}

// markWriting writes to a file. Its errors are those of the place that is written to, and not of the archive.
type markWriting struct{ f *os.File }

func (m markWriting) Write(p []byte) (int, error) {
	n, err := m.f.Write(p)
	if err != nil {
		err = download.NoRoom(err, 0)
	}
	return n, err
}
