package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patch makes a patch of files.
func patch(t *testing.T, files ...string) string {
	t.Helper()
	text := ""
	for _, f := range files {
		text += "diff --git a/" + f + " b/" + f + "\nnew file mode 100644\n--- /dev/null\n+++ b/" + f +
			"\n@@ -0,0 +1 @@\n+diff --git is text here\n"
	}
	path := filepath.Join(t.TempDir(), "x.patch")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func TestTouch(t *testing.T) {
	within := patch(t, "runtime/controlnet/new.go", "runtime/controlnet/preprocessor.go", "runtime/controlnet/new_test.go",
		"runtime/controlnet/testdata/new.png", "docs/controlnet.md", "CHANGELOG.md")
	require.NoError(t, touch("preprocessor="+within))
	require.ErrorContains(t, touch("preprocessor="+patch(t, "a.go", "b.go", "native/src/c.cpp")), "touches 3 files, and 2 are allowed")
	require.ErrorContains(t, touch("preprocessor="+patch(t, "a_test.go")), "touches no code")
	for _, bad := range []string{"sampler=x", "preprocessor", "preprocessor=no..such"} {
		assert.Error(t, touch(bad), bad)
	}
}

func TestFilesOf(t *testing.T) {
	assert.Equal(t, []string{"a.go", "b.go"}, filesOf([]byte("diff --git a/a.go b/b.go\nsimilarity index 90%\nrename from a.go\nrename to "+
		"b.go\n")))
	assert.Equal(t, []string{"x.png"}, filesOf([]byte("diff --git a/x.png b/x.png\nBinary files a/x.png and b/x.png differ\n")))
}
