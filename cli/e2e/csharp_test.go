//go:build csharp

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// These tests need Mono, which most who build Daguerre do not have. So they are not in `make test`: `make test-csharp` runs them, and
// there, too, nothing is skipped.

const csharpNeeds = "make test-csharp needs Mono and Newtonsoft.Json: apt install mono-mcs mono-runtime libnewtonsoft-json5.0-cil " +
	"(elsewhere: set NEWTONSOFT_JSON to the folder of Newtonsoft.Json.dll)"

// buildCSharp compiles the client, its example and its tests as examples/worker/csharp/README.md says, and returns the folder.
func buildCSharp(t *testing.T) string {
	t.Helper()
	for _, tool := range []string{"mcs", "mono"} {
		_, err := exec.LookPath(tool)
		require.NoError(t, err, csharpNeeds)
	}
	newtonsoft := os.Getenv("NEWTONSOFT_JSON")
	if newtonsoft == "" {
		newtonsoft = "/usr/lib/cli/Newtonsoft.Json-5.0" // Debian's
	}
	reference := filepath.Join(newtonsoft, "Newtonsoft.Json.dll")
	library, err := os.ReadFile(reference)
	require.NoError(t, err, csharpNeeds)
	out := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(out, "Newtonsoft.Json.dll"), library, 0o644))
	compile := func(folder, name string, flags ...string) {
		sources, err := filepath.Glob("../../examples/worker/csharp/" + folder + "/*.cs")
		require.NoError(t, err)
		require.NotEmpty(t, sources)
		args := append([]string{"-langversion:7", "-warn:4", "-warnaserror", "-debug", "-r:" + reference,
			"-out:" + filepath.Join(out, name)}, flags...)
		said, err := exec.CommandContext(t.Context(), "mcs", append(args, sources...)...).CombinedOutput()
		require.NoError(t, err, "%s", said)
	}
	// With -doc the compiler warns of each public name without a comment, and of references that lead nowhere.
	compile("client", "Daguerre.Worker.dll", "-target:library", "-doc:"+filepath.Join(out, "Daguerre.Worker.xml"))
	client := "-r:" + filepath.Join(out, "Daguerre.Worker.dll")
	compile("example", "Example.exe", client)
	compile("test", "Test.exe", client)
	return out
}

// mono runs one of the programs.
func mono(t *testing.T, args ...string) result {
	t.Helper()
	cmd := prepare(t)
	path, err := exec.LookPath("mono")
	require.NoError(t, err)
	cmd.Path, cmd.Args = path, append([]string{"mono", "--debug"}, args...)
	return finish(t, cmd)
}

// csharpLeftOut are cases that cannot be had; none with a worker of this machine.
var csharpLeftOut []string

// TestCSharp has the client in C# talk to the real worker.
func TestCSharp(t *testing.T) {
	built := buildCSharp(t)
	adapter, err := filepath.Abs("../../models/nano/nano-lora-outline.safetensors")
	require.NoError(t, err)

	t.Run("example", func(t *testing.T) {
		dir, example := t.TempDir(), filepath.Join(built, "Example.exe")
		client, own := filepath.Join(dir, "ein Kreis – 円.png"), filepath.Join(dir, "own.png")
		prompt := "a red circle on a blue background"
		r := mono(t, example, prompt, client, program)
		require.Equal(t, 0, r.code, r.stderr)
		assert.Equal(t, client+"\n", r.stdout)
		assert.Contains(t, r.stderr, "denoise 20/20")
		r = run(t, "generate", "--model", "nano", "--prompt", prompt, "--seed", "42", "--steps", "20", "-o", own)
		require.Equal(t, 0, r.code, r.stderr)
		a, texts := readPNG(t, client)
		b, _ := readPNG(t, own)
		assert.Equal(t, b, a, "the command line makes the same picture")
		assert.Contains(t, texts["parameters"], prompt)

		r = mono(t, example, strings.Repeat("x", 20), filepath.Join(dir, "picture.nothing"), program)
		assert.Equal(t, 2, r.code, r.stderr)
		assert.Contains(t, r.stderr, "invalid_request: ")
		assert.Equal(t, 2, mono(t, example).code)
	})

	cases := mono(t, filepath.Join(built, "Test.exe"))
	require.Equal(t, 0, cases.code, cases.stderr)
	names := strings.Fields(cases.stdout)
	require.GreaterOrEqual(t, len(names), 16)
	for _, name := range names {
		if slices.Contains(csharpLeftOut, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			r := mono(t, filepath.Join(built, "Test.exe"), name, program, adapter, t.TempDir())
			assert.Equal(t, 0, r.code, r.stderr)
		})
	}
}
