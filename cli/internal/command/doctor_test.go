package command

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

func TestDoctor(t *testing.T) {
	b := newBench(t)
	b.native.devices = []backend.Device{{ID: "cpu", Description: "A CPU", Kind: backend.DeviceCPU, TotalBytes: 8 << 30, FreeBytes: 1 << 30}}
	require.Equal(t, ExitOK, b.run("doctor"), b.stderr)
	for _, want := range []string{"ok    library     libdaguerre-cpu 0.0.1, engine ggml 0.26.0 (llama-cpp-sys-2 0.1.161)",
		"- x/libdaguerre-cuda.so (build folder): not found",
		"+ x/libdaguerre-cpu.so (build folder): loaded", "ok    cpu         has avx2", "cpu: A CPU, 1.0 GiB of 8.0 GiB free",
		"ok    cache       writable: ", "ok    precision   exact: the fake computes in F32"} {
		assert.Contains(t, b.stdout, want)
	}
	assert.Empty(t, b.stderr)
	assert.NotContains(t, b.stdout, "picture")
}

func TestDoctorJSON(t *testing.T) {
	b := newBench(t)
	b.native.err = errors.New("driver is gone")
	b.native.lib.CPUFeatures = []string{"avx2", "avx512_bf16"}
	assert.Equal(t, ExitFailure, b.run("doctor", "--json"))
	var d diagnosis
	require.NoError(t, json.Unmarshal([]byte(b.stdout), &d))
	assert.False(t, d.OK)
	status := map[string]string{}
	for _, f := range d.Findings {
		status[f.Check] = f.Status
		if f.Status != checkOK {
			assert.NotEmpty(t, f.Remedy, f.Check)
		}
	}
	assert.Equal(t, map[string]string{"library": checkOK, "cpu": checkWarn, "devices": checkFail, "cache": checkOK, "config": checkOK,
		"precision": checkOK},
		status)
	assert.Empty(t, b.stderr, "the message is in the JSON")
}

// TestDoctorTellsTheLevel: which level of the released libraries is in use, and what helps where it is not the CPU's best.
func TestDoctorTellsTheLevel(t *testing.T) {
	for _, test := range []struct {
		name, forced, level string
		unused              bool
		want, remedy        string
	}{
		{"an own build", "", "", true, "", "-> rebuild it on this machine with `make`\n"},
		{"the best", "", "bf16", false, "level: bf16, the best of the installed ones that this CPU has\n", ""},
		{"one that was named", "avx2", "avx2", true, "level: avx2, by DAGUERRE_CPU_LEVEL\n", "-> unset DAGUERRE_CPU_LEVEL\n"},
		{"the only one", "", "avx2", true, "level: avx2, the best of the installed ones that this CPU has\n",
			"-> install the libraries of all levels, or build one on this machine with `make`\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t)
			t.Setenv("DAGUERRE_CPU_LEVEL", test.forced)
			b.native.lib.Level = test.level
			if test.unused {
				b.native.lib.CPUFeatures = []string{"avx2", "avx512_bf16"}
			}
			b.run("doctor")
			assert.Contains(t, b.stdout, test.want)
			assert.Contains(t, b.stdout, test.remedy)
			assert.Equal(t, test.level != "", strings.Contains(b.stdout, "level: "))
			assert.Equal(t, test.unused, strings.Contains(b.stdout, "does not use all of this CPU"))
		})
	}
}

func TestDoctorWithoutLibrary(t *testing.T) {
	b := newBench(t)
	b.native.lib = Library{Attempts: []Attempt{{Path: "a.so", Source: "build folder", Outcome: "not found"}}}
	assert.Equal(t, ExitNative, b.run("doctor"))
	assert.Contains(t, b.stdout, "fail  library     libdaguerre could not be loaded")
	assert.Contains(t, b.stdout,
		"-> install it (`daguerre install`, or `make install` in the source tree), set DAGUERRE_LIBRARY to its path, or build it with `make`\n")
	assert.Zero(t, b.backend.Count(fake.OpOpen))
}

func TestDoctorDeepSeesAWrongPicture(t *testing.T) {
	b := newBench(t)
	b.native.devices = []backend.Device{{ID: "cpu"}}
	assert.Equal(t, ExitNative, b.run("doctor", "--deep"), "the fake draws no circles")
	assert.Contains(t, b.stdout, `fail  picture     "a red circle on a blue background": `)
	assert.Contains(t, b.stdout, "try --precision exact")
}

func TestDoctorCache(t *testing.T) {
	b := newBench(t)
	t.Setenv("DAGUERRE_CACHE", b.write("plain", "")+"/sub")
	b.native.lib = Library{Attempts: []Attempt{{}}}
	b.run("doctor")
	assert.Contains(t, b.stdout, "fail  cache")
	assert.Contains(t, b.stdout, "set DAGUERRE_CACHE to another folder")
}

// recorder is a Reporter that keeps what it gets.
type recorder struct{ events []progress.Event }

func (r *recorder) Report(e progress.Event) { r.events = append(r.events, e) }
func (r *recorder) Close()                  {}

func TestWarningsBecomeEvents(t *testing.T) {
	var r recorder
	log := newLogger(&r, nil, false)
	log.Info("quiet")
	log.With("model", "x").WithGroup("vae").Warn("careful", slog.Int("n", 3))
	log.Error("bad")
	assert.Equal(t, []progress.Event{progress.Warning{Message: "careful (model=x, vae.n=3)"}, progress.Warning{Message: "bad"}}, r.events)
	assert.False(t, log.Enabled(context.Background(), slog.LevelDebug))
	r.events = nil
	log.Info("loading", "component", "unet", "done", int64(3<<20), "total", int64(4<<20))
	log.Info("adapter", "name", "ink", "applied", "3 of 4 tensors", "mebibytes", 1)
	assert.Equal(t, []progress.Event{progress.Step{Stage: progress.StageLoad, Part: "unet", Done: 3 << 20, Total: 4 << 20},
		progress.Note{Message: "adapter ink: 3 of 4 tensors"}}, r.events)
	var out syncBuffer
	newLogger(&r, &out, true).Debug("details", "k", "v")
	assert.Contains(t, out.String(), "msg=details k=v")
}
