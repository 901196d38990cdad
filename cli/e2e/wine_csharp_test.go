//go:build wine && csharp

package e2e

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWineCSharp has the client in C#, under Mono, talk to the worker for Windows.
func TestWineCSharp(t *testing.T) {
	wrapper, err := filepath.Abs("../../tools/wine/daguerre.sh")
	require.NoError(t, err)
	own := program
	program = wrapper
	// They kill the worker by its number, which is another one in Wine, or give it another DAGUERRE_LIBRARY, which the wrapper sets itself.
	csharpLeftOut = []string{"restart", "death", "start"}
	t.Cleanup(func() { program = own })
	TestCSharp(t)
}
