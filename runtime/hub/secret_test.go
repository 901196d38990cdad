package hub

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSecretsDoNotPrint: a token does not show however it, or what holds it, is printed.
func TestSecretsDoNotPrint(t *testing.T) {
	token := clean(" hf_SECRET\n")
	assert.Equal(t, "Bearer hf_SECRET", token.header().Get("Authorization"))
	holder := struct{ Token secret }{token}
	data, err := json.Marshal(holder)
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		data = fmt.Appendf(data, verb+verb+verb, token, holder, item{token: token})
	}
	assert.NotContains(t, string(data), "SECRET")
	assert.NotContains(t, string(data), "68665f", "in hexadecimal")
	assert.True(t, clean("two words").none())
	assert.True(t, clean("line\r\nX-Evil: 1").none())
	assert.True(t, clean("").none())
}
