// Package prompt turns the text of a prompt into what SDXL's text encoders take: rows of 77 token ids,
// a weight per token and the vectors of textual inversions. It reads A1111's syntax (weights, BREAK,
// <lora:...> tags), splits prompts of any length into chunks of 75 tokens, and applies the weights to the
// encoders' output. It imports nothing but the standard library; the tokenizer is a function.
package prompt

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// CLIP's special tokens and sizes.
const (
	bos         = 49406
	eos         = 49407
	vocabSize   = 49408
	RowTokens   = 77 // ids per row: start, chunkTokens, end
	chunkTokens = 75
)

// Limits on a prompt.
const (
	maxBytes  = 1 << 16 // checked before anything else
	maxChunks = 64
	// defaultCommaBackoff is how far back a full chunk looks for a comma to end at: A1111's default.
	defaultCommaBackoff = 20
)

// The classes of failure, for errors.Is.
var (
	ErrTooLong   = errors.New("prompt too long")
	ErrEncoding  = errors.New("prompt is not valid UTF-8")
	ErrSyntax    = errors.New("bad prompt syntax")
	ErrEmbedding = errors.New("unusable embedding")
)

// Error says what is wrong with a prompt and where. The name of the request's field is the caller's to add.
type Error struct {
	Kind    error
	Offset  int // byte of the prompt, -1 where there is none
	Message string
}

func (e *Error) Error() string {
	if e.Offset < 0 {
		return e.Message
	}
	return fmt.Sprintf("byte %d: %s", e.Offset, e.Message)
}

func (e *Error) Unwrap() error { return e.Kind }

// failure makes an Error.
func failure(kind error, offset int, format string, args ...any) error {
	return &Error{kind, offset, fmt.Sprintf(format, args...)}
}

// Tokenizer returns CLIP's token ids of a text, without start, end and padding.
type Tokenizer func(text string) ([]int32, error)

// Embedding is a textual inversion: vectors for the first encoder (L) and the second (G), by whose name
// they enter a prompt. One of them may be absent.
type Embedding struct {
	Name string
	L, G [][]float32
}

func (e Embedding) vectors(encoder int) [][]float32 {
	if encoder == 0 {
		return e.L
	}
	return e.G
}

func (e Embedding) count() int { return max(len(e.L), len(e.G)) }

// Options configure a Reader. Only Tokenize is needed.
type Options struct {
	Tokenize Tokenizer
	// VocabSize is where the ids of custom vectors begin; 0 means 49,408.
	VocabSize int
	// Widths of the two encoders, to check embeddings against; 0 is not checked.
	Widths     [2]int
	Embeddings []Embedding
	// CommaBackoff: when a chunk is full, it ends at the last comma if that lies at most so many tokens
	// back, so that a phrase is not cut in two. 0 means defaultCommaBackoff, negative turns it off.
	CommaBackoff int
	// Plain switches the syntax off: brackets and BREAK are text. Special tokens are what diffusers takes for them: see specials.
	Plain bool
	// ComfyUI has weights read in ComfyUI's way: see parseComfyUI.
	ComfyUI bool
}

// Reader reads prompts for both encoders. It is safe for concurrent use if its Tokenizer is.
type Reader struct {
	opt     Options
	comma   int32
	byFirst map[int32][]trigger
}

// trigger is an embedding with the ids that its name has in a prompt.
type trigger struct {
	ids []int32
	emb int
}

// padID is the token that fills a row behind the end token: the end token again for the first encoder
// (CLIP-L), 0 for the second (OpenCLIP-bigG), as in the tokenizers' configuration of SDXL.
func padID(encoder int) int32 {
	if encoder == 0 {
		return eos
	}
	return 0
}

