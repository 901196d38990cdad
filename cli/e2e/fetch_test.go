//go:build unix

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/internal/download"
	"github.com/daguerre-go/daguerre/runtime/install"
)

// released is a folder as a release has it: one archive of what is built, its sum, and the signature of a key made for the test.
type released struct {
	dir, archive, key string
}

// envRelease names a folder with the archives of `make release`: `make test-release` tests those in place of what is built here.
const envRelease = "DAGUERRE_RELEASE"

// archiveOf is made once: it has the program and the library, as `make install` puts them.
var archiveOf = sync.OnceValues(func() (map[string][]byte, error) {
	name := fmt.Sprintf("daguerre-%s-%s-%s-cpu", install.Version, runtime.GOOS, runtime.GOARCH)
	if made := os.Getenv(envRelease); made != "" {
		data, err := os.ReadFile(filepath.Join(made, name+".tar.gz"))
		return map[string][]byte{name + ".tar.gz": data}, err
	}
	dir, err := os.MkdirTemp("", "daguerre-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("tools/install.sh", "install")
	cmd.Dir = filepath.Join(workDir, "..", "..")
	library := os.Getenv("DAGUERRE_LIBRARY")
	if library == "" {
		library = filepath.Join(cmd.Dir, "build", "cpu")
	}
	cmd.Env = append(os.Environ(), "PREFIX="+dir, "DESTDIR=", "PROGRAM="+program, "BUILD="+filepath.Dir(library))
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h, err := tar.FileInfoHeader(info, "")
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		h.Name = name + "/" + filepath.ToSlash(rel)
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = w.Write(data)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return map[string][]byte{name + ".tar.gz": b.Bytes()}, nil
})

func newReleased(t *testing.T) released {
	t.Helper()
	files, err := archiveOf()
	require.NoError(t, err)
	public, secret, err := minisign.GenerateKey(rand.Reader)
	require.NoError(t, err)
	r := released{dir: t.TempDir(), key: public.String()}
	for name, data := range files {
		r.archive = name
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, name), data, 0o644))
		sum := sha256.Sum256(data)
		sums := []byte(hex.EncodeToString(sum[:]) + "  " + name + "\n")
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, "SHA256SUMS"), sums, 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, "SHA256SUMS.minisig"), minisign.Sign(secret, sums), 0o644))
	}
	return r
}

// nothing is an environment without any program on PATH.
var nothing = []string{"PATH=/nonexistent"}

// shows makes sure that a picture shows what demo is asked for.
func shows(t *testing.T, file string) {
	t.Helper()
	img, _ := readPNG(t, file)
	score, err := checker.Score(img, "a red circle on a blue background")
	require.NoError(t, err)
	assert.True(t, score.OK(), "it shows %+v", score.Found)
}

// TestFromNothing is a newcomer with an empty home and no program on PATH: an archive, then a picture.
func TestFromNothing(t *testing.T) {
	r := newReleased(t)
	unpacked := t.TempDir()
	out, err := exec.Command("tar", "-xzf", filepath.Join(r.dir, r.archive), "-C", unpacked).CombinedOutput()
	require.NoError(t, err, "%s", out)
	itsProgram := filepath.Join(unpacked, strings.TrimSuffix(r.archive, ".tar.gz"), "bin", "daguerre")
	t.Run("unpacked", func(t *testing.T) {
		home := t.TempDir()
		began := time.Now()
		got := bare(t, home, nothing, itsProgram, "demo")
		require.Equal(t, 0, got.code, got.stderr)
		assert.Less(t, time.Since(began), time.Minute)
		shows(t, filepath.Join(home, "demo.png"))
	})
	t.Run("installed", func(t *testing.T) {
		home := t.TempDir()
		moved := filepath.Join(home, "daguerre")
		copyFile(t, itsProgram, moved, 0o755)
		began := time.Now()
		got := bare(t, home, nothing, moved, "install", "--from", filepath.Join(r.dir, r.archive), "--public-key", r.key)
		require.Equal(t, 0, got.code, got.stderr)
		folder := filepath.Join(home, ".local", "share", "daguerre", "lib", install.Version)
		library, _, _ := strings.Cut(got.stdout, "  ")
		assert.Equal(t, folder, filepath.Dir(library))
		assert.Regexp(t, `^libdaguerre-cpu(-[a-z0-9]+)?\.so$`, filepath.Base(library)) // a release has one for each level of CPUs
		assert.Contains(t, got.stderr, "installed "+library+": variant cpu, version "+install.Version)
		got = bare(t, home, nothing, moved, "demo")
		require.Equal(t, 0, got.code, got.stderr)
		assert.Less(t, time.Since(began), time.Minute)
		shows(t, filepath.Join(home, "demo.png"))

		got = bare(t, home, nothing, moved, "doctor")
		require.Equal(t, 0, got.code, got.stdout)
		assert.Contains(t, got.stdout, "+ "+library+" (user's data): loaded")
		got = bare(t, home, nothing, moved, "install")
		require.Equal(t, 0, got.code, got.stderr)
		assert.Contains(t, got.stderr, library+" is there: variant cpu")
		got = bare(t, home, nothing, moved, "install", "--list")
		require.Equal(t, 0, got.code, got.stderr)
		assert.Regexp(t, `(?m)^`+install.Version+` \(this program's\)  cpu[, a-z]* .*`+folder, got.stdout)
		old := filepath.Join(filepath.Dir(folder), "0.0.1")
		copyFile(t, library, filepath.Join(old, "libdaguerre-cpu.so"), 0o644)
		got = bare(t, home, nothing, moved, "install", "--prune")
		require.Equal(t, 0, got.code, got.stderr)
		assert.Contains(t, got.stdout, "removed "+old+": version 0.0.1")
		assert.NoDirExists(t, old)
		licences := filepath.Join(folder, "licenses")
		assert.Greater(t, len(list(t, licences)), 2)
	})
}

