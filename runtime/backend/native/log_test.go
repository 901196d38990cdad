package native

import (
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestParseLoading holds what is read here against what the library writes.
func TestParseLoading(t *testing.T) {
	l, ok := parseLoading("loading unet: 25 % of 4897.2 MiB")
	require.True(t, ok)
	assert.Equal(t, loading{"unet", 1283771596, 5135086387}, l)
	for _, other := range []string{"", "loading", "loading unet: x % of 1.0 MiB", "a loading unet: 25 % of 4897.2 MiB"} {
		_, ok := parseLoading(other)
		assert.False(t, ok, other)
	}
	source, err := os.ReadFile("../../../native/src/model/params_place.cpp")
	require.NoError(t, err)
	assert.Regexp(t, regexp.QuoteMeta(`"loading %s: %.0f %% of %.1f MiB"`), string(source))
}
