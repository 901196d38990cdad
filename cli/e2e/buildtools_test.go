package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
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
