package install

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

// library writes text that fakeProbe takes for a library.
func library(t *testing.T, dir, variant, version string) string {
	t.Helper()
	path := filepath.Join(dir, "libdaguerre-"+variant+".so")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(path, []byte("library "+variant+" "+version), 0o644))
	return path
}

// TestLibraryIsThere looks at no server where a library is there.
func TestLibraryIsThere(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "lib")
	for _, c := range []struct {
		name    string
		there   func(t *testing.T, m *machine) string // returns the library
		env     bool                                  // DAGUERRE_LIBRARY names it
		option  bool                                  // Options.Library names it
		o       Options
		fetched bool
		says    string // of notes and warnings
	}{
		{"in the data folder", func(t *testing.T, m *machine) string { return library(t, m.dir(), "cpu", Version) }, false, false, Options{},
			false, "is there: variant cpu, version " + Version},
		{"elsewhere", func(t *testing.T, m *machine) string {
			m.found = []string{elsewhere}
			return library(t, elsewhere, "cpu", Version)
		}, false, false, Options{}, false, "is there"},
		{"the environment names it", func(t *testing.T, _ *machine) string { return library(t, t.TempDir(), "cpu", Version) }, true, false,
			Options{}, false, "is there"},
		{"the caller names it", func(t *testing.T, _ *machine) string { return library(t, t.TempDir(), "cpu", Version) }, false, true,
			Options{}, false, "is there"},
		{"the named one is of another version", func(t *testing.T, _ *machine) string { return library(t, t.TempDir(), "cpu", "0.0.1") },
			false, true, Options{}, false, "is version 0.0.1, and version " + Version + " is expected; Library names it, so it is used"},
		{"of another version", func(t *testing.T, m *machine) string { return library(t, m.dir(), "cpu", "0.0.1") }, false, false, Options{},
			true, "is version 0.0.1; version " + Version + " is needed"},
		{"of another version, found first", func(t *testing.T, m *machine) string {
			m.found = []string{elsewhere}
			return library(t, elsewhere, "cpu", "0.0.1")
		}, false, false, Options{}, true, "is found before the library that was installed; remove it, or set DAGUERRE_LIBRARY="},
		{"another variant", func(t *testing.T, m *machine) string { return library(t, m.dir(), "vulkan", Version) }, false, false,
			Options{Variant: "cpu"}, true, "taking the variant cpu: it was asked for"},
		{"force", func(t *testing.T, m *machine) string { return library(t, m.dir(), "cpu", Version) }, false, false, Options{Force: true},
			true, "taking the variant cpu"},
		{"force beside a named one", func(t *testing.T, _ *machine) string { return library(t, t.TempDir(), "cpu", Version) }, true, false,
			Options{Force: true}, true, "programs go on loading what DAGUERRE_LIBRARY names"},
		{"a GPU is here", func(t *testing.T, m *machine) string {
			m.host = nvidia
			return library(t, m.dir(), "cpu", Version)
		}, false, false, Options{}, false, "this library computes on the CPU; the variant cuda is for that"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, m := serve(t, newRelease(t, "cpu")), newMachine(t)
			path := c.there(t, m)
			if c.env {
				t.Setenv(native.EnvLibrary, path)
				m.found = []string{filepath.Dir(path)}
			}
			o := c.o
			o.URL, o.PublicKey = s.URL, s.release.public
			if c.option {
				o.Library = filepath.Dir(path)
			}
			var told []string
			o.Note = func(text string) { told = append(told, text) }
			result, err := m.ensure(t.Context(), o)
			require.NoError(t, err)
			assert.Equal(t, c.fetched, result.Installed)
			assert.Contains(t, strings.Join(append(result.Notes, result.Warnings...), "\n"), c.says)
			assert.Equal(t, result.Notes, told)
			if c.fetched {
				assert.Equal(t, filepath.Join(m.dir(), "libdaguerre-cpu.so"), result.Library)
			} else {
				assert.Equal(t, path, result.Library)
				assert.Empty(t, s.count, "nobody asked the server")
			}
		})
	}
}

