//go:build !race

package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// TestNanoPairs: nano-pair draws both shapes of a prompt, each in its place and colour, in combinations that it has not seen. What
// nano-base draws it draws, too.
func TestNanoPairs(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "models", "nano", "pairs.json"))
	require.NoError(t, err)
	var prompts []checker.Prompt
	require.NoError(t, json.Unmarshal(data, &prompts))
	require.Len(t, prompts, 100)
	p, err := Open(t.Context(), Config{Model: unpackNano(t, "nano-pair.safetensors"), Precision: backend.PrecisionAuto, Threads: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	every := 20
	if measureAll() {
		every = 1
	}
	made, right, places := 0, 0, 0
	for i, prompt := range prompts {
		if i%every != 0 {
			continue
		}
		r, err := checker.ScorePair(generate(t, p, request.Request{Prompt: prompt.Prompt, Seed: prompt.Seed}).Images[0], prompt.Prompt)
		require.NoError(t, err)
		made++
		if r[0].Position && r[1].Position && r[0].Colour && r[1].Colour {
			places++
		}
		if r[0].OK() && r[1].OK() {
			right++
		}
	}
	t.Logf("two shapes: both colours in their places %d/%d, shapes and background right, too, %d/%d", places, made, right, made)
	assert.GreaterOrEqual(t, float64(right), 0.9*float64(made))

	var sum checker.Summary
	for i, h := range checker.HeldOut() {
		if i%(2*every) != 0 {
			continue
		}
		result, err := checker.Score(generate(t, p, request.Request{Prompt: h.Prompt, Seed: h.Seed}).Images[0], h.Prompt)
		require.NoError(t, err)
		sum.Add(result)
	}
	t.Logf("one shape: %s", sum)
	assert.GreaterOrEqual(t, float64(sum.All), 0.9*float64(sum.N))
}
