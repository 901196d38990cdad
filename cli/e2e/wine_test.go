//go:build wine

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests run the program for Windows under Wine and hold it against this machine's own. tools/test-wine.sh builds both, and tells by
// the environment where the first one is.

var windowsProgram, windowsLibrary = os.Getenv("DAGUERRE_TEST_WINDOWS_PROGRAM"), os.Getenv("DAGUERRE_TEST_WINDOWS_LIBRARY")

// windowsPath is how Wine names a file of this machine.
func windowsPath(path string) string { return "Z:" + strings.ReplaceAll(path, "/", `\`) }

// onWindows makes a command of the program for Windows, with a cache folder of its own.
func onWindows(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := filepath.Abs("../../tools/wine/exec.sh")
	require.NoError(t, err)
	cmd := prepare(t, append([]string{windowsProgram}, args...)...)
	cmd.Path, cmd.Args[0] = exe, exe
	cmd.Env = append(cmd.Env, "DAGUERRE_CACHE="+windowsPath(cacheDir)+"-windows", "DAGUERRE_LIBRARY="+windowsPath(windowsLibrary))
	return cmd
}

func TestWineDoctor(t *testing.T) {
	r := finish(t, onWindows(t, "doctor"))
	require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	assert.Contains(t, r.stdout, windowsPath(windowsLibrary)+" ($DAGUERRE_LIBRARY): loaded")
	assert.NotContains(t, r.stdout, "fail ")

	broken := filepath.Join(t.TempDir(), "daguerre-cpu.dll")
	require.NoError(t, os.WriteFile(broken, []byte("no DLL"), 0o600))
	cmd := onWindows(t, "devices")
	cmd.Env = append(cmd.Env, "DAGUERRE_LIBRARY="+windowsPath(broken))
	r = finish(t, cmd)
	assert.Equal(t, 5, r.code)
	assert.Contains(t, r.stderr, "LoadLibraryEx failed")
}

// TestWineLevels takes each level's library that this CPU can run: of a folder with all of them the loader takes the best, and pictures of
// all agree with this machine's own.
func TestWineLevels(t *testing.T) {
	dir := t.TempDir()
	libraries := windowsPath(filepath.Dir(windowsLibrary))
	picture := func(name string) []string {
		return []string{"generate", "--model", "nano", "--prompt", "a red circle", "--seed", "7", "--steps", "3",
			"--width", "64", "--height", "64", "--precision", "exact", "-o", name}
	}
	on := func(level string, args ...string) result {
		cmd := onWindows(t, args...)
		cmd.Env = append(cmd.Env, "DAGUERRE_LIBRARY="+libraries, "DAGUERRE_CPU_LEVEL="+level)
		return finish(t, cmd)
	}
	want := filepath.Join(dir, "linux.png")
	r := run(t, picture(want)...)
	require.Equal(t, 0, r.code, r.stderr)
	best := ""
	for _, level := range []string{"avx2", "avx512", "bf16"} {
		name := `\daguerre-cpu-` + level + ".dll"
		r := on(level, "doctor")
		if r.code != 0 && level != "avx2" {
			assert.Contains(t, r.stdout+r.stderr, "this CPU lacks")
			t.Log(level, "is not for this CPU")
			continue
		}
		require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
		require.Contains(t, r.stdout, libraries+name+" ($DAGUERRE_LIBRARY): loaded")
		best = name
		got := filepath.Join(dir, level+".png")
		r = on(level, picture(windowsPath(got))...)
		require.Equal(t, 0, r.code, r.stderr)
		psnr := picturePSNR(t, want, got)
		t.Logf("%s: %.1f dB", level, psnr)
		assert.GreaterOrEqual(t, psnr, 50.0, level)
	}
	r = on("", "doctor")
	require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
	assert.Contains(t, r.stdout, libraries+best+" ($DAGUERRE_LIBRARY): loaded")
}

// TestWineDemo: the archive's layout, a library in lib\daguerre beside bin, is found without a word.
func TestWineDemo(t *testing.T) {
	dir := t.TempDir()
	for _, c := range [][2]string{{windowsProgram, "bin/daguerre.exe"}, {windowsLibrary, "lib/daguerre/" + filepath.Base(windowsLibrary)}} {
		to := filepath.Join(dir, c[1])
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o700))
		require.NoError(t, os.Link(c[0], to))
	}
	cmd := onWindows(t, "demo", "-o", "demo.png")
	cmd.Args[1], cmd.Dir = filepath.Join(dir, "bin", "daguerre.exe"), dir
	cmd.Env = append(cmd.Env, "DAGUERRE_LIBRARY=")
	r := finish(t, cmd)
	require.Equal(t, 0, r.code, r.stderr)
	img, _ := readPNG(t, filepath.Join(dir, "demo.png"))
	assert.Equal(t, 128, img.Bounds().Dx())
}

// TestWinePictures makes pictures of a run file with Windows' line ends, names with letters of other languages, backslashes and a long
// path. They agree with this machine's own.
func TestWinePictures(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("long folder ", 11)+"x", strings.Repeat("Ordner", 25))
	text := "prompt = 'a red circle on a blue background'\nsteps = 4\nseed = 7\nwidth = 64\nheight = 64\n" +
		"[model]\nmodel = 'nano'\nprecision = 'exact'\nthreads = 2\n[[job]]\noutput = '%s'\n[[job]]\noutput = '%s'\n"
	for _, c := range []struct {
		name, first, second string
		command             func(*testing.T, ...string) *exec.Cmd
	}{
		{"linux", dir + "/linux/{index}.png", dir + "/linux/long.png", prepare},
		{"windows", windowsPath(dir) + `\Käse 日本\{seed}.png`, `\\?\` + windowsPath(long) + `\long.png`, onWindows},
	} {
		config := filepath.Join(dir, c.name+" ä.toml")
		lines := fmt.Sprintf(text, c.first, c.second)
		name := config
		if c.name == "windows" {
			lines, name = strings.ReplaceAll(lines, "\n", "\r\n"), windowsPath(config)
		}
		require.NoError(t, os.WriteFile(config, []byte(lines), 0o600))
		r := finish(t, c.command(t, "generate", "-c", name))
		require.Equal(t, 0, r.code, r.stderr)
	}
	for got, want := range map[string]string{filepath.Join(dir, "Käse 日本", "7.png"): "0.png",
		filepath.Join(long, "long.png"): "long.png"} {
		psnr := picturePSNR(t, filepath.Join(dir, "linux", want), got)
		t.Logf("%s: %.1f dB", want, psnr)
		assert.GreaterOrEqual(t, psnr, 50.0, got)
	}
}

func TestWineNames(t *testing.T) {
	dir := t.TempDir()
	for name, says := range map[string]string{"con.png": "for a device", "a:b.png": "does not allow", "x. /a.png": "drops a point"} {
		r := finish(t, onWindows(t, "generate", "--model", "nano", "--prompt", "x", "-o", windowsPath(dir)+`\`+name))
		assert.NotEqual(t, 0, r.code, name)
		assert.Contains(t, r.stderr, says, name)
	}
	assert.Empty(t, list(t, dir))
	for _, model := range []string{"missing.safetensors", "nul", windowsPath(dir)} {
		r := finish(t, onWindows(t, "generate", "--model", model, "--prompt", "x", "-o", windowsPath(dir)+`\x.png`))
		assert.Equal(t, 3, r.code, model)
		assert.Contains(t, r.stderr, model)
	}
}

// TestWineErrorsOfTheLibrary: exceptions of the DLL's C++ code, on the calling thread and on threads of its own, become errors.
func TestWineErrorsOfTheLibrary(t *testing.T) {
	for seed := range 4 {
		cmd := onWindows(t, "generate", "--model", "nano", "--prompt", "x", "--steps", "2", "-n", "2", "-o", windowsPath(t.TempDir())+`\x.png`)
		cmd.Env = append(cmd.Env, fmt.Sprintf("DAGUERRE_FAIL_ALLOCATIONS=%d,0.7,0", seed))
		r := finish(t, cmd)
		assert.Equal(t, 4, r.code, r.stderr)
		assert.Contains(t, r.stderr, "could not be allocated on cpu")
	}
}

// TestWineRunIsContinued kills a run after its second picture and gives the same command again.
func TestWineRunIsContinued(t *testing.T) {
	const pictures, made = 4, 2
	dir, whole := t.TempDir(), t.TempDir()
	args := func(dir string) []string {
		return []string{"generate", "--model", "nano", "--prompt", "a red circle on a blue background", "--seed", "7", "-n", fmt.Sprint(pictures),
			"--steps", "3", "--width", "64", "--height", "64", "--precision", "exact", "--batch", "1", "--json", "-o", dir}
	}
	cmd := onWindows(t, args(windowsPath(dir)+`\{index}.png`)...)
	killAfter(t, cmd, made)
	r := finish(t, onWindows(t, args(windowsPath(dir)+`\{index}.png`)...))
	require.Equal(t, 0, r.code, r.stderr)
	assert.Contains(t, r.stdout, `"event":"resume"`)
	assert.LessOrEqual(t, strings.Count(r.stdout, `"event":"image"`), pictures-made)
	r = run(t, args(filepath.Join(whole, "{index}.png"))...)
	require.Equal(t, 0, r.code, r.stderr)
	require.Equal(t, list(t, whole), list(t, dir), "the journal is gone")
	for _, name := range list(t, whole) {
		assert.GreaterOrEqual(t, picturePSNR(t, filepath.Join(whole, name), filepath.Join(dir, name)), 50.0, name)
	}
}

// TestWineWorker talks to the worker and its supervisor through pipes with Windows' line ends, kills the computing process, and goes on.
func TestWineWorker(t *testing.T) {
	dir := t.TempDir()
	cmd := onWindows(t, "worker", "--supervise")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<24)
	send := func(line string) {
		_, err := io.WriteString(in, line+"\r\n")
		require.NoError(t, err)
	}
	until := func(id any, event string) map[string]any {
		t.Helper()
		for lines.Scan() {
			var e map[string]any
			require.NoError(t, json.Unmarshal(lines.Bytes(), &e), lines.Text())
			if e["event"] == event && e["id"] == id {
				return e
			}
			require.False(t, e["id"] == id && e["event"] == "error" && event != "error", lines.Text())
		}
		require.Fail(t, "the worker ended", "before %v of %v", event, id)
		return nil
	}
	send(`{"id":"load","type":"load","request":{"model":{"model":"nano"},"name":"n"}}`)
	until("load", "done")
	send(`{"id":"long","type":"generate","request":{"prompt":"a red circle","steps":1000}}`)
	until("long", "progress")
	send(`{"id":"hello","type":"hello"}`)
	pid := until("hello", "hello")["pid"].(float64)
	kill := onWindows(t)
	kill.Args = []string{kill.Path, "taskkill", "/f", "/pid", fmt.Sprint(int(pid))}
	said, err := kill.CombinedOutput()
	require.NoError(t, err, string(said))
	assert.Equal(t, []any{"long"}, until(nil, "restarted")["failed"])
	output, err := json.Marshal(windowsPath(dir) + `\Bild – 円.png`)
	require.NoError(t, err)
	send(fmt.Sprintf(`{"id":"after","type":"generate","request":{"prompt":"a red circle","steps":2,"output":%s}}`, output))
	until("after", "done")
	send(`{"id":"cut","type":"generate","request":{"prompt":"a red circle","steps":1000}}`)
	until("cut", "progress")
	send(`{"id":"c","type":"cancel","request":{"target":"cut"}}`)
	assert.Equal(t, "cancelled", until("cut", "error")["code"])
	require.NoError(t, in.Close())
	for lines.Scan() {
		assert.True(t, json.Valid(lines.Bytes()), lines.Text())
	}
	require.NoError(t, cmd.Wait())
	assert.Equal(t, []string{"Bild – 円.png"}, list(t, dir))
}
