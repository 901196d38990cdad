package words

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWrap(t *testing.T) {
	assert.Equal(t, []string{"a bb", "ccc", "dddddd", "e"}, Wrap("a bb\nccc dddddd e", 4))
	assert.Equal(t, []string{"a bb ccc"}, Wrap(" a bb  ccc ", 0))
	assert.Equal(t, []string{"äö ü", "ß"}, Wrap("äö ü ß", 4), "characters count, not bytes")
	assert.Equal(t, []string{""}, Wrap("", 4))
}

func TestWrapCommand(t *testing.T) {
	line := `prog make --model a-long-name.safetensors --prompt "a red circle" -n 4 -o '{seed}.png'`
	lines := WrapCommand(line, 40)
	assert.Equal(t, []string{`prog make \`, `    --model a-long-name.safetensors \`, `    --prompt "a red circle" -n 4 \`, `    -o '{seed}.png'`}, lines)
	var joined []string
	for _, l := range lines {
		joined = append(joined, strings.TrimSpace(strings.TrimSuffix(l, `\`)))
	}
	assert.Equal(t, line, strings.Join(joined, " "), "a shell reads the same")
	assert.Equal(t, []string{line}, WrapCommand(line, 200))
}
