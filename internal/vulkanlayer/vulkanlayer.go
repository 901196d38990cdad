// Package vulkanlayer is a Vulkan layer of our own, which stands between a program and the driver. It counts the memory that a process
// takes on a Vulkan device, and can play a device with lower limits, or one that is lost. Tests and tools/gpu-check compile it when they
// run: that needs a C compiler ($CC, or cc) and the Vulkan headers. A child process gets it through its environment.
package vulkanlayer

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed src
var sources embed.FS

const (
	name    = "VK_LAYER_DAGUERRE_device" // as in src/layer.json, like the library's name
	library = "libdaguerre-layer.so"
)

// Layer is a compiled layer.
type Layer struct{ dir string }

// Options say what the layer does. Zero values change nothing.
type Options struct {
	Counts        string // file for Counts; it is made anew
	LoseAfter     int    // so many submits work; then the device is lost
	MaxAllocation int64  // bytes of the largest allocation and buffer
	MaxTensor     int64  // bytes of the largest range that kernels can reach
	Heap          int64  // bytes of the device's memory
	Discrete      bool   // its memory cannot be mapped, as that of a card; for drivers in software
}

// Counts are what a process asked of its devices. Only their own memory counts, not the host's that they can read.
type Counts struct {
	Now, Peak, Largest uint64 // bytes: held, held at most, of the largest allocation
	Refused            uint64 // allocations beyond the options' limits
	Submits            uint64
}

// Build compiles the layer into dir.
func Build(ctx context.Context, dir string) (Layer, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Layer{}, err
	}
	files, err := sources.ReadDir("src")
	if err != nil {
		return Layer{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Layer{}, err
	}
	command := append(strings.Fields(cmp.Or(os.Getenv("CC"), "cc")), "-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror",
		"-shared", "-fPIC", "-pthread", "-fvisibility=hidden", "-o", library)
	for _, f := range files {
		text, err := sources.ReadFile("src/" + f.Name())
		if err != nil {
			return Layer{}, err
		}
		if err := os.WriteFile(filepath.Join(dir, f.Name()), text, 0o644); err != nil {
			return Layer{}, err
		}
		if filepath.Ext(f.Name()) == ".c" {
			command = append(command, f.Name())
		}
	}
	compile := exec.CommandContext(ctx, command[0], command[1:]...)
	compile.Dir = dir
	if out, err := compile.CombinedOutput(); err != nil {
		return Layer{}, fmt.Errorf("compiling the Vulkan layer, which needs a C compiler and Vulkan's headers: %w\n%s", err,
			bytes.TrimSpace(out))
	}
	return Layer{dir}, nil
}

// Env is what a process's environment needs besides for the layer to be there.
func (l Layer) Env(o Options) ([]string, error) {
	env := []string{"VK_LAYER_PATH=" + l.dir, "VK_INSTANCE_LAYERS=" + name}
	if o.Counts != "" {
		if err := os.WriteFile(o.Counts, nil, 0o644); err != nil {
			return nil, err
		}
		env = append(env, "DAGUERRE_LAYER_COUNTS="+o.Counts)
	}
	discrete := map[bool]int64{true: 1}[o.Discrete]
	for _, v := range []struct {
		name  string
		value int64
	}{{"LOSE_AFTER", int64(o.LoseAfter)}, {"MAX_ALLOCATION", o.MaxAllocation}, {"MAX_TENSOR", o.MaxTensor}, {"HEAP", o.Heap},
		{"DISCRETE", discrete}} {
		if v.value != 0 {
			env = append(env, "DAGUERRE_LAYER_"+v.name+"="+strconv.FormatInt(v.value, 10))
		}
	}
	return env, nil
}

// ReadCounts reads what a process's layer counted, also while the process runs. A process that never opened Vulkan leaves no counts.
func ReadCounts(path string) (c Counts, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return c, err
	}
	if err := binary.Read(bytes.NewReader(data), binary.NativeEndian, &c); err != nil {
		return c, fmt.Errorf("%s has no counts: the process did not load Vulkan with the layer", path)
	}
	return c, nil
}
