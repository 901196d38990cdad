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
	t.Cleanup(func() { program = own })
	TestCSharp(t)
}
