package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/checker"
)

// readmeBlock returns the program between the README's markers.
func readmeBlock(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "<!-- program: begin -->\n```go\n")
	require.True(t, ok)
	code, _, ok := strings.Cut(rest, "```\n<!-- program: end -->\n")
	require.True(t, ok)
	return code
}

// module is a new module outside the checkout, made with the commands of the README.
type module struct {
	t    *testing.T
	dir  string
	home string
}

func newModule(t *testing.T, program string) module {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	clone, err := filepath.Abs("../..")
	require.NoError(t, err)
	m := module{t, t.TempDir(), t.TempDir()}
	require.NoError(t, os.WriteFile(filepath.Join(m.dir, "main.go"), []byte(program), 0o600))
	for _, line := range []string{"go mod init example.com/circle", "go mod edit -replace github.com/daguerre-go/daguerre=/src/daguerre",
		"go get github.com/daguerre-go/daguerre/runtime/pipeline"} {
		require.Contains(t, string(readme), "\n"+line+"\n")
		fields := strings.Fields(strings.Replace(line, "/src/daguerre", clone, 1))
		// What the clone needs is on this machine, since this test was compiled: nothing is downloaded.
		m.run([]string{"GOPROXY=off", "GOSUMDB=off"}, fields[0], fields[1:]...)
	}
	m.run([]string{"GOPROXY=off", "GOSUMDB=off"}, "go", "build", "-o", "circle", ".")
	return m
}

// run runs a command in the module.
func (m module) run(env []string, name string, args ...string) {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), name, args...)
	cmd.Dir = m.dir
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=mod", "GOWORK=off"), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(m.t, err, "%s %s: %s", name, strings.Join(args, " "), out)
}

// picture runs the program with a bare environment.
func (m module) picture(env []string, args ...string) result {
	m.t.Helper()
	return bare(m.t, m.home, env, filepath.Join(m.dir, "circle"), args...)
}

// circle makes sure that the program drew what it was asked for, and removes the picture.
func (m module) circle() {
	m.t.Helper()
	file := filepath.Join(m.home, "circle.png")
	img, _ := readPNG(m.t, file)
	assert.Equal(m.t, 128, img.Bounds().Dx())
	score, err := checker.Score(img, "a red circle on a blue background")
	require.NoError(m.t, err)
	assert.True(m.t, score.OK(), "it shows %+v", score.Found)
	require.NoError(m.t, os.Remove(file))
}

// TestReadmeProgramInANewModule does what a newcomer does.
func TestReadmeProgramInANewModule(t *testing.T) {
	m := newModule(t, readmeBlock(t))
	r := m.picture(nil)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "no usable libdaguerre; tried:")
	assert.Contains(t, r.stderr, "name it: set DAGUERRE_LIBRARY, or Library of pipeline.Config, to the file or its folder")
	assert.NoFileExists(t, filepath.Join(m.home, "circle.png"))

	r = m.picture([]string{"DAGUERRE_LIBRARY=" + built(t)})
	require.Equal(t, 0, r.code, r.stderr)
	m.circle()
	copyFile(t, filepath.Join(built(t), "libdaguerre-cpu.so"), filepath.Join(m.home, "data", "daguerre", "lib", "libdaguerre-cpu.so"), 0o644)
	r = m.picture([]string{"XDG_DATA_HOME=" + m.home + "/data"})
	require.Equal(t, 0, r.code, r.stderr)
	m.circle()
}

// TestConfigNamesTheLibrary gives the README's program the library's path, against the environment.
func TestConfigNamesTheLibrary(t *testing.T) {
	program := readmeBlock(t)
	const config = "pipeline.Config{Model: pipeline.NanoModel"
	named := strings.Replace(program, config+"}", config+", Library: os.Args[1]}", 1)
	require.NotEqual(t, program, named)
	m := newModule(t, named)
	elsewhere := []string{"DAGUERRE_LIBRARY=" + filepath.Join(m.home, "none")}
	for _, library := range []string{built(t), filepath.Join(built(t), "libdaguerre-cpu.so")} {
		r := m.picture(elsewhere, library)
		require.Equal(t, 0, r.code, r.stderr)
		m.circle()
	}
	missing := filepath.Join(m.home, "nowhere", "libdaguerre-cpu.so")
	r := m.picture([]string{"DAGUERRE_LIBRARY=" + built(t)}, missing)
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, missing+" (option): not found")
}
