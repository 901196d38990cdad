package prompt

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func reader(t *testing.T, opt Options) *Reader {
	t.Helper()
	opt.Tokenize = fakeTokens
	r, err := NewReader(opt)
	require.NoError(t, err)
	return r
}

func read(t *testing.T, r *Reader, text string, encoder int) Text {
	t.Helper()
	out, err := r.Read(text, encoder)
	require.NoError(t, err)
	checkText(t, text, out)
	return out
}

// checkText holds what is true of every Text.
func checkText(t *testing.T, prompt string, x Text) {
	t.Helper()
	if x.Chunks() < 1 || len(x.Weights) != x.Chunks() {
		t.Fatalf("%d rows, %d rows of weights", x.Chunks(), len(x.Weights))
	}
	used := make([]int, x.Chunks())
	for i, tok := range x.Tokens {
		if tok.Position != used[tok.Chunk]+1 || i > 0 && tok.Chunk < x.Tokens[i-1].Chunk {
			t.Fatalf("token %d at chunk %d position %d", i, tok.Chunk, tok.Position)
		}
		used[tok.Chunk]++
		if x.IDs[tok.Chunk][tok.Position] != tok.ID || x.Weights[tok.Chunk][tok.Position] != tok.Weight {
			t.Fatalf("token %d disagrees with its row", i)
		}
		if tok.Start < 0 || tok.Start > tok.End || tok.End > len(prompt) {
			t.Fatalf("token %d lies at [%d, %d) of %d bytes", i, tok.Start, tok.End, len(prompt))
		}
		if k := int(tok.ID) - vocabSize; k >= len(x.Custom) {
			t.Fatalf("token %d names custom row %d of %d", i, k, len(x.Custom))
		}
	}
	for c, ids := range x.IDs {
		n := used[c]
		if len(ids) != RowTokens || len(x.Weights[c]) != RowTokens || n > chunkTokens {
			t.Fatalf("row %d: %d ids, %d tokens", c, len(ids), n)
		}
		if ids[0] != bos || ids[n+1] != eos {
			t.Fatalf("row %d: no start or end", c)
		}
		for i := n + 2; i < RowTokens; i++ {
			if ids[i] != x.pad || x.Weights[c][i] != 1 {
				t.Fatalf("row %d: no padding at %d", c, i)
			}
		}
	}
}

func words(n int, prefix string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(prefix)
		b.WriteString(strings.Repeat("x", i%5+1))
		b.WriteByte(' ')
	}
	return b.String()
}

func TestReadRows(t *testing.T) {
	r := reader(t, Options{})
	one, two := read(t, r, "a cat", 0), read(t, r, "a cat", 1)
	assert.Equal(t, []int32{bos, fakeID("a"), fakeID("cat"), eos, eos}, one.IDs[0][:5])
	assert.Equal(t, []int32{bos, fakeID("a"), fakeID("cat"), eos, 0}, two.IDs[0][:5])
	empty := read(t, r, "", 1)
	assert.Equal(t, 1, empty.Chunks())
	assert.Equal(t, []int32{bos, eos, 0}, empty.IDs[0][:3])
	assert.False(t, empty.Weighted())
}

func TestReadLength(t *testing.T) {
	r := reader(t, Options{CommaBackoff: -1})
	for n, chunks := range map[int]int{0: 1, 1: 1, 74: 1, 75: 1, 76: 2, 150: 2, 151: 3, 4800: 64} {
		assert.Equal(t, chunks, read(t, r, words(n, "w"), 0).Chunks(), "%d tokens", n)
	}
	_, err := r.Read(words(4801, "w"), 0)
	require.ErrorIs(t, err, ErrTooLong)
	_, err = r.Read(strings.Repeat("BREAK ", 70), 0)
	require.ErrorIs(t, err, ErrTooLong)
	_, err = r.Read("x", 2)
	require.Error(t, err)
}

func TestReadBreak(t *testing.T) {
	r := reader(t, Options{})
	assert.Equal(t, 2, read(t, r, "a BREAK b", 0).Chunks())
	assert.Equal(t, 1, read(t, r, "a BREAK", 0).Chunks())
	assert.Equal(t, 2, read(t, r, "BREAK a", 0).Chunks(), "an empty chunk counts")
	assert.Equal(t, 3, read(t, r, "a BREAK BREAK b", 0).Chunks())
	plain := read(t, reader(t, Options{Plain: true}), "(a:1.2) BREAK", 0)
	assert.Equal(t, 1, plain.Chunks())
	assert.False(t, plain.Weighted())
	assert.Len(t, plain.Tokens, 8)
}

