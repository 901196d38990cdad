package pipeline

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// writeEmbedding writes a textual inversion as safetensors: n vectors of a width for each encoder, all of one value.
func writeEmbedding(t *testing.T, path string, n, width int, value float32) {
	t.Helper()
	size := 4 * n * width
	tensor := func(k int) map[string]any {
		return map[string]any{"dtype": "F32", "shape": []int{n, width}, "data_offsets": []int{k * size, (k + 1) * size}}
	}
	header, err := json.Marshal(map[string]any{"clip_l": tensor(0), "clip_g": tensor(1)})
	require.NoError(t, err)
	data := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
	for range 2 * n * width {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(value))
	}
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

func TestTextualInversion(t *testing.T) {
	dir := t.TempDir()
	writeEmbedding(t, filepath.Join(dir, "sparkle.safetensors"), 2, 8, 0.5)
	writeEmbedding(t, filepath.Join(dir, "broken.safetensors"), 1, 9, 0.5)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("x"), 0o600))
	open := func(cfg Config) *Pipeline {
		b := &fake.Backend{}
		p, err := Open(t.Context(), cfg, WithBackend(b))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, p.Close()) })
		return p
	}
	plain := generate(t, open(Config{}), small("a sparkle circle")).Images[0]
	folder := open(Config{EmbeddingDirectories: []string{dir}})
	named := generate(t, folder, small("a sparkle circle")).Images[0]
	assert.NotEqual(t, plain.Latents.Data, named.Latents.Data, "the word stands for its vectors")
	listed := open(Config{Embeddings: []string{filepath.Join(dir, "sparkle.safetensors")}})
	assert.Equal(t, named.Latents.Data, generate(t, listed, small("a sparkle circle")).Images[0].Latents.Data)
	assert.Equal(t, generate(t, open(Config{}), small("a circle")).Images[0].Latents.Data,
		generate(t, folder, small("a circle")).Images[0].Latents.Data)

	out := generate(t, folder, small("a broken circle"))
	require.Len(t, out.Warnings, 1)
	assert.Contains(t, out.Warnings[0], "broken.safetensors")
	assert.Contains(t, out.Warnings[0], "it is for another model")

	for want, cfg := range map[string]Config{
		"it is for another model": {Embeddings: []string{filepath.Join(dir, "broken.safetensors")}},
		"none.pt":                 {Embeddings: []string{filepath.Join(dir, "none.pt")}},
		"embedding_directories":   {EmbeddingDirectories: []string{filepath.Join(dir, "none")}},
	} {
		b := &fake.Backend{}
		_, err := Open(t.Context(), cfg, WithBackend(b))
		require.Error(t, err)
		assert.ErrorContains(t, err, want)
		assert.Zero(t, b.LiveModels())
	}
}

func TestPromptSyntax(t *testing.T) {
	p, s := openSpy(t, &fake.Backend{})
	latents := func(r request.Request) []float32 { return generate(t, p, r).Images[0].Latents.Data }
	plain := latents(small("a red circle"))
	assert.NotEqual(t, plain, latents(small("a (red:1.3) circle")))
	assert.Equal(t, plain, latents(small("a (red:1.0) circle")))
	bare := small("a (red:1.0) circle")
	bare.PromptSyntax = request.SyntaxPlain
	assert.NotEqual(t, plain, latents(bare), "brackets are text")

	s.inputs = nil
	long := small(strings.Repeat("word ", 100) + "BREAK end")
	long.NegativePrompt = "green"
	generate(t, p, long)
	assert.Equal(t, []int{2, 3 * 77, 16}, s.inputs[0].Context.Shape, "100 words, and a chunk of its own; the negative prompt is padded to it")

	for want, prompt := range map[string]string{
		"prompt: detail: no such file, and lora_directories names no folder to look in": "a circle <lora:detail:0.8>",
		"prompt: has 70000 bytes": strings.Repeat("x", 70000),
	} {
		_, err := p.Generate(t.Context(), small(prompt))
		require.ErrorIs(t, err, request.ErrInvalid)
		assert.ErrorContains(t, err, want)
	}
	run := request.Run{Model: request.Model{Model: "nano"}, Jobs: []request.Request{{}, {NegativePrompt: "<lora:x:abc>"}}}
	assert.ErrorContains(t, CheckRun(&run), "jobs[1].negative_prompt: ")
	_, err := p.Generate(t.Context(), small(strings.Repeat("a ", 6000)))
	require.ErrorIs(t, err, request.ErrInvalid)
	assert.ErrorContains(t, err, "at most 4800")
}
