package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/hub"
	"github.com/daguerre-go/daguerre/runtime/install"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// bench runs commands in this process on the fake backend.
type bench struct {
	install func(context.Context, install.Options) (install.Result, error)
	plan    func(pipeline.Config, []request.Request) (pipeline.MemoryPlan, error)

	t       *testing.T
	dir     string // for outputs
	backend *fake.Backend
	real    bool // files are opened by the native library instead
	native  *fakeNative
	ctx     context.Context
	term    bool
	width   int              // of the terminal; 0: there is none
	config  string           // the user's folder of configurations; "": there is none
	typed   bool             // standard input is a terminal
	now     func() time.Time // nil: the clock
	stdin   string

	stdout, stderr string // of the last run
}

func newBench(t *testing.T) *bench {
	t.Setenv("DAGUERRE_CACHE", t.TempDir())
	return &bench{t: t, dir: t.TempDir(), backend: &fake.Backend{}, native: &fakeNative{lib: testLibrary}, ctx: t.Context()}
}

// fakeNative stands in for libdaguerre.
type fakeNative struct {
	lib     Library
	devices []backend.Device
	err     error
	backend fake.Backend // of Open
	trier   backend.Trier
}

func (n *fakeNative) Trier() (backend.Trier, error) { return n.trier, n.err }

func (n *fakeNative) Library() Library { return n.lib }

func (n *fakeNative) Devices(context.Context) ([]backend.Device, error) { return n.devices, n.err }

func (n *fakeNative) Quantizer() (backend.Quantizer, error) { return halves{}, n.err }
func (n *fakeNative) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	if n.err != nil {
		return nil, n.err
	}
	return n.backend.Open(ctx, cfg)
}

// halves stands for every quantized type: no values, only the bytes that they take.
type halves struct{}

func (halves) Quantize(t backend.Type, values []float32, columns int, out []byte) error { return nil }

func (halves) Dequantize(t backend.Type, data []byte, columns int, values []float32) error {
	return nil
}

var testLibrary = Library{Loaded: true, Path: "x/libdaguerre-cpu.so", Variant: "cpu", Version: "0.0.1",
	Engine: "ggml 0.26.0 (llama-cpp-sys-2 0.1.161)", Compiler: "cc 1", Features: []string{"avx2", "llamafile"}, CPUFeatures: []string{"avx2"},
	Attempts: []Attempt{{Path: "x/libdaguerre-cuda.so", Source: "build folder", Outcome: "not found"},
		{Path: "x/libdaguerre-cpu.so", Variant: "cpu", Source: "build folder", Outcome: "loaded", OK: true}}}

