//go:build !race

package pipeline

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestSecondRequestSkipsTheTextEncoders does so on the nano model: the same pictures as without a cache, in none of the time.
func TestSecondRequestSkipsTheTextEncoders(t *testing.T) {
	open := func(limit int64) *Pipeline {
		p, err := Open(t.Context(), Config{Model: NanoModel, Threads: 1, TextCache: limit})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		return p
	}
	req := request.Request{Prompt: "a (red:1.3) circle on a blue background", NegativePrompt: "a green star", Seed: 3, NumInferenceSteps: 4}
	without := open(-1)
	want := generate(t, without, req)
	again := generate(t, without, req)
	assert.Equal(t, TextStats{Encoded: 4}, again.Texts)
	cached := open(0)
	for range 2 {
		got := generate(t, cached, req)
		assert.Equal(t, want.Images[0].Pix, got.Images[0].Pix)
	}
	second := generate(t, cached, req)
	assert.Equal(t, TextStats{Cached: 4}, second.Texts)
	t.Logf("text stage: %v without the cache, %v with it", again.Timings.Text, second.Timings.Text)
	assert.Less(t, second.Timings.Text, again.Timings.Text/2)
}
