package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestCUDAToolchain: what `./build.sh cuda` asks of nvcc depends on the architectures it compiles for.
func TestCUDAToolchain(t *testing.T) {
	const rtx50, noGPU = "wanted >= 12.8", "no NVIDIA GPU is here to take the architecture of"
	for _, c := range []struct {
		name, nvcc, arch string
		args             []string
		says, saysNot    string
	}{
		{"for any machine", "13.0", "", []string{"--portable"}, "", noGPU},
		{"for a level", "13.0", "", []string{"--level", "avx2"}, "", noGPU},
		{"for any machine, nvcc before RTX 50", "12.6", "", []string{"--portable"}, rtx50, noGPU},
		{"for the GPU here", "13.0", "", nil, noGPU, rtx50},
		{"for one architecture", "12.6", "80", nil, "", noGPU},
		{"for several", "12.6", "86;120", nil, rtx50, noGPU},
		{"an old nvcc", "11.4", "80", nil, "wanted >= 11.8", noGPU},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			nvcc := filepath.Join(dir, "nvcc")
			require.NoError(t, os.WriteFile(nvcc, []byte("#!/bin/sh\necho 'Cuda compilation tools, release "+c.nvcc+"'\n"), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte("#!/bin/sh\nexit 9\n"), 0o755))
			cmd := exec.Command("../../build.sh", append([]string{"cuda", "--check-tools"}, c.args...)...)
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "CUDACXX="+nvcc, "DAGUERRE_CUDA_ARCH="+c.arch)
			out, err := cmd.CombinedOutput()
			assert.Equal(t, c.says == "", err == nil, string(out))
			assert.Contains(t, string(out), c.says)
			assert.NotContains(t, string(out), c.saysNot)
			assert.NotContains(t, string(out), "unbound variable")
		})
	}
}

// TestShadersAreCompiledOnce: a shader is compiled for the first target that asks for it, and copied for all others.
func TestShadersAreCompiledOnce(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
		return path
	}
	// A compiler that writes its arguments into the output, notes that it ran, and fails where it is told to.
	put("bin/glslc", `#!/bin/sh
echo ran >>"$RAN"
for a; do
    case $previous in -o) out=$a ;; -MF) echo "deps" >"$a" ;; esac
    case $a in -DFAIL=*) exit 3 ;; esac
    previous=$a
done
[ "$out" = - ] && { echo text; exit; }
echo "$@" >"$out"
`)
	once, err := filepath.Abs("../../cmake/build/glslc-once")
	require.NoError(t, err)
	ran, kept := filepath.Join(dir, "ran"), filepath.Join(dir, "kept")
	require.NoError(t, os.Mkdir(kept, 0o755))
	compile := func(args ...string) (string, error) {
		cmd := exec.Command(once, args...)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "RAN="+ran, "DAGUERRE_SHADERS="+kept)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	runs := func() int {
		text, err := os.ReadFile(ran)
		require.NoError(t, err)
		return strings.Count(string(text), "ran")
	}
	a, b := put("linux/mul.comp", "void main() {}"), put("windows/mul.comp", "void main() {}")
	first, second := filepath.Join(dir, "linux", "mul.spv"), filepath.Join(dir, "windows", "mul.spv")
	deps := filepath.Join(dir, "windows", "mul.d")
	said, err := compile("-fshader-stage=compute", a, "-o", first, "-O", "-DA=float")
	require.NoError(t, err, said)
	said, err = compile("-fshader-stage=compute", b, "-o", second, "-O", "-MD", "-MF", deps, "-DA=float")
	require.NoError(t, err, said)
	assert.Equal(t, 1, runs(), "where it is and what comes beside it does not matter")
	third := filepath.Join(dir, "linux", "again", "mul.spv")
	put("linux/again/.keep", "")
	said, err = compile("-fshader-stage=compute", a, "-o", third, "-O", "-MD", "-MF", deps, "-DA=float")
	require.NoError(t, err, said)
	assert.Equal(t, 1, runs())
	want, err := os.ReadFile(first)
	require.NoError(t, err)
	got, err := os.ReadFile(third)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
	rule, err := os.ReadFile(deps)
	require.NoError(t, err)
	assert.Equal(t, third+":\n", string(rule), "ninja reads a rule for the output")

	_, err = compile("-fshader-stage=compute", a, "-o", third, "-O", "-DA=double")
	require.NoError(t, err)
	assert.Equal(t, 2, runs(), "another define is another shader")
	for n := range 2 {
		_, err = compile("-fshader-stage=compute", a, "-o", third, "-DFAIL=1")
		require.Error(t, err)
		assert.Equal(t, 3+n, runs(), "what failed is not kept")
	}
	said, err = compile("-o", "-", "-fshader-stage=compute", a)
	require.NoError(t, err)
	assert.Equal(t, "text\n", said, "a question is passed on")
}
