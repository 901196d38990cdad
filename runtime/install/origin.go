package install

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/internal/download"
	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/internal/words"
)

// origin is where archives lie: a folder, or a server.
type origin interface {
	// read returns a small file. ErrUnavailable: it is not there.
	read(ctx context.Context, name string, most int64) ([]byte, error)
	// archive makes an archive a local file, in the folder parts if it must be downloaded. ErrUnavailable: it is not there.
	archive(ctx context.Context, name, parts string, progress func(Progress)) (local string, err error)
	// forget deletes what was downloaded, and reports whether it came in pieces: then a second try may bring another file.
	forget() (pieces bool)
	// only is the name of the one archive that was asked for; "": the best of several.
	only() string
	// place names a file for people.
	place(name string) string
	// hint completes the sentence of what to do if SHA256SUMS is not there.
	hint() string
}

// origin is where the options say that archives lie. It touches no file that it need not.
func (o Options) origin(progress func(string)) (origin, error) {
	if o.From == "" {
		u, err := serverURL(o.address())
		if err != nil {
			return nil, err
		}
		return &server{base: u.JoinPath("v" + Version), client: o.client(), note: progress}, nil
	}
	if isAddress(o.From) {
		u, err := serverURL("from", o.From)
		if err != nil {
			return nil, err
		}
		s := &server{base: u, client: o.client(), note: progress}
		if isArchiveName(u.Path) {
			s.name = path.Base(u.Path)
			s.base = u.JoinPath("..")
			s.base.Path = strings.TrimSuffix(s.base.Path, "/")
		}
		return s, nil
	}
	return localOrigin(strings.TrimPrefix(o.From, "file://"))
}

// isAddress tells an address of a server from the path of a file.
func isAddress(from string) bool {
	return strings.Contains(from, "://") && !strings.HasPrefix(from, "file://")
}

func isArchiveName(name string) bool {
	return strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz") || strings.HasSuffix(name, ".zip")
}

func serverURL(option, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, optionError("%s %q is no address that begins with https:// or http://", option, words.Clip(text))
	}
	return u, nil
}

// localOrigin is a folder, or one archive in it.
func localOrigin(name string) (origin, error) {
	st, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, failed(ErrUnavailable, "%s is not there; from is an archive, its folder, or an address that begins with https://", name)
	case err != nil:
		return nil, err
	case st.IsDir():
		return &folder{dir: name}, nil
	}
	f, _, err := regular.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 4)
	n, _ := f.Read(head) // a short file is no archive, as is one that cannot be read
	if kindOf(head[:n]) == "" {
		what := "a .tar.gz or .zip archive"
		if string(head[:n]) == "\x7fELF" || string(head[:min(n, 2)]) == "MZ" {
			what += ", but a library or a program: set DAGUERRE_LIBRARY to a library, or put it into the user's data folder"
		}
		return nil, failed(ErrArchive, "%s is not %s", name, what)
	}
	return &folder{dir: filepath.Dir(name), name: filepath.Base(name)}, nil
}

// folder is a folder of this machine.
type folder struct {
	dir, name string
}

func (f *folder) only() string             { return f.name }
func (f *folder) place(name string) string { return filepath.Join(f.dir, name) }
func (f *folder) forget() bool             { return false }

func (f *folder) hint() string {
	return ", or copy " + sumsName + " and " + signatureName + " of the release beside it"
}

func (f *folder) read(_ context.Context, name string, most int64) ([]byte, error) {
	data, err := regular.ReadFile(f.place(name), most)
	return data, unavailable(f.place(name), err)
}

func (f *folder) archive(_ context.Context, name, _ string, _ func(Progress)) (string, error) {
	file, _, err := regular.Open(f.place(name))
	if err != nil {
		return "", unavailable(f.place(name), err)
	}
	return f.place(name), file.Close()
}

// unavailable makes the error of a file that does not exist ErrUnavailable.
func unavailable(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return failed(ErrUnavailable, "%s is not there", name)
	}
	return err
}

// server is a folder behind an address.
type server struct {
	base   *url.URL
	name   string
	client *http.Client
	note   func(string)
	last   *download.File // of an archive
}

func (s *server) only() string { return s.name }

// place shows an address without passwords and tokens.
func (s *server) place(name string) string { return download.Shown(s.base.JoinPath(name)) }

func (s *server) hint() string { return "" }

func (s *server) download(name, parts string, most int64) *download.File {
	d := newDownload(s.client, s.base.JoinPath(name), filepath.Join(parts, name+".part"), most)
	d.Note = s.note
	return d
}

func (s *server) archive(ctx context.Context, name, parts string, progress func(Progress)) (string, error) {
	s.last = s.download(name, parts, 0)
	s.last.Progress = progress
	return s.last.Part, s.last.Run(ctx)
}

func (s *server) forget() bool {
	s.last.Discard()
	return s.last.Pieces()
}

func (s *server) read(ctx context.Context, name string, most int64) ([]byte, error) {
	dir, err := os.MkdirTemp("", "daguerre-install-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	d := s.download(name, dir, most)
	if err := d.Run(ctx); err != nil {
		return nil, err
	}
	return os.ReadFile(d.Part)
}
