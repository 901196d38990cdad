package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// built is the folder that holds the library under test.
func built(t *testing.T) string {
	t.Helper()
	path := os.Getenv("DAGUERRE_LIBRARY")
	if path == "" {
		path = filepath.Join(workDir, "..", "..", "build", "cpu")
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		path = filepath.Dir(path)
	}
	require.FileExists(t, filepath.Join(path, "libdaguerre-cpu.so"), "run `make` first")
	return path
}

// bare runs a command with nothing of this environment but a home, outside the source tree.
func bare(t *testing.T, home string, env []string, name string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = home
	cmd.Env = append([]string{"HOME=" + home, "PATH=/usr/bin:/bin"}, env...)
	return finish(t, cmd)
}

// makeTarget runs make in the source tree, with this program in the place of bin/daguerre.
func makeTarget(t *testing.T, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", append([]string{"--no-print-directory"}, args...)...)
	cmd.Dir = filepath.Join(workDir, "..", "..")
	for _, v := range os.Environ() { // these tests may run within make
		if !strings.HasPrefix(v, "MAKE") && !strings.HasPrefix(v, "MFLAGS=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "PROGRAM="+program, "BUILD="+filepath.Dir(built(t)))
	return finish(t, cmd)
}

// filesBelow lists the files below a folder, by their paths from it.
func filesBelow(t *testing.T, dir string) (files []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, err := filepath.Rel(dir, path)
			files = append(files, rel)
			return err
		}
		return err
	}))
	return files
}

// TestInstall installs into an empty folder, makes a picture with what is there and nothing else, and removes it again.
func TestInstall(t *testing.T) {
	dest, prefix := t.TempDir(), t.TempDir()
	for _, c := range []struct {
		root string
		args []string
	}{
		{filepath.Join(dest, "usr", "local"), []string{"DESTDIR=" + dest}},
		{prefix, []string{"PREFIX=" + prefix}},
	} {
		root, args := c.root, c.args
		foreign := filepath.Join(root, "lib", "daguerre", "mine.txt")
		require.NoError(t, os.MkdirAll(filepath.Dir(foreign), 0o755))
		require.NoError(t, os.WriteFile(foreign, nil, 0o600))

		r := makeTarget(t, append(args, "install")...)
		require.Equal(t, 0, r.code, r.stdout+r.stderr)
		files := filesBelow(t, root)
		for _, want := range []string{"bin/daguerre", "lib/daguerre/libdaguerre-cpu.so", "share/licenses/daguerre/LICENSE",
			"share/licenses/daguerre/NOTICE", "share/licenses/daguerre/ggml.LICENSE", "share/licenses/daguerre/stable-diffusion.cpp.LICENSE",
			"share/man/man1/daguerre.1", "share/man/man1/daguerre-models-convert.1", "share/bash-completion/completions/daguerre",
			"share/zsh/site-functions/_daguerre", "share/fish/vendor_completions.d/daguerre.fish", "share/daguerre/daguerre.ps1"} {
			assert.Contains(t, files, want)
			info, err := os.Stat(filepath.Join(root, want))
			require.NoError(t, err)
			assert.NotZero(t, info.Size(), want)
			assert.Equal(t, want == "bin/daguerre", info.Mode()&0o111 != 0, "%s: %v", want, info.Mode())
			assert.NotZero(t, info.Mode()&0o004, "%s: everybody may read it", want)
		}

		home := t.TempDir()
		installed := filepath.Join(root, "bin", "daguerre")
		r = bare(t, home, nil, installed, "demo", "-o", "demo.png")
		require.Equal(t, 0, r.code, r.stderr)
		img, _ := readPNG(t, filepath.Join(home, "demo.png"))
		assert.Equal(t, 128, img.Bounds().Dx())
		r = bare(t, home, nil, installed, "doctor")
		require.Equal(t, 0, r.code, r.stdout)
		library := filepath.Join(root, "lib", "daguerre", "libdaguerre-cpu.so")
		assert.Contains(t, r.stdout, "+ "+library+" (lib/daguerre beside bin): loaded")

		// Installed again, files that an older version had go away.
		list := filepath.Join(root, "share", "daguerre", "installed")
		old := filepath.Join(root, "share", "man", "man1", "daguerre-old.1")
		require.NoError(t, os.WriteFile(old, nil, 0o600))
		data, err := os.ReadFile(list)
		require.NoError(t, err)
		outside := filepath.Join(filepath.Dir(root), "outside")
		require.NoError(t, os.WriteFile(outside, nil, 0o600))
		more := "share/man/man1/daguerre-old.1\n../outside\n" + outside + "\n"
		require.NoError(t, os.WriteFile(list, append(data, more...), 0o600))
		r = makeTarget(t, append(args, "install")...)
		require.Equal(t, 0, r.code, r.stdout+r.stderr)
		assert.NoFileExists(t, old)
		assert.FileExists(t, outside, "the list reaches nothing outside")
		assert.ElementsMatch(t, files, filesBelow(t, root))

		r = makeTarget(t, append(args, "uninstall")...)
		require.Equal(t, 0, r.code, r.stdout+r.stderr)
		assert.Equal(t, []string{"lib/daguerre/mine.txt"}, filesBelow(t, root), "what is not ours stays")
		assert.NoDirExists(t, filepath.Join(root, "share", "daguerre"))
		r = makeTarget(t, append(args, "uninstall")...)
		assert.NotEqual(t, 0, r.code)
		assert.Contains(t, r.stderr, "nothing was installed below "+root)
	}
}

