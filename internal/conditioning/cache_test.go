package conditioning

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

func TestTextCacheIsBounded(t *testing.T) {
	out := func(v float32) backend.TextOutput {
		return backend.TextOutput{Hidden: backend.Tensor{Shape: []int{1, 1, 10}, Data: []float32{v, 0, 0, 0, 0, 0, 0, 0, 0, 0}}}
	}
	key := func(n int32) textID { return keyOfText("base", backend.TextInput{IDs: [][]int32{{n}}}, "") }
	c := NewCache(100) // of two entries of 40 bytes
	c.put(key(1), out(1))
	c.put(key(2), out(2))
	_, ok := c.get(key(1))
	require.True(t, ok)
	c.put(key(3), out(3))
	_, ok = c.get(key(2))
	assert.False(t, ok, "it was not used for the longest time")
	one, ok := c.get(key(1))
	assert.True(t, ok)
	assert.Equal(t, float32(1), one.Hidden.Data[0])
	assert.Equal(t, int64(80), c.bytes)
	off := NewCache(-1)
	off.put(key(1), out(1))
	_, ok = off.get(key(1))
	assert.False(t, ok)
}

func TestKeysOfTexts(t *testing.T) {
	base := backend.TextInput{Encoder: 1, ClipSkip: 1, IDs: [][]int32{{1, 2}, {3, 4}}, Custom: backend.Tensor{Data: []float32{1}}}
	seen := map[textID]string{keyOfText("base", base, ""): "itself"}
	for what, in := range map[string]backend.TextInput{
		"encoder": {Encoder: 0, ClipSkip: 1, IDs: base.IDs, Custom: base.Custom},
		"layer":   {Encoder: 1, ClipSkip: 0, IDs: base.IDs, Custom: base.Custom},
		"chunks":  {Encoder: 1, ClipSkip: 1, IDs: [][]int32{{1, 2, 3, 4}}, Custom: base.Custom},
		"tokens":  {Encoder: 1, ClipSkip: 1, IDs: [][]int32{{1, 2}, {3, 5}}, Custom: base.Custom},
		"vectors": {Encoder: 1, ClipSkip: 1, IDs: base.IDs, Custom: backend.Tensor{Data: []float32{2}}},
	} {
		k := keyOfText("base", in, "")
		assert.Empty(t, seen[k], what)
		seen[k] = what
	}
	for _, k := range []textID{keyOfText("refiner", base, ""), keyOfText("base", base, "a")} {
		assert.Empty(t, seen[k])
	}
}
