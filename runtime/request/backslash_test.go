package request

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBackslashes: a path of Windows in double quotes is no TOML, and the message says how to write it.
func TestBackslashes(t *testing.T) {
	for _, text := range []string{`output = "C:\models\x.png"`, `output = "C:\Users\x.png"`, `output = "D:\x.png"`} {
		_, err := DecodeTOML([]byte(text))
		assert.ErrorContains(t, err, "write paths with / or in single quotes: 'C:", text)
	}
	for _, text := range []string{`output = 'C:\models\x.png'`, `output = "C:\\models\\x.png"`} {
		run, err := DecodeTOML([]byte("prompt = 'x'\r\n" + text + "\r\n"))
		require.NoError(t, err, text)
		assert.Equal(t, `C:\models\x.png`, run.Jobs[0].Output)
	}
}
