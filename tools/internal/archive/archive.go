// Package archive writes archives whose bytes depend on the files in them alone.
package archive

import (
	"archive/tar"
	"archive/zip"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Pack writes a folder as an archive of one top folder, by the archive's extension. Names are sorted, owners are 0, files are 644 or 755,
// and everything is of the given time: nothing of this machine is in it.
func Pack(archive, folder string, at time.Time) error {
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return err
	}
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	to := tarTo
	if strings.HasSuffix(archive, ".zip") {
		to = zipTo
	}
	return errors.Join(to(f, folder, at), f.Close())
}

// each calls add for all that is below a folder, the folder itself first, in the order of names.
func each(folder string, add func(name string, info fs.FileInfo, path string) error) error {
	return filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !e.IsDir() && !e.Type().IsRegular() {
			return fmt.Errorf("%s is neither a folder nor a file", path)
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		below, err := filepath.Rel(filepath.Dir(folder), path)
		if err != nil {
			return err
		}
		return add(filepath.ToSlash(below), info, path)
	})
}

// mode keeps of a file's mode only whether it may be run.
func mode(info fs.FileInfo) fs.FileMode {
	if info.IsDir() || info.Mode()&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

func tarTo(w io.Writer, folder string, at time.Time) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	err = each(folder, func(name string, info fs.FileInfo, path string) error {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: int64(mode(info)), ModTime: at, Format: tar.FormatPAX}
		if info.IsDir() {
			h.Typeflag, h.Name, h.Size = tar.TypeDir, name+"/", 0
		}
		if err := t.WriteHeader(h); err != nil || info.IsDir() {
			return err
		}
		return copyFrom(t, path)
	})
	return errors.Join(err, t.Close(), z.Close())
}

func zipTo(w io.Writer, folder string, at time.Time) error {
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) { return flate.NewWriter(out, flate.BestCompression) })
	err := each(folder, func(name string, info fs.FileInfo, path string) error {
		h := &zip.FileHeader{Name: name, Modified: at, Method: zip.Deflate}
		h.SetMode(mode(info))
		if info.IsDir() {
			h.Name += "/"
			h.Method = zip.Store
			h.SetMode(mode(info) | fs.ModeDir)
		}
		entry, err := z.CreateHeader(h)
		if err != nil || info.IsDir() {
			return err
		}
		return copyFrom(entry, path)
	})
	return errors.Join(err, z.Close())
}

func copyFrom(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}
