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
	// They kill the worker by its number, or start a program that does not exist. Wine's numbers are not this machine's, and the wrapper
	// always starts.
	csharpLeftOut = []string{"restart", "death", "start"}
	t.Cleanup(func() { program = own })
	TestCSharp(t)
}