// NewReader checks the options and tokenizes the embeddings' names.
func NewReader(opt Options) (*Reader, error) {
	if opt.Tokenize == nil {
		return nil, failure(ErrSyntax, -1, "no tokenizer was given")
	}
	if opt.VocabSize == 0 {
		opt.VocabSize = vocabSize
	}
	if opt.CommaBackoff == 0 {
		opt.CommaBackoff = defaultCommaBackoff
	}
	r := &Reader{opt: opt, comma: -1, byFirst: map[int32][]trigger{}}
	if ids, err := opt.Tokenize(","); err != nil {
		return nil, err
	} else if len(ids) == 1 {
		r.comma = ids[0]
	}
	for i, e := range opt.Embeddings {
		if err := r.addEmbedding(i, e); err != nil {
			return nil, err
		}
	}
	for _, list := range r.byFirst {
		sort.SliceStable(list, func(a, b int) bool { return len(list[a].ids) > len(list[b].ids) })
	}
	return r, nil
}

func (r *Reader) addEmbedding(i int, e Embedding) error {
	bad := func(format string, args ...any) error {
		return failure(ErrEmbedding, -1, "embedding %q: %s", e.Name, fmt.Sprintf(format, args...))
	}
	n := e.count()
	if n == 0 || n > chunkTokens {
		return bad("%d vectors; 1 to %d are possible", n, chunkTokens)
	}
	for encoder := range 2 {
		v := e.vectors(encoder)
		if len(v) != 0 && len(v) != n {
			return bad("%d vectors for one encoder, %d for the other", len(e.L), len(e.G))
		}
		for _, x := range v {
			if w := r.opt.Widths[encoder]; w > 0 && len(x) != w {
				return bad("vectors of width %d, text encoder %d has %d: it is for another model", len(x), encoder+1, w)
			}
		}
	}
	for encoder := range 2 {
		ids, err := r.ids(e.Name, encoder)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return bad("the name has no tokens, so no prompt can name it")
		}
		if slices.ContainsFunc(r.byFirst[ids[0]], func(t trigger) bool { return t.emb == i && slices.Equal(t.ids, ids) }) {
			continue // both encoders read the name alike
		}
		for _, t := range r.byFirst[ids[0]] {
			if slices.Equal(t.ids, ids) {
				return bad("the same name as %q to the tokenizer: rename one of the files", r.opt.Embeddings[t.emb].Name)
			}
		}
		r.byFirst[ids[0]] = append(r.byFirst[ids[0]], trigger{ids, i})
	}
	return nil
}

// Token tells where an id of a Text comes from.
type Token struct {
	Chunk     int     // row
	Position  int     // in the row, 1 to 75
	ID        int32   // VocabSize+k for a custom vector
	Weight    float32 // as written
	Start     int     // the word's bytes in the prompt, [Start, End)
	End       int
	Embedding string // name of the textual inversion, if it is of one
}

// Text is a prompt as one encoder takes it.
type Text struct {
	IDs      [][]int32   // [chunks][77] with start, end and padding
	Weights  [][]float32 // [chunks][77]; 1 for start, end and padding
	Custom   [][]float32 // vectors of textual inversions: id VocabSize+k is row k
	Tokens   []Token     // in order
	Warnings []string

	pad int32
}

// Chunks returns the number of rows; at least 1.
func (t Text) Chunks() int { return len(t.IDs) }

// Weighted reports whether any weight differs from 1.
func (t Text) Weighted() bool {
	return slices.ContainsFunc(t.Weights, weighted)
}

func weighted(row []float32) bool {
	return slices.ContainsFunc(row, func(w float32) bool { return w != 1 })
}

// Padded returns the text with empty rows added up to n chunks; t is not changed.
func (t Text) Padded(n int) Text {
	t.IDs, t.Weights = slices.Clone(t.IDs), slices.Clone(t.Weights)
	for len(t.IDs) < n {
		ids, weights := row(nil, nil, t.pad)
		t.IDs, t.Weights = append(t.IDs, ids), append(t.Weights, weights)
	}
	return t
}

