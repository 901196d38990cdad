package native_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/prompt"
)

// TestTokensOfEveryCodePoint: each within a word, twice, as the tokenizers library splits them; written by tools/goldens/classes.py.
func TestTokensOfEveryCodePoint(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "tokens", "blocks.txt"))
	require.NoError(t, err)
	want := strings.Fields(string(data))
	require.Len(t, want, 0x110000/256)
	b, _ := nanoBackend(t)
	for block, hash := range want {
		var text strings.Builder
		for c := rune(block * 256); c < rune(block*256+256); c++ {
			if c < 0xd800 || c >= 0xe000 {
				fmt.Fprintf(&text, "a%c%cb ", c, c)
			}
		}
		ids, err := b.Tokenize(text.String())
		require.NoError(t, err)
		h := fnv.New32a()
		for _, id := range ids {
			h.Write([]byte{byte(id), byte(id >> 8)})
		}
		assert.Equal(t, hash, fmt.Sprintf("%08x", h.Sum32()), "code points from %#x on", block*256)
	}
}

// TestNumeralsStandAlone: numerals of every script and kind are tokens of their own, not part of a run of signs.
func TestNumeralsStandAlone(t *testing.T) {
	b, _ := nanoBackend(t)
	for text, want := range map[string][]int32{ // of transformers' CLIPTokenizer
		"a²": {320, 41175},
		"b①": {321, 158, 239, 510},
	} {
		ids, err := b.Tokenize(text)
		require.NoError(t, err)
		assert.Equal(t, want, ids, text)
	}
}

// TestGoldenTokens: plain prompts are what both of SDXL's tokenizers make of them in transformers, special tokens included.
func TestGoldenTokens(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "goldens", "tokens.json"))
	require.NoError(t, err)
	var goldens []struct {
		Prompt     string
		Tokenizer  []int32
		Tokenizer2 []int32 `json:"tokenizer_2"`
	}
	require.NoError(t, json.Unmarshal(data, &goldens))
	b, _ := nanoBackend(t)
	r, err := prompt.NewReader(prompt.Options{Tokenize: b.Tokenize, Plain: true, CommaBackoff: -1})
	require.NoError(t, err)
	for _, g := range goldens {
		for encoder, want := range [][]int32{g.Tokenizer, g.Tokenizer2} {
			text, err := r.Read(g.Prompt, encoder)
			require.NoError(t, err)
			assert.Equal(t, want, text.IDs[0], "%q, tokenizer %d", g.Prompt, encoder+1)
		}
	}
}
