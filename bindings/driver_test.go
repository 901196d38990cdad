package bindings

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/bindings/bindingstest"
)

// TestLibraryWithoutItsDriver: a GPU library links the runtime of its GPU. Where that is not installed, the attempt names the file that
// is missing, and the next library is taken.
func TestLibraryWithoutItsDriver(t *testing.T) {
	const soname = "libgpuruntime-not-installed.so.1"
	for _, variant := range []string{"cuda", "vulkan"} {
		t.Run(variant, func(t *testing.T) {
			dir := t.TempDir()
			runtime := filepath.Join(dir, "runtime.so")
			bindingstest.Compile(t, runtime, "int gpus(void); int gpus(void) { return 0; }", "-shared", "-fPIC", "-Wl,-soname,"+soname)
			bindingstest.Compile(t, filepath.Join(dir, fileName(variant)), "int gpus(void); int count(void); int count(void) { return gpus(); }",
				"-shared", "-fPIC", "-Wl,--no-as-needed", runtime)
			require.NoError(t, os.Remove(runtime))
			bindingstest.Fake(t, dir, fileName("cpu"))
			files, err := elsewhere(dir).find(Options{Path: dir})
			require.NoError(t, err)

			lib, attempts := try(files, "")
			require.Equal(t, "cpu", lib.Variant())
			tried := map[string]string{}
			for _, a := range attempts {
				tried[a.Variant] = a.Outcome
			}
			require.Contains(t, tried[variant], "dlopen failed")
			require.Contains(t, tried[variant], soname)

			lib, attempts = try(files, variant)
			require.Nil(t, lib, "asked for by name, no other is taken")
			require.ErrorContains(t, &LoadError{Variant: variant, Attempts: attempts}, soname)
		})
	}
}
