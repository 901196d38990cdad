//go:build emulated

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests hold the program for ARM, which QEMU emulates, against this machine's own. tools/test-arm64.sh builds both and runs them.

// emulatedLibraries is a folder with a library of each level; hostLibrary is this machine's.
var (
	emulatedLibraries = os.Getenv("DAGUERRE_LIBRARY")
	hostLibrary       = os.Getenv("DAGUERRE_TEST_HOST_LIBRARY")
	hostProgram       = os.Getenv("DAGUERRE_TEST_HOST_PROGRAM")
)

// emulatedCPUs are QEMU's CPUs, and the level of the library that each must get.
var emulatedCPUs = []struct{ cpu, level string }{{"cortex-a57", "neon"}, {"neoverse-n1", "dotprod"}, {"max", "i8mm"}}

// smallRun is a run of few small pictures, named by pattern.
func smallRun(pattern string, pictures, steps int, flags ...string) []string {
	return append([]string{"generate", "--model", "nano", "--prompt", "a red circle on a blue background", "--seed", "7",
		"-n", fmt.Sprint(pictures), "--steps", fmt.Sprint(steps), "--width", "64", "--height", "64", "--threads", "1", "-o", pattern}, flags...)
}

// onCPU has an emulated program find another CPU.
func onCPU(cmd *exec.Cmd, cpu string) *exec.Cmd {
	cmd.Env = append(cmd.Env, "QEMU_CPU="+cpu)
	return cmd
}

// onHost makes a command of this machine's own program.
func onHost(t *testing.T, args ...string) *exec.Cmd {
	cmd := prepare(t, args...)
	cmd.Path, cmd.Args[0] = hostProgram, hostProgram
	cmd.Env = append(cmd.Env, "DAGUERRE_LIBRARY="+hostLibrary)
	return cmd
}

func TestEmulatedLevels(t *testing.T) {
	for _, c := range emulatedCPUs {
		r := finish(t, onCPU(prepare(t, "doctor"), c.cpu))
		require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
		assert.Contains(t, r.stdout, filepath.Join(emulatedLibraries, "libdaguerre-cpu-"+c.level+".so")+" ($DAGUERRE_LIBRARY): loaded")
		assert.NotContains(t, r.stdout, "fail ")
	}
	cmd := onCPU(prepare(t, "devices"), "cortex-a57")
	cmd.Env = append(cmd.Env, "DAGUERRE_LIBRARY="+filepath.Join(emulatedLibraries, "libdaguerre-cpu-i8mm.so"))
	r := finish(t, cmd)
	assert.Equal(t, 5, r.code)
	assert.Contains(t, r.stderr, "i8mm", "a library for another CPU is refused before it dies")
}

// TestEmulatedPictures compares pictures with this machine's, which has other kernels for each type.
func TestEmulatedPictures(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, flags string
		least       float64 // dB
		every       bool    // on each CPU, and not only on the best
	}{
		{"exact", "--precision exact", 50, true}, {"f16", "--precision f16", 40, false}, {"bf16", "--precision bf16", 30, false},
		{"q8_0", "--precision f32 --type q8_0", 30, true}, {"q4_k", "--precision f32 --type q4_k", 25, true},
	} {
		flags := strings.Fields(c.flags)
		want := filepath.Join(dir, c.name+"-host.png")
		r := finish(t, onHost(t, smallRun(want, 1, 3, flags...)...))
		require.Equal(t, 0, r.code, r.stderr)
		cpus := emulatedCPUs
		if !c.every {
			cpus = cpus[len(cpus)-1:]
		}
		for _, on := range cpus {
			got := filepath.Join(dir, c.name+"-"+on.level+".png")
			r := finish(t, onCPU(prepare(t, smallRun(got, 1, 3, flags...)...), on.cpu))
			require.Equal(t, 0, r.code, r.stderr)
			psnr := picturePSNR(t, want, got)
			t.Logf("%-6s %-8s %5.1f dB", c.name, on.level, psnr)
			assert.GreaterOrEqual(t, psnr, c.least, "%s on %s", c.name, on.level)
		}
	}
}

// TestEmulatedRunIsContinued kills a run after its second picture, continues it, and compares it with this machine's.
func TestEmulatedRunIsContinued(t *testing.T) {
	const pictures, made = 4, 2
	dir, whole := t.TempDir(), t.TempDir()
	args := smallRun(filepath.Join(dir, "{index}.png"), pictures, 2, "--precision", "exact", "--batch", "1", "--json")
	cmd := prepare(t, args...)
	killAfter(t, cmd, made)
	r := run(t, args...)
	require.Equal(t, 0, r.code, r.stderr)
	assert.Contains(t, r.stdout, `"event":"resume"`)
	assert.LessOrEqual(t, strings.Count(r.stdout, `"event":"image"`), pictures-made)
	r = finish(t, onHost(t, smallRun(filepath.Join(whole, "{index}.png"), pictures, 2, "--precision", "exact", "--batch", "1")...))
	require.Equal(t, 0, r.code, r.stderr)
	require.Equal(t, list(t, whole), list(t, dir), "the journal is gone")
	for _, name := range list(t, whole) {
		assert.GreaterOrEqual(t, picturePSNR(t, filepath.Join(whole, name), filepath.Join(dir, name)), 50.0, name)
	}
}