func TestCommaBackoff(t *testing.T) {
	text := words(60, "w") + ", " + words(20, "v") // the comma is token 61; 75 falls among the v
	on := read(t, reader(t, Options{}), text, 0)
	off := read(t, reader(t, Options{CommaBackoff: -1}), text, 0)
	count := func(x Text, chunk int) (n int) {
		for _, tok := range x.Tokens {
			if tok.Chunk == chunk {
				n++
			}
		}
		return
	}
	assert.Equal(t, 61, count(on, 0))
	assert.Equal(t, 20, count(on, 1))
	assert.Equal(t, 75, count(off, 0))
	near := read(t, reader(t, Options{CommaBackoff: 10}), text, 0)
	assert.Equal(t, 75, count(near, 0), "the comma is farther back than 10")
	exact := read(t, reader(t, Options{}), words(75, "w")+", v", 0)
	assert.Equal(t, 75, count(exact, 0))
	assert.Equal(t, int32(267), exact.IDs[1][1], "a comma itself does not back off")
}

func TestPositions(t *testing.T) {
	const in = `a (red cat:1.3), \(x\)`
	x := read(t, reader(t, Options{}), in, 0)
	var got []string
	for _, tok := range x.Tokens {
		got = append(got, fmt.Sprintf("%s=%.1f", in[tok.Start:tok.End], tok.Weight))
	}
	// "(x)" is one word of three tokens with the place of the whole word
	assert.Equal(t, []string{"a=1.0", "red=1.3", "cat=1.3", ",=1.0", `(x\)=1.0`, `(x\)=1.0`, `(x\)=1.0`}, got)
}

func TestEmbeddings(t *testing.T) {
	vec := func(n, w int, v float32) [][]float32 {
		out := make([][]float32, n)
		for i := range out {
			out[i] = make([]float32, w)
			for k := range out[i] {
				out[i][k] = v + float32(i)
			}
		}
		return out
	}
	r := reader(t, Options{Widths: [2]int{2, 3}, CommaBackoff: -1, Embeddings: []Embedding{
		{Name: "hat", L: vec(2, 2, 10), G: vec(2, 3, 20)},
		{Name: "hat-style", L: vec(3, 2, 30), G: vec(3, 3, 40)},
		{Name: "onlyl", L: vec(1, 2, 50)},
	}})
	x := read(t, r, "a (hat:1.4) and Hat-Style hat", 1)
	assert.Equal(
		t,
		[]int32{
			bos,
			fakeID("a"),
			vocabSize,
			vocabSize + 1,
			fakeID("and"),
			vocabSize + 2,
			vocabSize + 3,
			vocabSize + 4,
			vocabSize,
			vocabSize + 1,
			eos,
		},
		x.IDs[0][:11],
	)
	assert.Equal(t, []float32{1, 1, 1.4, 1.4, 1}, x.Weights[0][:5])
	require.Len(t, x.Custom, 5)
	assert.Equal(t, []float32{41, 41, 41}, x.Custom[3])
	assert.Equal(t, "hat-style", x.Tokens[4].Embedding)

	g := read(t, r, "onlyl", 1)
	assert.Equal(t, [][]float32{{0, 0, 0}}, g.Custom)
	require.Len(t, g.Warnings, 1)
	assert.Contains(t, g.Warnings[0], "onlyl")
	assert.Equal(t, read(t, r, "onlyl", 0).Tokens[0].Position, g.Tokens[0].Position)

	long := read(t, r, words(74, "w")+" hat", 0)
	assert.Equal(t, 2, long.Chunks(), "vectors are not divided")

	for name, e := range map[string]Embedding{
		"none":  {Name: "x"},
		"many":  {Name: "x", L: vec(76, 2, 0)},
		"width": {Name: "x", L: vec(1, 3, 0)},
		"count": {Name: "x", L: vec(1, 2, 0), G: vec(2, 3, 0)},
		"name":  {Name: " ", L: vec(1, 2, 0)},
	} {
		_, err := NewReader(Options{Tokenize: fakeTokens, Widths: [2]int{2, 3}, Embeddings: []Embedding{e}})
		require.ErrorIs(t, err, ErrEmbedding, name)
	}
	same := Embedding{Name: "x", L: vec(1, 2, 0)}
	_, err := NewReader(Options{Tokenize: fakeTokens, Embeddings: []Embedding{same, {Name: "X", L: same.L}}})
	require.ErrorIs(t, err, ErrEmbedding)
	_, err = NewReader(Options{})
	require.Error(t, err)
}

func TestTokenizerErrors(t *testing.T) {
	broken := errors.New("no tokenizer")
	_, err := NewReader(Options{Tokenize: func(string) ([]int32, error) { return nil, broken }})
	require.ErrorIs(t, err, broken)
	r := reader(t, Options{})
	r.opt.Tokenize = func(string) ([]int32, error) { return nil, broken }
	_, err = r.Read("a", 0)
	require.ErrorIs(t, err, broken)
}

