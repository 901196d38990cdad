package output

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWindowsNames(t *testing.T) {
	for _, name := range []string{`\out\a.png`, `out/a b.png`, `..\a.png`, `./a.png`, `\\server\share\käse.png`, "conx.png", "com10.png",
		"a.con", ".hidden.png", "console.png", "lpt.png"} {
		require.NoError(t, windowsName(name), name)
	}
	for name, found := range map[string]string{
		"con": "a device", "out/CON.png": "a device", `con.folder\a.png`: "a device", "nul .png": "a device", "COM1.png": "a device",
		"lpt9": "a device", "com¹.png": "a device", "Aux.tar.gz": "a device", "conout$": "a device",
		`models.\a.png`: "drops a point", "a.png ": "drops a point", "a.png.": "drops a point", "...": "drops a point",
		"a:b.png": `':'`, `a"b.png`: `'"'`, "what?.png": `'?'`, "a|b": `'|'`, "a\tb.png": "control characters",
		strings.Repeat("x", 256): "at most 255",
	} {
		err := windowsName(name)
		require.Error(t, err, name)
		assert.ErrorContains(t, err, found, name)
		assert.ErrorContains(t, err, "choose another with -o")
	}
}
