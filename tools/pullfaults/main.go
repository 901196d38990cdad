// Command pullfaults pulls a large file again and again from the tests' hub, and interrupts each pull at random: it kills the process, cuts
// connections, and lets the server stall. Each must end with the right bytes, and no name may ever stand for others. It also lets two
// processes pull at once, moves a branch during a pull, and fills the disk. With -speed it measures instead, beside curl.
//
//	go run ./tools/pullfaults [-n 100] [-size 200000000] [-seed 1]
//	go run ./tools/pullfaults -speed [-size 1000000000] [-rounds 7]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/hubtest"
	"github.com/daguerre-go/daguerre/runtime/hub"
)

const (
	repo     = "test/file"
	fileName = "model.safetensors"
	// envChild makes the program pull once, as a process that can be killed.
	envChild = "PULLFAULTS_CHILD"
)

func main() {
	if os.Getenv(envChild) != "" {
		child()
		return
	}
	n := flag.Int("n", 100, "interrupted pulls")
	size := flag.Int("size", 200_000_000, "bytes of the file")
	seed := flag.Uint64("seed", 1, "of what is random")
	speed := flag.Bool("speed", false, "measure beside curl")
	rounds := flag.Int("rounds", 7, "of -speed")
	flag.Parse()
	dir, err := os.MkdirTemp("", "pullfaults-")
	check(err)
	code := 0
	func() {
		defer os.RemoveAll(dir)
		w := newWorld(dir, *size, *seed)
		defer w.server.Close()
		if *speed {
			w.measure(*rounds)
			return
		}
		w.interrupted(*n)
		w.together()
		w.moved()
		w.full()
		if w.failures > 0 {
			fmt.Printf("%d failures\n", w.failures)
			code = 1
		}
	}()
	os.Exit(code)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "pullfaults:", err)
		os.Exit(1)
	}
}

// child is one pull in a process of its own. It prints where the model is.
func child() {
	m, err := hub.Pull(context.Background(), repo, hub.Options{Stall: time.Second, Note: func(text string) { fmt.Fprintln(os.Stderr, text) }})
	check(err)
	fmt.Println(m.Path)
	if status, err := os.ReadFile("/proc/self/status"); err == nil { // the parent cannot ask: it would be told its own size at the start
		_, rest, _ := strings.Cut(string(status), "VmHWM:")
		var kib int64
		if n, _ := fmt.Sscan(rest, &kib); n == 1 {
			fmt.Println(kib << 10)
		}
	}
}

// world is the hub, and a folder for caches.
type world struct {
	server   *hubtest.Server
	dir      string
	data     []byte
	sum      string
	commit   string
	seed     uint64
	failures int
}

func newWorld(dir string, size int, seed uint64) *world {
	w := &world{server: hubtest.New(), dir: dir, data: hubtest.Safetensors(seed, size), seed: seed}
	w.sum = hubtest.SHA256(w.data)
	w.commit = w.server.Commit(repo, "main", map[string][]byte{fileName: w.data})
	return w
}

// wrong tells of a failure.
func (w *world) wrong(format string, args ...any) {
	w.failures++
	fmt.Printf("WRONG: "+format+"\n", args...)
}

// process makes a pull into a cache.
func (w *world) process(home string) *exec.Cmd {
	self, err := os.Executable()
	check(err)
	c := exec.Command(self)
	c.Env = append(os.Environ(), envChild+"=1", "HF_ENDPOINT="+w.server.Hub.URL, "HF_HOME="+home, "HF_HUB_CACHE=", "HF_HUB_OFFLINE=",
		"DAGUERRE_MODELS="+filepath.Join(w.dir, "none.toml"), "XDG_DATA_HOME="+home)
	check(os.WriteFile(filepath.Join(w.dir, "none.toml"), nil, 0o600))
	return c
}

// named is where the file has its name.
func (w *world) named(home string) string {
	return filepath.Join(home, "hub", "models--test--file", "snapshots", w.commit, fileName)
}

// right reports whether a file has the right bytes.
func (w *world) right(path string) bool {
	data, err := os.ReadFile(path)
	return err == nil && len(data) == len(w.data) && string(data) == string(w.data)
}
