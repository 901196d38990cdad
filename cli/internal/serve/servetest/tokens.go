package servetest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/serve"
)

// Token is the token of an owner in the files of Tokens.
func Token(owner string) string { return owner + "-0123456789abcdef" }

// TokenFile writes a file with a token for each owner, and returns its path. The keys are owners; the values are further lines of their
// tables: limits, or "admin = true".
func TokenFile(t testing.TB, owners map[string]string) string {
	text := ""
	for owner, more := range owners {
		sum := sha256.Sum256([]byte(Token(owner)))
		text += fmt.Sprintf("[[token]]\nname = %q\nsha256 = %q\n%s\n", owner, hex.EncodeToString(sum[:]), more)
	}
	path := filepath.Join(t.TempDir(), "tokens.toml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// Tokens reads a file of TokenFile.
func Tokens(t testing.TB, owners map[string]string) *serve.Tokens {
	list, err := serve.ReadTokens(TokenFile(t, owners), nil)
	require.NoError(t, err)
	return list
}