// TestNamedLibraryThatFails does not install what nobody would look at.
func TestNamedLibraryThatFails(t *testing.T) {
	s, m := serve(t, newRelease(t, "cpu")), newMachine(t)
	o := s.options()
	o.Library = filepath.Join(t.TempDir(), "none.so")
	_, err := m.ensure(t.Context(), o)
	require.ErrorIs(t, err, native.ErrNoLibrary)
	assert.ErrorContains(t, err, "Library names a library that does not work, and nothing else would be looked at")
	assert.Empty(t, s.count)
	assert.Empty(t, m.left(t))
}

// TestVariants chooses by what drivers are here, what is published, and what works.
func TestVariants(t *testing.T) {
	for _, c := range []struct {
		name      string
		host      host
		published string
		o         Options
		change    func(t *testing.T, r *release)
		want      string // "": an error
		says      string
	}{
		{"no GPU", plainHost, "cpu vulkan cuda", Options{}, nil, "cpu", "no driver of a GPU is here: there is no Vulkan loader"},
		{"NVIDIA", nvidia, "cpu vulkan cuda", Options{Variant: "auto"}, nil, "cuda", "taking the variant cuda: NVIDIA's driver is here"},
		{"NVIDIA, no CUDA archive", nvidia, "cpu vulkan", Options{}, nil, "vulkan", "SHA256SUMS has no " + archiveName("cuda")},
		{"NVIDIA, CPU only", nvidia, "cpu", Options{}, nil, "cpu", "taking the variant cpu: every machine can use it"},
		{"AMD", amd, "cpu vulkan cuda", Options{}, nil, "vulkan", "taking the variant vulkan: a Vulkan driver and a GPU are here"},
		{"asked for", nvidia, "cpu vulkan cuda", Options{Variant: "cpu"}, nil, "cpu", "taking the variant cpu: it was asked for"},
		{"asked for without a driver", plainHost, "cpu vulkan", Options{Variant: "vulkan"}, nil, "vulkan", "it was asked for"},
		{"asked for, not published", amd, "cpu", Options{Variant: "vulkan"}, nil, "",
			"there is no archive of version " + Version + " for "},
		{"the GPU's library does not work here", amd, "cpu vulkan", Options{}, func(t *testing.T, r *release) {
			items := usual("vulkan")
			items[2].text = "needs a newer libc"
			r.with(archiveName("vulkan"), tarGz(t, items...))
		}, "cpu", "variant vulkan cannot be taken: the library of "},
		{"the one that was asked for does not work here", amd, "cpu vulkan", Options{Variant: "vulkan"}, func(t *testing.T, r *release) {
			items := usual("vulkan")
			items[2].text = "needs a newer libc"
			r.with(archiveName("vulkan"), tarGz(t, items...))
		}, "", "does not work on this machine, and was not installed:\n  libdaguerre-vulkan.so: dlopen failed"},
		{"the archive holds another version", plainHost, "cpu", Options{}, func(t *testing.T, r *release) {
			items := usual("cpu")
			items[2].text = "library cpu 0.0.1"
			r.with(archiveName("cpu"), tarGz(t, items...))
		}, "", "holds a library of version 0.0.1, and version " + Version + " is needed"},
		{"the archive holds another variant", plainHost, "cpu", Options{}, func(t *testing.T, r *release) {
			r.with(archiveName("cpu"), tarGz(t, usual("vulkan")...))
		}, "", "does not work on this machine"},
		{"nothing is published", plainHost, "", Options{}, nil, "", "lists no archives"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rel := newRelease(t, strings.Fields(c.published)...)
			if c.change != nil {
				c.change(t, rel)
			}
			for place, from := range map[string]func(o *Options){"server": func(o *Options) { o.URL = serve(t, rel).URL },
				"folder": func(o *Options) { o.From = rel.folder(t) }} {
				m := newMachine(t)
				m.host = c.host
				o := c.o
				o.PublicKey = rel.public
				from(&o)
				result, err := m.ensure(t.Context(), o)
				if c.want == "" {
					require.ErrorContains(t, err, c.says, place)
					assert.Empty(t, m.left(t), place)
					continue
				}
				require.NoError(t, err, place)
				assert.Equal(t, c.want, result.Variant, place)
				assert.Equal(t, []string{Version + "/libdaguerre-" + c.want + ".so", whole[1]}, m.left(t), place)
				assert.Contains(t, strings.Join(result.Notes, "\n"), c.says, place)
			}
		})
	}
}

