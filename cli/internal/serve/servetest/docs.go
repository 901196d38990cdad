package servetest

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Documented checks that a part of docs/serving-clients.md, between two marks, is what the program says. With DAGUERRE_UPDATE_DOCS it is
// written.
func Documented(t *testing.T, part, text string) {
	t.Helper()
	const page = "../../../docs/serving-clients.md" // of a package below cli/internal
	data, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(data), "<!-- "+part+": begin -->\n")
	have, after, ok2 := strings.Cut(rest, "<!-- "+part+": end -->")
	require.True(t, ok && ok2, "%s has no part %s", page, part)
	if os.Getenv("DAGUERRE_UPDATE_DOCS") != "" {
		text := before + "<!-- " + part + ": begin -->\n" + text + "<!-- " + part + ": end -->" + after
		require.NoError(t, os.WriteFile(page, []byte(text), 0o644))
		return
	}
	assert.Equal(t, text, have, "run DAGUERRE_UPDATE_DOCS=1 go test ./cli/internal/openai ./cli/internal/a1111 -run Documented")
}