// run runs a command line, without the program's name, and returns its exit code.
func (b *bench) run(args ...string) int {
	b.t.Helper()
	var out, errs syncBuffer
	now := b.now
	if now == nil {
		now = time.Now
	}
	code := Run(b.ctx, Env{
		Stdin: strings.NewReader(b.stdin), Stdout: &out, Stderr: &errs, StderrTerminal: b.term, Now: now,
		StdinTerminal: b.typed, ConfigDir: func() (string, error) {
			if b.config == "" {
				return "", os.ErrNotExist
			}
			return b.config, nil
		},
		Width: func() int { return b.width }, ErrWidth: func() int { return b.width }, Native: b.native, Install: b.install, Pull: hub.Pull,
		Open: func(ctx context.Context, cfg pipeline.Config, opts ...pipeline.OpenOption) (*pipeline.Pipeline, error) {
			if !b.real {
				opts = append(opts, pipeline.WithBackend(b.backend))
			}
			return pipeline.Open(ctx, cfg, opts...)
		},
		Plan: func(_ context.Context, cfg pipeline.Config, jobs []request.Request, _ ...pipeline.OpenOption) (pipeline.MemoryPlan, error) {
			return b.plan(cfg, jobs)
		},
	}, append([]string{"daguerre"}, args...))
	b.stdout, b.stderr = out.String(), errs.String()
	return code
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// path returns a name in the bench's folder.
func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// write writes a file into the bench's folder and returns its path.
func (b *bench) write(name, text string) string {
	b.t.Helper()
	require.NoError(b.t, os.WriteFile(b.path(name), []byte(text), 0o600))
	return b.path(name)
}

// files lists the bench's folder, hidden files included.
func (b *bench) files() []string {
	b.t.Helper()
	entries, err := os.ReadDir(b.dir)
	require.NoError(b.t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// events parses the JSON lines on standard output.
func (b *bench) events() []map[string]any {
	b.t.Helper()
	var events []map[string]any
	for line := range strings.Lines(b.stdout) {
		var m map[string]any
		require.NoError(b.t, json.Unmarshal([]byte(line), &m), line)
		events = append(events, m)
	}
	return events
}

// small are flags of a quick run on the fake.
func small(extra ...string) []string {
	args := []string{"generate"}
	for _, f := range [][2]string{{"--model", "nano"}, {"--prompt", "a red circle"}, {"--width", "64"}, {"--height", "64"}, {"--steps", "3"},
		{"--seed", "7"}} {
		if !slices.Contains(extra, f[0]) { // a flag may be given once
			args = append(args, f[:]...)
		}
	}
	return append(args, extra...)
}

func TestUsageErrors(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name string
		args []string
		want string // part of the message
	}{
		{"unknown command", []string{"genrate"}, `unknown command "genrate"; did you mean "generate"?`},
		{"unknown command, far off", []string{"xyzzy"}, "known are demo, generate"},
		{"unknown subcommand", []string{"models", "inspekt", "x"}, `did you mean "inspect"?`},
		{"unknown global flag", []string{"--verion"}, "did you mean --version?"},
		{"unknown flag", []string{"generate", "--stepz", "3"}, "unknown flag --stepz; did you mean --steps?"},
		{"unknown flag of demo", []string{"demo", "--promt=x"}, "did you mean --prompt?"},
		{"unknown flag after an argument", []string{"models", "inspect", "x", "--jsn"}, "did you mean --json?"},
		{"flag of another command", []string{"demo", "--steps", "3"}, "unknown flag --steps; daguerre generate has it"},
		{"decimal comma", small("--guidance-scale", "7,5"), `--guidance-scale is "7,5"; it must be a number with a point: 7.5`},
		{"decimal comma of an adapter", small("--lora", "style:0,5"), `has a decimal comma; write style:0.5`},
		{"decimal comma of an adapter's UNet", small("--lora", "style:0.5:0,7"), `has a decimal comma; write style:0.5:0.7`},
		{"decimal comma of a ControlNet", small("--control", "canny=p.png:0,5"), "has a decimal comma; write canny=p.png:0.5"},
		{"part of a type", []string{"models", "convert", "--type", "q8", "a", "b"}, `the type "q8" is unknown; did you mean "q8_0"?`},
		{"flag without a value", []string{"generate", "--prompt"}, "--prompt needs a value"},
		{"no number", []string{"generate", "--steps", "many"}, `--steps is "many"; it must be a whole number`},
		{"stray argument", []string{"generate", "a red circle"}, "give the prompt with --prompt"},
		{"quiet and json", []string{"demo", "--quiet", "--json"}, "exclude each other"},
		{"no model", []string{"generate", "--prompt", "x"}, "model"},
		{"no steps", small("--steps", "0"), "--steps is 0"},
		{"too many steps", small("--steps", "1000000000"), "--steps is 1000000000; it must be between 1 and 1000"},
		{"steps out of range", small("--steps", "9000000000"), "--steps is 9000000000, which is far out of range"},
		{"size", small("--width", "100"), "--width is 100, which is no multiple of 8; the nearest are 96 and 104"},
		{"NaN", small("--guidance-scale", "NaN"), "--guidance-scale is NaN; it must be a number between 0 and 1000"},
		{"no UTF-8", small("--prompt", "a \xff b"), "--prompt: byte 2 is not valid UTF-8"},
		{"extension", small("-o", "x.gif"), `--output: unsupported picture format: "x.gif" ends in ".gif"; end the name in .png, .jpg or .webp`},
		{"pattern", small("-o", "{sead}.png"), `did you mean "seed"?`},
		{"latents' extension", small("--save-latents", "l.bin"), "does not end in .npy"},
		{"scheduler", small("--scheduler", "Eular"), "Euler"},
		{"precision", small("--precision", "fp16"), `did you mean "f16"?`},
		{"device", small("--device", "gpu 0"), "see `daguerre devices`"},
		{"mask without image", small("--mask", "m.png"), "--mask: there is no --image to mask"},
		{"strength without image", small("--strength", "0.5"), "--strength: there is no --image"},
		{"inspect without a file", []string{"models", "inspect"}, "give one model file"},
		{"synth without a kind", []string{"models", "synth", "-o", "x"}, "--kind is missing; known are sdxl-base"},
		{"synth of an unknown kind", []string{"models", "synth", "--kind", "sdxl-bse", "-o", "x"}, `did you mean "sdxl-base"?`},
		{"synth without a file", []string{"models", "synth", "--kind", "vae"}, "--output is missing"},
		{"synth of an unknown type", []string{"models", "synth", "--kind", "vae", "--type", "q9", "-o", "x"}, "known are f16, f32, bf16"},
		{"show without a name", []string{"schedulers", "show"}, "give one scheduler name"},
		{"show of an unknown one", []string{"schedulers", "show", "Eular"}, "Euler"},
		{"devices with an argument", []string{"devices", "cpu"}, "unexpected argument"},
		{"output is a folder", small("-o", b.dir), b.dir},
	} {
		t.Run(c.name, func(t *testing.T) {
			assert.Equal(t, ExitUsage, b.run(c.args...), b.stderr)
			assert.Contains(t, b.stderr, c.want)
			assert.True(t, strings.HasPrefix(b.stderr, "daguerre: "), b.stderr)
			assert.Empty(t, b.stdout)
			assert.Empty(t, b.files(), "no output")
		})
	}
	assert.Zero(t, b.backend.Count(fake.OpOpen), "nothing was loaded")
}

func TestHelp(t *testing.T) {
	b := newBench(t)
	for _, args := range [][]string{{}, {"--help"}, {"help"}, {"generate", "-h"}, {"help", "generate"}, {"demo", "--help"},
		{"models"}, {"help", "models", "synth"}, {"models", "inspect", "--help"}, {"schedulers", "list", "--help"}, {"devices", "--help"},
		{"doctor", "--help"}} {
		require.Equal(t, ExitOK, b.run(args...), "%v: %s", args, b.stderr)
		assert.Contains(t, b.stdout, "USAGE:", "%v", args)
		assert.Empty(t, b.stderr)
	}
	require.Equal(t, ExitOK, b.run("generate", "--help=all"))
	for _, s := range []string{"EXIT CODES", "EXAMPLES", "OUTPUT NAMES", "--num-images", "-n N", "{job} {index} {seed}"} {
		assert.Contains(t, b.stdout, s)
	}
}

// TestEveryCommandIsExplained holds every command to a usage, a description and an example.
func TestEveryCommandIsExplained(t *testing.T) {
	b := newBench(t)
	app := newApp(Env{Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Now: time.Now, Native: b.native})
	done := 1 // bench has subcommands, and does something itself
	for _, c := range app.Commands {
		assert.NotEmpty(t, c.Usage, c.Name)
		leaves := c.Subcommands
		if len(leaves) == 0 {
			leaves = append(leaves, c)
		}
		for _, l := range leaves {
			assert.NotEmpty(t, l.Usage, l.Name)
			assert.Contains(t, l.Description, "EXAMPLES:", l.Name)
			assert.True(t, strings.HasPrefix(l.UsageText, "daguerre "), l.Name)
			assert.NotContains(t, l.Description, "${", l.Name)
			done++
			for _, f := range l.Flags {
				assert.NotContains(t, f.String(), "${", l.Name)
				assert.True(t, strings.Contains(f.String(), "\t") && len(strings.SplitN(f.String(), "\t", 2)[1]) > 3, "%s %s has a usage", l.Name,
					f.Names()[0])
			}
		}
	}
	assert.Len(t, actions, done, "every action is a command's")
}

func TestVersionCommand(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("--version"))
	assert.Contains(t, b.stdout, "daguerre "+Version())
	assert.Contains(t, b.stdout, "ggml 0.26.0 (llama-cpp-sys-2 0.1.161) (libdaguerre-cpu 0.0.1)")
	assert.Contains(t, b.stdout, "go1.")
	b.native.lib = Library{}
	require.Equal(t, ExitOK, b.run("-v"))
	assert.Contains(t, b.stdout, "cannot be loaded")
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, ExitOK}, {errors.New("x"), ExitFailure}, {&usageError{message: "x"}, ExitUsage}, {context.Canceled, ExitCancelled},
		{&inputError{errors.New("x")}, ExitFile}, {&outputError{os.ErrNotExist}, ExitFailure}, {os.ErrNotExist, ExitFile},
		{reported(&usageError{message: "x"}), ExitUsage},
	} {
		assert.Equal(t, c.want, exitCode(c.err), "%v", c.err)
	}
}