// row makes [start, ids..., end, padding...] and its weights.
func row(ids []int32, weights []float32, pad int32) ([]int32, []float32) {
	out, w := make([]int32, RowTokens), make([]float32, RowTokens)
	out[0] = bos
	copy(out[1:], ids)
	out[len(ids)+1] = eos
	for i := len(ids) + 2; i < RowTokens; i++ {
		out[i] = pad
	}
	for i := range w {
		w[i] = 1
	}
	copy(w[1:], weights)
	return out, w
}

// validate checks length before anything else, then the encoding.
func validate(text string) error {
	if len(text) > maxBytes {
		return failure(ErrTooLong, -1, "%d bytes; at most %d are read", len(text), maxBytes)
	}
	for i, c := range text {
		if c != utf8.RuneError {
			continue
		}
		if _, n := utf8.DecodeRuneInString(text[i:]); n == 1 {
			return failure(ErrEncoding, i, "not valid UTF-8 (0x%02x); save the prompt as UTF-8", text[i])
		}
	}
	return nil
}

// Read reads a prompt for one encoder (0 or 1).
func (r *Reader) Read(text string, encoder int) (Text, error) {
	if encoder != 0 && encoder != 1 {
		return Text{}, failure(ErrSyntax, -1, "text encoder %d; there are 0 and 1", encoder)
	}
	if err := validate(text); err != nil {
		return Text{}, err
	}
	spans := []Span{{Text: text, Weight: 1, End: len(text), origin: bytesFrom(0, len(text))}}
	if !r.opt.Plain {
		var err error
		parse := Parse
		if r.opt.ComfyUI {
			parse = parseComfyUI
		}
		if spans, err = parse(text); err != nil {
			return Text{}, err
		}
	}
	c := &chunker{r: r, encoder: encoder, out: Text{pad: padID(encoder)}, comma: -1, rows: map[int]int{}}
	for _, s := range spans {
		if s.Break {
			c.next()
			continue
		}
		tokens, err := r.tokenize(s, encoder)
		if err != nil {
			return Text{}, err
		}
		if err := c.add(tokens); err != nil {
			return Text{}, err
		}
	}
	if len(c.tokens) > 0 || len(c.out.IDs) == 0 {
		c.next()
	}
	if n := c.out.Chunks(); n > maxChunks {
		return Text{}, tooManyChunks(n)
	}
	return c.out, nil
}

func tooManyChunks(n int) error {
	return failure(ErrTooLong, -1, "%d chunks of %d tokens; at most %d are possible", n, chunkTokens, maxChunks)
}

// tokenize gives a span's tokens their places in the prompt: word by word where that yields the same ids
// as the whole span, which is what counts; otherwise the span's place.
func (r *Reader) tokenize(s Span, encoder int) ([]Token, error) {
	ids, err := r.ids(s.Text, encoder)
	if err != nil {
		return nil, err
	}
	if len(ids) > maxChunks*chunkTokens {
		return nil, failure(ErrTooLong, s.Start, "%d tokens; at most %d are possible", len(ids), maxChunks*chunkTokens)
	}
	tokens := make([]Token, 0, len(ids))
	for at, word := range wordsOf(s.Text) {
		ids, err := r.ids(word, encoder)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			tokens = append(tokens, Token{ID: id, Weight: float32(s.Weight), Start: s.origin[at], End: s.origin[at+len(word)-1] + 1})
		}
	}
	if !slices.EqualFunc(tokens, ids, func(t Token, id int32) bool { return t.ID == id }) {
		tokens = tokens[:0]
		for _, id := range ids {
			tokens = append(tokens, Token{ID: id, Weight: float32(s.Weight), Start: s.Start, End: s.End})
		}
	}
	return tokens, nil
}

// wordsOf yields the words of a text with their places.
func wordsOf(text string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		at := 0
		for word := range strings.FieldsSeq(text) {
			at += strings.Index(text[at:], word)
			if !yield(at, word) {
				return
			}
			at += len(word)
		}
	}
}