// TestInstallBeforeBuild says what to do where nothing is built.
func TestInstallBeforeBuild(t *testing.T) {
	dest := t.TempDir()
	for _, missing := range []string{"PROGRAM", "BUILD"} {
		cmd := exec.CommandContext(t.Context(), "tools/install.sh", "install")
		cmd.Dir = filepath.Join(workDir, "..", "..")
		cmd.Env = append(os.Environ(), "DESTDIR="+dest, "PROGRAM="+program, "BUILD="+filepath.Dir(built(t)),
			missing+"="+filepath.Join(dest, "none"))
		r := finish(t, cmd)
		assert.Equal(t, 1, r.code)
		assert.Contains(t, r.stderr, "build it with `make` first")
		assert.Empty(t, list(t, dest))
	}
}

// TestMovedProgram copies the program alone into a folder: the error says what helps, and each remedy does.
func TestMovedProgram(t *testing.T) {
	home := t.TempDir()
	moved := filepath.Join(home, "programs", "daguerre")
	copyFile(t, program, moved, 0o755)
	r := bare(t, home, nil, moved, "demo")
	assert.Equal(t, 5, r.code)
	user := filepath.Join(home, ".local", "share", "daguerre", "lib")
	for _, want := range []string{"no usable libdaguerre; tried:", filepath.Dir(moved) + " (beside the executable): no libdaguerre-",
		user + " (user's data): no libdaguerre-", "Any of these helps:", "install it: `daguerre install`, or install.Ensure in a Go program, or `make install`", "name it: set DAGUERRE_LIBRARY",
		"build it: `make` in the source tree"} {
		assert.Contains(t, r.stderr, want)
	}
	versioned := ""
	for line := range strings.Lines(r.stderr) {
		if _, folder, ok := strings.Cut(line, "or put libdaguerre-cpu.so into "); ok {
			versioned = strings.TrimSpace(folder)
		}
	}
	require.True(t, strings.HasPrefix(versioned, user+"/"), versioned)
	r = bare(t, home, nil, moved, "doctor")
	assert.Equal(t, 5, r.code)
	assert.Contains(t, r.stdout, "- "+filepath.Join(user, "libdaguerre-cpu.so")+" (user's data): not found")
	assert.Contains(t, r.stdout, "-> install it (`daguerre install`, or `make install` in the source tree), set DAGUERRE_LIBRARY to its path, or build it")

	r = bare(t, home, []string{"DAGUERRE_LIBRARY=" + filepath.Join(home, "none")}, moved, "demo")
	assert.Equal(t, 5, r.code)
	assert.Contains(t, r.stderr, "Nothing else was tried, because DAGUERRE_LIBRARY is set.")

	library := filepath.Join(built(t), "libdaguerre-cpu.so")
	for i, c := range []struct{ folder, env string }{
		{"", "DAGUERRE_LIBRARY=" + library}, {versioned, ""}, {user, ""},
		{filepath.Join(home, "data", "daguerre", "lib"), "XDG_DATA_HOME=" + home + "/data"},
	} {
		if c.folder != "" {
			file := filepath.Join(c.folder, "libdaguerre-cpu.so")
			copyFile(t, library, file, 0o644)
		}
		name := fmt.Sprintf("demo%d.png", i)
		r = bare(t, home, []string{c.env}, moved, "demo", "-o", name)
		require.Equal(t, 0, r.code, r.stderr)
		readPNG(t, filepath.Join(home, name))
		if c.folder != "" {
			require.NoError(t, os.RemoveAll(c.folder))
		}
	}
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	data, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	require.NoError(t, os.WriteFile(to, data, mode))
}