var testDevices = []backend.Device{{ID: "cpu", Description: "A CPU", Kind: backend.DeviceCPU, TotalBytes: 8 << 30, FreeBytes: 1 << 30},
	{ID: "vulkan:0", Description: "llvmpipe", Kind: backend.DeviceCPU, Software: true}}

func TestDevices(t *testing.T) {
	b := newBench(t)
	b.native.devices = testDevices
	require.Equal(t, ExitOK, b.run("devices"))
	assert.Regexp(t, `(?m)^cpu +cpu +1 +1.0 GiB +8.0 GiB +avx2 +A CPU$`, b.stdout)
	assert.Contains(t, b.stdout, "auto takes cpu: the CPU: no GPU was found")
	assert.Contains(t, b.stdout, "cpu (software)")
	require.Equal(t, ExitOK, b.run("devices", "--json"))
	var list []listedDevice
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &list))
	assert.Equal(t, []listedDevice{{Device: b.native.devices[0], Auto: 1, Reason: "the CPU: no GPU was found", Features: []string{"avx2"}},
		{Device: b.native.devices[1], Reason: "emulated on the CPU: only by explicit choice", Features: []string{"avx2"}}}, list)
}

func TestSchedulers(t *testing.T) {
	b := newBench(t)
	require.Equal(t, ExitOK, b.run("schedulers", "list"))
	assert.Contains(t, b.stdout, "\nEulerDiscrete ")
	assert.NotContains(t, b.stdout, "Euler a")
	require.Equal(t, ExitOK, b.run("schedulers", "list", "--all"))
	assert.Contains(t, b.stdout, "EulerDiscreteScheduler")
	assert.Contains(t, b.stdout, "Euler a")
	require.Equal(t, ExitOK, b.run("schedulers", "list", "--json"))
	var list []map[string]any
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &list))
	assert.True(t, slices.ContainsFunc(list, func(m map[string]any) bool { return m["name"] == "EulerDiscreteScheduler" }))
	require.Equal(t, ExitOK, b.run("schedulers", "show", "euler"))
	assert.Contains(t, b.stdout, "timestep_spacing")
	require.Equal(t, ExitOK, b.run("schedulers", "show", "EulerDiscrete", "--json"), "flags may stand behind")
	var one struct {
		Defaults map[string]any `json:"defaults"`
	}
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &one))
	assert.Equal(t, "inf", one.Defaults["s_tmax"])
}
