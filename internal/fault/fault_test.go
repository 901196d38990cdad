package fault

import (
	"errors"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
)

// An error stops the code and is returned as it is; other panics, those of the runtime among them, are not swallowed.
func TestCatch(t *testing.T) {
	boom := errors.New("boom")
	reached := false
	assert.Same(t, boom, Catch(func() {
		Check(nil)
		Check(boom)
		reached = true
	}))
	assert.False(t, reached)
	assert.NoError(t, Catch(func() { assert.Equal(t, 7, Value(strconv.Atoi("7"))) }))
	assert.ErrorIs(t, Catch(func() { Value(strconv.Atoi("x")) }), strconv.ErrSyntax)
	assert.PanicsWithValue(t, "ours", func() { _ = Catch(func() { panic("ours") }) })
	var none []int
	assert.Panics(t, func() { _ = Catch(func() { none[len(none)]++ }) })
}
