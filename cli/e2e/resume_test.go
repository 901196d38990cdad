package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const resumeRun = `
num_inference_steps = 3
seed = %s
width = 64
height = 64
[model]
model = "nano"
precision = "exact"
threads = 1
[model.memory]
max_batch = 4
[[job]]
prompt = "a red circle on a blue background"
num_images = 9
output = %q
[[job]]
prompt = "a green square on a white background"
num_images = 7
output = %q
[[job]]
prompt = "a yellow circle on a black background"
scheduler = "Euler a"
num_images = 4
width = 48
output = %q
`

// killings are runs of one command that were killed.
type killings struct {
	t    *testing.T
	out  string
	done map[string]string // files that were complete when the program was killed, and their contents
	told map[string]int    // pictures of which an event told
}

// note reads an event and returns its name.
func (k *killings) note(line []byte) string {
	var e map[string]any
	if json.Unmarshal(line, &e) != nil {
		return "" // cut off
	}
	if e["event"] == "image" {
		k.told[fmt.Sprint(e["job"], "/", e["index"])]++
	}
	return e["event"].(string)
}

// kill begins or continues the run and kills it after some pictures. It reports whether the program had not ended before.
func (k *killings) kill(config string) bool {
	cmd := prepare(k.t, "generate", "-c", config, "--json")
	stdout, err := cmd.StdoutPipe()
	require.NoError(k.t, err)
	require.NoError(k.t, cmd.Start())
	images, stop := 0, rand.IntN(5)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if k.note(lines.Bytes()) == "image" {
			images++
		}
		if images > stop {
			break
		}
	}
	time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
	require.NoError(k.t, cmd.Process.Kill())
	for lines.Scan() {
		k.note(lines.Bytes())
	}
	if cmd.Wait() == nil {
		return false
	}
	for name, old := range k.done {
		assert.Equal(k.t, old, readFile(k.t, filepath.Join(k.out, name)), "%s was changed", name)
	}
	for _, name := range list(k.t, k.out) {
		if !strings.HasPrefix(name, ".") {
			k.done[name] = readFile(k.t, filepath.Join(k.out, name))
			readPNG(k.t, filepath.Join(k.out, name)) // complete
		}
	}
	k.t.Logf("killed after %d pictures; %d are complete", images, len(k.done))
	return true
}

// TestKilledRunIsContinued kills a run of 20 pictures at random points, three times, with SIGKILL, and gives the same command again. Where
// this process was so slow that the run ended before, or was killed with nothing left to do, it is begun anew.
func TestKilledRunIsContinued(t *testing.T) {
	const pictures = 20
	write := func(dir, seed string) string {
		config := filepath.Join(dir, "run.toml")
		out := filepath.Join(dir, "out")
		require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, resumeRun, seed, out+"/a-{index:2}.png", out+"/b-{index:2}.png",
			out+"/c-{index:2}.png"), 0o600))
		return config
	}
	var k *killings
	var config, out string
	for tries, left := 0, false; !left; tries++ {
		require.Less(t, tries, 10, "something must be left to do")
		dir := t.TempDir()
		config, out = write(dir, "7"), filepath.Join(dir, "out")
		k = &killings{t, out, map[string]string{}, map[string]int{}}
		left = true
		for range 3 {
			left = left && k.kill(config)
		}
		left = left && len(k.done) < pictures
	}
	r := run(t, "generate", "-c", config, "--json")
	require.Equal(t, 0, r.code, r.stderr)
	for line := range strings.Lines(r.stdout) {
		k.note([]byte(line))
	}
	assert.Contains(t, r.stdout, `"event":"resume"`)
	for name, old := range k.done {
		assert.Equal(t, old, readFile(t, filepath.Join(out, name)), name)
	}
	for key, n := range k.told {
		assert.Equal(t, 1, n, "picture %s was made %d times", key, n)
	}

	// The same without trouble.
	whole := t.TempDir()
	require.Equal(t, 0, run(t, "generate", "-c", write(whole, "7"), "--quiet").code)
	names := list(t, filepath.Join(whole, "out"))
	require.Len(t, names, pictures)
	assert.Equal(t, names, list(t, out), "no picture is lost, and neither the journal nor anything half-written is left")
	for _, name := range names {
		a, _ := readPNG(t, filepath.Join(out, name))
		b, _ := readPNG(t, filepath.Join(whole, "out", name))
		assert.Less(t, worstPixel(a, b), 2, name)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(bytes.Clone(data))
}

// worstPixel is the largest difference of two pictures in any colour.
func worstPixel(a, b image.Image) int {
	worst := 0
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			r1, g1, b1, _ := a.At(x, y).RGBA()
			r2, g2, b2, _ := b.At(x, y).RGBA()
			for _, d := range []int{int(r1>>8) - int(r2>>8), int(g1>>8) - int(g2>>8), int(b1>>8) - int(b2>>8)} {
				worst = max(worst, d, -d)
			}
		}
	}
	return worst
}
