package machine

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestDarwinFigures(t *testing.T) {
	const gib = 1 << 30
	f := darwinFigures{total: 16 * gib, free: gib, purgeable: 2 * gib, external: 3 * gib, process: gib}
	s, ok := f.system()
	assert.True(t, ok)
	assert.Equal(t, System{TotalBytes: 16 * gib, AvailableBytes: 6 * gib, ProcessBytes: gib, Limit: limitOfMachine}, s)
	f.external = 20 * gib
	assert.EqualValues(t, 16*gib, f.available(), "never more than there is")
	for name, unknown := range map[string]darwinFigures{"nothing": {}, "no process": {total: gib, free: gib},
		"no pages": {total: gib, process: 1}} {
		_, ok := unknown.system()
		assert.False(t, ok, name)
	}
}

func TestDarwinLoad(t *testing.T) {
	load, ok := loadOf([]byte{0, 14, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0})
	assert.True(t, ok)
	assert.InDelta(t, 1.75, load, 1e-9)
	for _, raw := range [][]byte{nil, make([]byte, 23), make([]byte, 24)} {
		_, ok := loadOf(raw)
		assert.False(t, ok)
	}
}