// TestFrom is what a user may name.
func TestFrom(t *testing.T) {
	rel := newRelease(t, "cpu")
	dir := rel.folder(t)
	put := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o644))
		return path
	}
	archive := rel.files[archiveName("cpu")]
	s := serve(t, rel)
	for _, c := range []struct {
		from string
		o    Options
		is   error
		says string
	}{
		{dir, Options{}, nil, ""},
		{dir + "/", Options{}, nil, ""},
		{"file://" + dir, Options{}, nil, ""},
		{filepath.Join(dir, archiveName("cpu")), Options{}, nil, ""},
		{s.URL + "/v" + Version, Options{}, nil, ""},
		{s.URL + "/v" + Version + "/" + archiveName("cpu") + "?token=1", Options{}, nil, ""},
		{put("renamed.tar.gz", archive), Options{}, ErrUnverified, "an archive that was renamed must have its name back"},
		{put("renamed.tar.gz", archive), Options{SHA256: sum(archive)}, nil, ""},
		{put("renamed", archive), Options{SHA256: sum(archive)}, nil, ""},
		{put(strings.Replace(archiveName("cpu"), Version, "9.9.9", 1), archive), Options{SHA256: sum(archive)}, ErrUnavailable,
			"it is version 9.9.9, and this program needs " + Version},
		{put("daguerre-"+Version+"-plan9-mips-cpu.tar.gz", archive), Options{SHA256: sum(archive)}, ErrUnavailable, "it is for plan9-mips"},
		{filepath.Join(dir, archiveName("cpu")), Options{Variant: "vulkan"}, ErrUnavailable, "it is the variant cpu, and vulkan was asked for"},
		{filepath.Join(dir, "none.tar.gz"), Options{}, ErrUnavailable, "none.tar.gz is not there; from is an archive, its folder, or an address"},
		{put("lib.so", []byte("\x7fELF")), Options{}, ErrArchive, "but a library or a program: set DAGUERRE_LIBRARY"},
		{put("empty.tar.gz", nil), Options{}, ErrArchive, "is not a .tar.gz or .zip archive"},
		{s.URL + "/elsewhere", Options{}, ErrUnavailable, "without SHA256SUMS no archive"},
		{"ftp://example.com/x", Options{}, ErrOptions, "is no address that begins with https://"},
		{"https://", Options{}, ErrOptions, "is no address"},
	} {
		m, o := newMachine(t), c.o
		o.From, o.PublicKey = c.from, rel.public
		_, err := m.ensure(t.Context(), o)
		if c.is == nil {
			require.NoError(t, err, c.from)
			assert.Equal(t, whole, m.left(t), c.from)
			continue
		}
		require.ErrorIs(t, err, c.is, c.from)
		assert.ErrorContains(t, err, c.says, c.from)
		assert.Empty(t, m.left(t), c.from)
	}
}

// TestTwoAtOnce installs from several goroutines, of which one fetches.
func TestTwoAtOnce(t *testing.T) {
	s, m := serve(t, newRelease(t, "cpu")), newMachine(t)
	var wait sync.WaitGroup
	var mu sync.Mutex
	installed := 0
	for range 6 {
		wait.Go(func() {
			result, err := m.ensure(t.Context(), s.options())
			mu.Lock()
			defer mu.Unlock()
			assert.NoError(t, err)
			assert.Equal(t, filepath.Join(m.dir(), "libdaguerre-cpu.so"), result.Library)
			if result.Installed {
				installed++
			}
		})
	}
	wait.Wait()
	assert.Equal(t, 1, installed)
	assert.Equal(t, 1, s.count[archiveName("cpu")])
}

// TestWaitingEnds cancels a call that waits for another process.
func TestWaitingEnds(t *testing.T) {
	s, m := serve(t, newRelease(t, "cpu")), newMachine(t)
	unlock, err := lockFolder(t.Context(), m.root, func() {})
	require.NoError(t, err)
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	o := s.options()
	o.Note = func(text string) {
		assert.Equal(t, "another process is installing; waiting for it", text)
		cancel()
	}
	_, err = m.ensure(ctx, o)
	require.ErrorIs(t, err, context.Canceled)
}