// TestInstallEnds is how install ends where it cannot install: the exit code, what is said, and that nothing stays.
func TestInstallEnds(t *testing.T) {
	r := newReleased(t)
	archive := filepath.Join(r.dir, r.archive)
	lonely := filepath.Join(t.TempDir(), r.archive)
	copyFile(t, archive, lonely, 0o644)
	data, err := os.ReadFile(archive)
	require.NoError(t, err)
	sum := sha256.Sum256(data)
	refuses := httptest.NewServer(http.NotFoundHandler())
	defer refuses.Close()
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no signature of the project", []string{"--from", archive}, 3, "the signature is wrong"},
		{"an archive alone", []string{"--from", lonely}, 3, "give the archive's sum (sha256) if you know it, or copy SHA256SUMS"},
		{"an archive alone with its sum", []string{"--from", lonely, "--sha256", hex.EncodeToString(sum[:])}, 0, "installed"},
		{"an archive alone without looking", []string{"--from", lonely, "--no-verify"}, 0,
			"warning: nobody's signature was looked at, as you asked"},
		{"no such file", []string{"--from", "none.tar.gz"}, 3, "none.tar.gz is not there"},
		{"a mirror that has nothing", []string{"--url", refuses.URL}, 3, `the server answers "404 Not Found"`},
		{"a mirror that is not there", []string{"--url", "http://127.0.0.1:1"}, 1, "connection refused"},
		{"an unknown variant", []string{"--variant", "vulcan"}, 2, `did you mean "vulkan"?`},
		{"two places", []string{"--url", refuses.URL, "--from", archive}, 2, "from and url exclude each other"},
		{"an argument", []string{archive}, 2, "name an archive with --from"},
		{"list and prune", []string{"--list", "--prune"}, 2, "--list and --prune exclude each other"},
		{"list of what", []string{"--list", "--variant", "cpu"}, 2, "--variant says what to install, and --list installs nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := t.TempDir()
			moved := filepath.Join(home, "daguerre")
			copyFile(t, program, moved, 0o755)
			got := bare(t, home, nothing, moved, append([]string{"install"}, c.args...)...)
			assert.Equal(t, c.code, got.code, got.stderr)
			assert.Contains(t, got.stderr, c.says)
			if c.code != 0 {
				assert.Empty(t, got.stdout)
				assert.Empty(t, librariesBelow(t, home))
			}
		})
	}
}

// librariesBelow lists the libraries below a home.
func librariesBelow(t *testing.T, home string) (found []string) {
	t.Helper()
	for _, f := range filesBelow(t, home) {
		if strings.Contains(filepath.Base(f), "libdaguerre") || strings.Contains(f, ".new-") {
			found = append(found, f)
		}
	}
	return found
}

// TestInstallWithoutRoom installs into a folder that may not be written to, and under a limit on the size of files.
func TestInstallWithoutRoom(t *testing.T) {
	r := newReleased(t)
	t.Run("no permission", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "daguerre-perm-") // t.TempDir's parents are closed to other users
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		require.NoError(t, os.CopyFS(filepath.Join(dir, "release"), os.DirFS(r.dir)))
		home := filepath.Join(dir, "home")
		require.NoError(t, os.Mkdir(home, 0o555))
		require.NoError(t, os.Chmod(dir, 0o755))
		cmd := exec.CommandContext(t.Context(), program, "install", "--from", filepath.Join(dir, "release"), "--public-key", r.key)
		cmd.Dir, cmd.Env = dir, append([]string{"HOME=" + home}, nothing...)
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		got := finish(t, cmd)
		assert.Equal(t, 1, got.code, got.stderr)
		assert.Contains(t, got.stderr, "the folder for libraries cannot be made: mkdir "+home+"/.local: permission denied; "+
			"XDG_DATA_HOME can name another data folder")
	})
	t.Run("limit", func(t *testing.T) {
		home := t.TempDir()
		bash, err := exec.LookPath("bash")
		require.NoError(t, err)
		moved := filepath.Join(home, "daguerre")
		copyFile(t, program, moved, 0o755)
		got := bare(t, home, nothing, bash, "-c", `ulimit -f 1000; exec "$0" "$@"`, moved, "install", "--from", r.dir, "--public-key", r.key)
		assert.Equal(t, 1, got.code, got.stderr)
		assert.Contains(t, got.stderr, "file too large")
		assert.Empty(t, librariesBelow(t, home))
	})
}

