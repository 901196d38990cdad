// Command hubpython holds models that daguerre pulled against the Python package huggingface_hub, and the other way round, on the tests'
// hub: each must open, without a connection, what the other fetched, from the same folder, with symbolic links and without. FOLDER is on a
// file system that has none.
//
//	go run ./tools/hubpython PYTHON DAGUERRE [FOLDER]
package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/hubtest"
)

//go:embed check.py
var script string

var failures int

func main() {
	if len(os.Args) < 3 || len(os.Args) > 4 {
		fmt.Fprintln(os.Stderr, "usage: hubpython PYTHON DAGUERRE [FOLDER]")
		os.Exit(2)
	}
	python, daguerre := os.Args[1], os.Args[2]
	try(python, daguerre, "", "with links")
	try(python, daguerre, "", "without links", "HF_HUB_DISABLE_SYMLINKS=1")
	if len(os.Args) == 4 {
		if err := os.Symlink("nothing", filepath.Join(os.Args[3], "link")); err == nil {
			wrong("%s has symbolic links", os.Args[3])
		}
		try(python, daguerre, os.Args[3], "on a file system without links")
	}
	if failures > 0 {
		fmt.Printf("%d failures\n", failures)
		os.Exit(1)
	}
}

// machine is a hub and a folder of caches.
type machine struct {
	server *hubtest.Server
	env    []string
	python string
	dir    string
}

// try goes both ways in a folder of dir, which may be empty for the usual one, with more variables of the environment.
func try(python, daguerre, dir, how string, env ...string) {
	dir, err := os.MkdirTemp(dir, "hubpython-")
	check(err)
	defer os.RemoveAll(dir)
	s := hubtest.New()
	defer s.Close()
	m := &machine{server: s, python: python, dir: dir}
	mine := func(v string) bool {
		return strings.HasPrefix(v, "HF_") || strings.HasPrefix(v, "HUGGING") || strings.HasPrefix(v, "TRANSFORMERS")
	}
	m.env = append(slices.DeleteFunc(os.Environ(), mine), "HF_ENDPOINT="+s.Hub.URL, "HF_HOME="+dir,
		"DAGUERRE_CACHE="+filepath.Join(dir, "cache"), "XDG_DATA_HOME="+dir, "HF_HUB_DISABLE_TELEMETRY=1", "HF_HUB_DISABLE_XET=1",
		"HF_HUB_DISABLE_PROGRESS_BARS=1")
	m.env = append(m.env, env...)
	m.publish()

	// Ours, for Python.
	m.run("pull a file", daguerre, "models", "pull", "-q", "ours/file")
	m.run("pull a folder", daguerre, "models", "pull", "-q", "ours/folder", "--variant", "fp16")
	m.run("pull a tag", daguerre, "models", "pull", "-q", "ours/file@v1:other.safetensors")
	// Python's, for us.
	m.run("download by Python", python, "-c", script, "download")
	s.Requests()
	m.run("Python opens ours", python, "-c", script, "open", "offline")
	for _, name := range []string{"theirs/file", "theirs/file:model.safetensors", "theirs/folder:.", "theirs/file@v1:other.safetensors",
		"ours/file@v1"} {
		m.run("we find "+name, daguerre, "models", "verify", name)
	}
	m.run("we list", daguerre, "models", "list")
	if n := len(s.Requests()); n > 0 {
		wrong("%d requests although nothing was to be fetched", n)
	}
	m.run("Python finds ours online, too", python, "-c", script, "open")
	m.run("we add to a repository of Python's", daguerre, "models", "pull", "-q", "theirs/folder:second.safetensors")
	m.run("Python adds to one of ours", python, "-c", script, "add")
	m.run("we remove", daguerre, "models", "rm", "theirs/folder@main:second.safetensors", "ours/folder")
	m.run("Python scans", python, "-c", script, "scan")
	for _, r := range s.Requests() {
		if r.CDN && strings.HasSuffix(r.Path, hubtest.SHA256(large)) {
			wrong("the large file was fetched twice")
		}
	}
	fmt.Println(how + ": both find each other's files")
}

var large = hubtest.Safetensors(1, 3_000_000)

// publish puts the same models into repositories of both.
func (m *machine) publish() {
	small := func(seed uint64) []byte { return hubtest.Safetensors(seed, 4096) }
	index := `{"_class_name": "StableDiffusionXLPipeline", "unet": ["diffusers", "UNet2DConditionModel"],` +
		` "vae": ["diffusers", "AutoencoderKL"]}`
	for _, owner := range []string{"ours", "theirs"} {
		m.server.Commit(owner+"/file", "v1", map[string][]byte{"other.safetensors": small(9)})
		m.server.Commit(owner+"/file", "main", map[string][]byte{"model.safetensors": large, "README.md": []byte("x\n")})
		m.server.Commit(owner+"/folder", "main", map[string][]byte{"model_index.json": []byte(index), "unet/config.json": []byte("{}"),
			"unet/diffusion_pytorch_model.safetensors": small(2), "unet/diffusion_pytorch_model.fp16.safetensors": small(3),
			"vae/config.json": []byte("{}\n"), "vae/diffusion_pytorch_model.safetensors": small(4), "README.md": []byte("y\n"),
			"second.safetensors": small(8)})
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "hubpython:", err)
		os.Exit(1)
	}
}

func wrong(format string, args ...any) {
	failures++
	fmt.Printf("WRONG: "+format+"\n", args...)
}

// run runs a command that must succeed.
func (m *machine) run(what, name string, args ...string) {
	c := exec.Command(name, args...) //nolint:gosec // the caller's own programs
	c.Env = m.env
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Run(); err != nil {
		wrong("%s: %v: %s", what, err, out.String())
	}
}