// A tokenizer that joins words over white space: places fall back to the whole span.
func TestPositionsFallBack(t *testing.T) {
	r, err := NewReader(Options{Tokenize: func(s string) ([]int32, error) { return []int32{int32(len(s))}, nil }})
	require.NoError(t, err)
	x := read(t, r, "a b", 0)
	assert.Equal(t, 0, x.Tokens[0].Start)
	assert.Equal(t, 3, x.Tokens[0].End)
}

func TestPadded(t *testing.T) {
	r := reader(t, Options{})
	a, b := read(t, r, "a BREAK b BREAK c", 1), read(t, r, "", 1)
	rows := len(b.IDs)
	c := b.Padded(a.Chunks())
	assert.Equal(t, 3, a.Chunks())
	assert.Equal(t, 3, c.Chunks())
	assert.Equal(t, b.IDs[0], c.IDs[2])
	assert.Len(t, b.IDs, rows, "the original is not changed")
}

func TestWeigh(t *testing.T) {
	r := reader(t, Options{})
	const width = 4
	x := read(t, r, "plain BREAK (a:1.5) b (c:0.5)", 0)
	hidden := make([]float32, x.Chunks()*RowTokens*width)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range hidden {
		hidden[i] = rng.Float32() + 0.5
	}
	before := append([]float32(nil), hidden...)
	require.NoError(t, x.Weigh(hidden, width, EmphasisNone))
	assert.Equal(t, before, hidden)
	require.NoError(t, x.Weigh(hidden, width, EmphasisA1111))
	half := RowTokens * width
	assert.Equal(t, before[:half], hidden[:half], "a chunk of weight 1 keeps its bits")
	assert.InDelta(t, mean(before[half:]), mean(hidden[half:]), 1e-6, "the mean is restored")
	ratio := func(tok int) float64 {
		return float64(hidden[half+tok*width]) / float64(before[half+tok*width])
	}
	assert.InDelta(t, 1.5, ratio(1)/ratio(2), 1e-5)
	assert.InDelta(t, 0.5, ratio(3)/ratio(2), 1e-5)
	assert.InDelta(t, ratio(0), ratio(2), 1e-6)

	assert.Error(t, x.Weigh(hidden[1:], width, EmphasisA1111))
	assert.Error(t, x.Weigh(hidden, width, "strange"))
	zero := make([]float32, len(hidden))
	require.NoError(t, x.Weigh(zero, width, EmphasisA1111))
	for _, v := range zero {
		require.Equal(t, float32(0), v)
	}
}

// Properties: tokens survive chunking in order, and brackets of weight one change nothing.
func TestReadProperties(t *testing.T) {
	r := reader(t, Options{})
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		n := rng.IntN(200)
		var b strings.Builder
		for range n {
			b.WriteString([]string{"cat", "dog", ",", "red", "(x:1)", "BREAK", "7"}[rng.IntN(7)])
			b.WriteByte(' ')
		}
		text := b.String()
		x := read(t, r, text, rng.IntN(2))
		plain := strings.NewReplacer("BREAK", "", "(x:1)", "x").Replace(text)
		want, _ := fakeTokens(plain)
		var got []int32
		for _, tok := range x.Tokens {
			got = append(got, tok.ID)
		}
		require.Equal(t, len(want), len(got))
		for i := range want {
			require.Equal(t, want[i], got[i])
		}
		require.False(t, x.Weighted())
	}
}

// TestPlainSpecialTokens: what SDXL's own tokenizers take for special tokens is taken out of a plain text; in the second that is "!" too.
func TestPlainSpecialTokens(t *testing.T) {
	wow := Embedding{Name: "wow!", L: [][]float32{{1}}, G: [][]float32{{1}}}
	special := func(syntax bool, text string, encoder int) []int32 {
		r := reader(t, Options{Plain: !syntax, Embeddings: []Embedding{wow}})
		got, err := r.Read(text, encoder)
		require.NoError(t, err)
		var out []int32
		for _, token := range got.Tokens {
			if token.ID == 0 || token.ID >= bos {
				out = append(out, token.ID)
			}
		}
		return out
	}
	assert.Empty(t, special(true, "a!b ! c", 1), "A1111's syntax has none")
	assert.Empty(t, special(false, "a!b ! c", 0))
	assert.Equal(t, []int32{0, 0}, special(false, "a!b ! c", 1))
	assert.Equal(t, []int32{0, 0, 0}, special(false, "!!!", 1))
	for encoder := range 2 {
		assert.Equal(t, []int32{bos, eos}, special(false, "<|startoftext|>a<|endoftext|>", encoder))
		assert.Equal(t, []int32{vocabSize}, special(false, "a wow! b", encoder), "an embedding's name is found in both")
	}
}