// TestInstallProcesses installs with several processes at once, and goes on with what a killed one began.
func TestInstallProcesses(t *testing.T) {
	r := newReleased(t)
	files := http.StripPrefix("/v"+install.Version+"/", http.FileServer(http.Dir(r.dir)))
	var asked atomic.Int64
	var hang atomic.Bool
	var ranges sync.Map
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasSuffix(req.URL.Path, ".tar.gz") {
			ranges.Store(asked.Add(1), req.Header.Get("Range"))
			if hang.Load() {
				data, _ := os.ReadFile(filepath.Join(r.dir, r.archive)) // the client's failure tells
				info, _ := os.Stat(filepath.Join(r.dir, r.archive))
				w.Header().Set("Last-Modified", info.ModTime().UTC().Format(http.TimeFormat))
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				_, _ = w.Write(data[:1<<20])
				w.(http.Flusher).Flush()
				<-req.Context().Done()
				return
			}
		}
		files.ServeHTTP(w, req)
	}))
	defer server.Close()
	home := t.TempDir()
	moved := filepath.Join(home, "daguerre")
	copyFile(t, program, moved, 0o755)
	args := []string{"install", "--url", server.URL, "--public-key", r.key, "--json"}

	hang.Store(true)
	first := exec.CommandContext(t.Context(), moved, args...)
	first.Dir, first.Env = home, append([]string{"HOME=" + home}, nothing...)
	require.NoError(t, first.Start())
	part := filepath.Join(home, ".local", "share", "daguerre", "lib", ".download", r.archive+".part")
	require.Eventually(t, func() bool { return download.Have(part) > 0 }, time.Minute, 20*time.Millisecond)
	require.NoError(t, first.Process.Kill())
	_ = first.Wait()            // it was killed
	have := download.Have(part) // noted now and then, so that a killed process loses some of what came
	hang.Store(false)

	var wait sync.WaitGroup
	installed := atomic.Int64{}
	for range 4 {
		wait.Go(func() {
			got := bare(t, home, nothing, moved, args...)
			if !assert.Equal(t, 0, got.code, got.stderr) {
				return
			}
			for _, e := range events(t, got.stdout) {
				if result, ok := e["result"].(map[string]any); ok && result["installed"] == true {
					installed.Add(1)
					assert.Equal(t, "signature", result["verified"])
				}
			}
		})
	}
	wait.Wait()
	assert.Equal(t, int64(1), installed.Load(), "one process installs, the others find it there")
	assert.Equal(t, int64(2), asked.Load())
	last, _ := ranges.Load(int64(2))
	assert.Equal(t, fmt.Sprintf("bytes=%d-", have), last)
	assert.NoDirExists(t, filepath.Dir(part))
	got := bare(t, home, nothing, moved, "demo")
	require.Equal(t, 0, got.code, got.stderr)
	shows(t, filepath.Join(home, "demo.png"))
}

// TestEnsureInANewModule puts the lines of docs/install.md into the README's program. It needs Go to be compiled, and nothing to run: it
// fetches the library into an empty home.
func TestEnsureInANewModule(t *testing.T) {
	r := newReleased(t)
	page, err := os.ReadFile("../../docs/install.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(page), "<!-- ensure: begin -->\n```go\n")
	require.True(t, ok)
	lines, _, ok := strings.Cut(rest, "```\n<!-- ensure: end -->\n")
	require.True(t, ok)
	lines = swapped(t, lines, "install.Options{}", "install.Options{From: os.Args[1], PublicKey: os.Args[2]}")
	source := readmeBlock(t)
	source = swapped(t, source, "ctx := context.Background()\n", "ctx := context.Background()\n"+lines)
	const imports = "import (\n"
	source = swapped(t, source, imports, imports+"\t\"github.com/daguerre-go/daguerre/runtime/install\"\n")
	m := newModule(t, source)

	got := m.picture(nothing, filepath.Join(r.dir, "none.tar.gz"), r.key)
	assert.Equal(t, 1, got.code)
	assert.Contains(t, got.stderr, "none.tar.gz is not there")
	assert.NoFileExists(t, filepath.Join(m.home, "circle.png"))
	for _, from := range []string{filepath.Join(r.dir, r.archive), filepath.Join(r.dir, "none.tar.gz")} { // the second time nothing is fetched
		got = m.picture(nothing, from, r.key)
		require.Equal(t, 0, got.code, got.stderr)
		assert.Contains(t, got.stderr, "the library is "+filepath.Join(m.home, ".local", "share", "daguerre", "lib", install.Version))
		m.circle()
	}
}

// swapped replaces a part of a text that must be there once.
func swapped(t *testing.T, text, old, with string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(text, old), old)
	return strings.Replace(text, old, with, 1)
}
