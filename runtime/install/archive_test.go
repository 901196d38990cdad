package install

import (
	"archive/tar"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestArchives is what archives hold, and which are refused. A signature does not make an archive safe, so that all of these are signed.
func TestArchives(t *testing.T) {
	top := folderOf("cpu")
	lib := top + "/lib/daguerre/"
	good := usual("cpu")
	small := limits{entries: 10, file: 300_000, total: 400_000}
	for _, c := range []struct {
		name  string
		items []item
		says  string // "": it is taken
		only  string // "tar" or "zip"
	}{
		{"as released", good, "", ""},
		{"with ./ before names", append([]item{{name: "./", flag: tar.TypeDir}, {name: "./" + top + "/", flag: tar.TypeDir}}, good...), "",
			"tar"},
		{"a comment of git archive", append([]item{{name: "pax_global_header", flag: tar.TypeXGlobalHeader}}, good...), "", "tar"},
		{"another top folder", []item{{name: "x/lib/daguerre/libdaguerre-cpu.so", text: good[2].text}, good[3]}, "", ""},
		{"out by ..", append(good, item{name: "../evil.so", text: "x"}), `../evil.so" leads out of the archive's folder`, ""},
		{"out by .. within", append(good, item{name: lib + "../../../../evil", text: "x"}), "leads out of the archive's folder", ""},
		{"out by root", append(good, item{name: "/etc/evil", text: "x"}), "leads out of the archive's folder", ""},
		{"out by a backslash", append(good, item{name: `..\..\evil.dll`, text: "x"}), "leads out of the archive's folder", ""},
		{"out by a drive", append(good, item{name: `C:/evil.dll`, text: "x"}), "leads out of the archive's folder", ""},
		{"a symbolic link", append(good, item{name: lib + "x.so", flag: tar.TypeSymlink, link: "/etc/passwd"}), "is a symbolic link; only",
			""},
		{"a link outside of the library", append(good, item{name: top + "/bin/x", flag: tar.TypeSymlink, link: "/"}), "is a symbolic link",
			""},
		{"a hard link", append(good, item{name: lib + "x.so", flag: tar.TypeLink, link: "/etc/passwd"}), "is a hard link; only files", "tar"},
		{"a pipe", append(good, item{name: lib + "x.so", flag: tar.TypeFifo}), "is a named pipe; only files", ""},
		{"a device", append(good, item{name: lib + "x.so", flag: tar.TypeChar}), "is a device; only files", "tar"},
		{"a folder in the place of a library", append(good, item{name: lib + "x.so/", flag: tar.TypeDir}), "is a folder, where only files", ""},
		{"a hidden file", append(good, item{name: lib + ".lock", text: "x"}), "is no name of a file of a release", ""},
		{"the same file twice", append(good, good[2]), "twice", ""},
		{"the same file in capitals", append(good, item{name: lib + "LIBDAGUERRE-CPU.SO", text: "x"}), "twice", ""},
		{"a bomb", append(good, item{name: top + "/x", text: strings.Repeat("0", 400_000)}), "unpacks to more than 390.6 KiB", ""},
		{"a large library", []item{{name: lib + "libdaguerre-cpu.so", text: strings.Repeat("0", 300_001)}}, "unpacks to more than 293.0 KiB", ""},
		{"many files", append(good, make10(top)...), "holds more than 10 files", ""},
		{"no library", []item{{name: top + "/bin/daguerre", text: "x"}, good[3]}, "holds no library", ""},
		{"nothing", nil, "", ""},
	} {
		for kind, make := range map[string]func(*testing.T, ...item) []byte{"tar": tarGz, "zip": zipped} {
			if c.only != "" && c.only != kind {
				continue
			}
			t.Run(c.name+"/"+kind, func(t *testing.T) {
				m := newMachine(t)
				m.limit = small
				rel := newRelease(t, "cpu").with(archiveName("cpu"), make(t, c.items...))
				result, err := m.ensure(t.Context(), Options{From: rel.folder(t), PublicKey: rel.public})
				if c.name == "nothing" {
					c.says = "holds no library"
					if kind == "zip" { // an empty zip begins otherwise
						c.says = "is neither a .tar.gz nor a .zip archive"
					}
				}
				if c.says == "" {
					require.NoError(t, err)
					assert.Equal(t, whole, m.left(t))
					data, err := os.ReadFile(result.Library)
					require.NoError(t, err)
					assert.Equal(t, good[2].text, string(data))
					return
				}
				require.ErrorIs(t, err, ErrArchive)
				assert.ErrorContains(t, err, c.says)
				assert.Empty(t, m.left(t), "nothing stays")
				assert.Empty(t, outside(t, m), "nothing lies outside")
			})
		}
	}
}

func make10(top string) (items []item) {
	for i := range 10 {
		items = append(items, item{name: fmt.Sprintf("%s/%d", top, i), text: "x"})
	}
	return items
}

// outside lists what lies beside the folder of libraries.
func outside(t *testing.T, m *machine) (names []string) {
	t.Helper()
	base := filepath.Dir(filepath.Dir(m.root))
	for dir, but := range map[string]string{base: "daguerre", filepath.Dir(m.root): "lib"} {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			if e.Name() != but {
				names = append(names, e.Name())
			}
		}
	}
	return names
}

// TestDamagedArchives cuts and changes an archive at many places. None makes a library that is not the released one.
func TestDamagedArchives(t *testing.T) {
	for kind, make := range map[string]func(*testing.T, ...item) []byte{"tar": tarGz, "zip": zipped} {
		data := make(t, usual("cpu")...)
		for i := range 16 {
			at := i * len(data) / 16
			changed := append([]byte{}, data...)
			changed[at] ^= 0x55
			for name, bad := range map[string][]byte{"cut": data[:at], "changed": changed} {
				m := newMachine(t)
				rel := newRelease(t, "cpu").with(archiveName("cpu"), bad)
				result, err := m.ensure(t.Context(), Options{From: rel.folder(t), PublicKey: rel.public})
				if err != nil {
					assert.Empty(t, m.left(t), "%s, %s at %d: %v", kind, name, at, err)
					continue
				}
				// A byte of a header that nothing depends on, such as a time.
				have, err := os.ReadFile(result.Library)
				require.NoError(t, err)
				assert.True(t, name == "changed" && strings.HasPrefix(string(have), "library cpu "), "%s, %s at %d", kind, name, at)
			}
		}
	}
}

func FuzzUnpack(f *testing.F) {
	t := &testing.T{}
	f.Add(tarGz(t, usual("cpu")...))
	f.Add(zipped(t, usual("cpu")...))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, "archive")
		require.NoError(t, os.WriteFile(file, data, 0o600))
		require.NoError(t, os.Mkdir(filepath.Join(dir, "into"), 0o755))
		into, err := os.OpenRoot(filepath.Join(dir, "into"))
		require.NoError(t, err)
		defer into.Close()
		files, err := unpack(t.Context(), file, into, limits{entries: 100, file: 1 << 20, total: 1 << 20}, nil)
		entries, _ := os.ReadDir(dir)
		require.Len(t, entries, 2, "nothing lies outside")
		if err == nil {
			require.NotEmpty(t, files)
		}
	})
}