// TestInstalledAgain replaces what is there, and takes away what the new archive does not have and the loader might take.
func TestInstalledAgain(t *testing.T) {
	s, m := serve(t, newRelease(t, "cpu")), newMachine(t)
	o := s.options()
	_, err := m.ensure(t.Context(), o)
	require.NoError(t, err)
	first := fileIn(t, filepath.Join(m.dir(), "libdaguerre-cpu.so"))
	for _, name := range []string{"libdaguerre-cpu-avx2.so", "libdaguerre-vulkan.so", "mine.txt"} {
		require.NoError(t, os.WriteFile(filepath.Join(m.dir(), name), []byte("x"), 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(m.root, stagePrefix+"killed"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(m.root, stagePrefix+"killed", "half.so"), nil, 0o644))
	o.Force = true
	_, err = m.ensure(t.Context(), o)
	require.NoError(t, err)
	assert.ElementsMatch(t, append([]string{Version + "/libdaguerre-vulkan.so", Version + "/mine.txt"}, whole...), m.left(t))
	second := fileIn(t, filepath.Join(m.dir(), "libdaguerre-cpu.so"))
	assert.False(t, os.SameFile(first, second), "a file in use is not written to")
}

// fileIn is what a file is now. On Windows os.Stat would look again when it is compared.
func fileIn(t *testing.T, path string) os.FileInfo {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	info, err := f.Stat()
	require.NoError(t, err)
	return info
}

// TestPlacesThatCannotBeWritten names the place and the remedy.
func TestPlacesThatCannotBeWritten(t *testing.T) {
	s, m := serve(t, newRelease(t, "cpu")), newMachine(t)
	require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Dir(m.root)), 0o755))
	require.NoError(t, os.WriteFile(filepath.Dir(m.root), []byte("a file"), 0o644))
	_, err := m.ensure(t.Context(), s.options())
	require.ErrorIs(t, err, ErrWrite)
	require.ErrorContains(t, err, "the folder for libraries cannot be made: mkdir "+filepath.Dir(m.root))
	assert.ErrorContains(t, err, "XDG_DATA_HOME can name another data folder")
	assert.Empty(t, s.count, "nothing was fetched that has no place")
}

// TestOptions refuses what cannot be meant, before anything is touched.
func TestOptions(t *testing.T) {
	for _, c := range []struct {
		o    Options
		says string
	}{
		{Options{Variant: "vulcan"}, `variant "vulcan" is unknown; did you mean "vulkan"?`},
		{Options{Variant: "metal"}, "the variants are auto, cuda, vulkan, cpu"},
		{Options{SHA256: "12"}, `sha256 "12" is not a SHA-256 sum of 64 hexadecimal digits`},
		{Options{SHA256: strings.Repeat("ab", 32)}, "sha256 is the sum of one archive; say which one"},
		{Options{SHA256: strings.Repeat("ab", 32), Variant: "cpu", NoVerify: true}, "sha256 and no-verify exclude each other"},
		{Options{From: ".", URL: "https://example.com"}, "from and url exclude each other"},
		{Options{URL: "example.com"}, `url "example.com" is no address that begins with https:// or http://`},
		{Options{PublicKey: "RWx"}, `the public key "RWx" is no minisign key`},
	} {
		_, err := Ensure(t.Context(), c.o)
		require.ErrorIs(t, err, ErrOptions)
		assert.ErrorContains(t, err, c.says)
	}
	t.Setenv(EnvURL, "nowhere")
	_, err := Ensure(t.Context(), Options{})
	require.ErrorIs(t, err, ErrOptions)
	assert.ErrorContains(t, err, EnvURL)
}

// TestEnvironmentNamesTheAddress: the option is before the environment, which is before the constant.
func TestEnvironmentNamesTheAddress(t *testing.T) {
	assert.Equal(t, DefaultURL, Address())
	s := serve(t, newRelease(t, "cpu"))
	t.Setenv(EnvURL, s.URL)
	_, err := newMachine(t).ensure(t.Context(), Options{PublicKey: s.release.public})
	require.NoError(t, err)
	assert.Equal(t, 1, s.count[archiveName("cpu")])
	_, address := Options{URL: "https://example.com"}.address()
	assert.Equal(t, "https://example.com", address)
}
