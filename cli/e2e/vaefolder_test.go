package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestVAECheckTakesFolders: a VAE is judged in a folder as it is in a file, in its own and in a pipeline's.
func TestVAECheckTakesFolders(t *testing.T) {
	source := newFieldSource(t)
	for name, folder := range map[string]func(*kit) string{"the VAE's": of(folder(usual), "vae"), "a pipeline's": folder(usual)} {
		t.Run(name, func(t *testing.T) {
			path := folder(&kit{t: t, dir: t.TempDir(), fieldSource: source})
			r := run(t, "vae", "check", path, source.picture)
			require.Equal(t, 0, r.code, "%s%s", r.stdout, r.stderr)
		})
	}
}
