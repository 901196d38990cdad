package prompt

import (
	"fmt"
	"slices"
)

// chunker fills rows of 75 tokens, as A1111 does.
type chunker struct {
	r       *Reader
	encoder int
	out     Text
	tokens  []Token     // of the chunk being filled
	comma   int         // index of the last comma in tokens, -1 for none
	rows    map[int]int // embedding -> first row in out.Custom
}

// next ends the chunk; it may be empty.
func (c *chunker) next() {
	ids, weights := make([]int32, len(c.tokens)), make([]float32, len(c.tokens))
	for i := range c.tokens {
		t := &c.tokens[i]
		t.Chunk, t.Position = len(c.out.IDs), i+1
		ids[i], weights[i] = t.ID, t.Weight
	}
	rowIDs, rowWeights := row(ids, weights, c.out.pad)
	c.out.IDs, c.out.Weights = append(c.out.IDs, rowIDs), append(c.out.Weights, rowWeights)
	c.out.Tokens = append(c.out.Tokens, c.tokens...)
	c.tokens, c.comma = nil, -1
}

// add appends the tokens of one span; an embedding's name becomes its vectors.
func (c *chunker) add(tokens []Token) error {
	for i := 0; i < len(tokens); {
		if len(c.out.IDs) >= maxChunks {
			return tooManyChunks(maxChunks + 1)
		}
		t := tokens[i]
		if t.ID == c.r.comma {
			c.comma = len(c.tokens)
		} else if len(c.tokens) == chunkTokens {
			c.backOff()
		}
		if len(c.tokens) == chunkTokens {
			c.next()
		}
		emb, used := c.r.match(tokens[i:])
		if used == 0 {
			c.tokens = append(c.tokens, t)
			i++
			continue
		}
		c.embed(emb, tokens[i:i+used])
		i += used
	}
	return nil
}

// backOff ends a full chunk behind its last comma if that is near, and takes the rest along.
func (c *chunker) backOff() {
	if c.r.opt.CommaBackoff < 0 || c.comma < 0 || len(c.tokens)-c.comma > c.r.opt.CommaBackoff {
		return
	}
	rest := slices.Clone(c.tokens[c.comma+1:])
	c.tokens = c.tokens[:c.comma+1]
	c.next()
	c.tokens = rest
}

// match finds the embedding with the longest name that begins here.
func (r *Reader) match(tokens []Token) (emb, used int) {
	for _, t := range r.byFirst[tokens[0].ID] {
		n := len(t.ids)
		if n <= len(tokens) && slices.EqualFunc(t.ids, tokens[:n], func(id int32, t Token) bool { return t.ID == id }) {
			return t.emb, n
		}
	}
	return 0, 0
}

// embed appends an embedding's vectors, never divided between chunks. An encoder without vectors of its
// own gets zeros in their places, so that the two encoders' positions stay aligned.
func (c *chunker) embed(emb int, name []Token) {
	e := c.r.opt.Embeddings[emb]
	n := e.count()
	if len(c.tokens)+n > chunkTokens {
		c.next()
	}
	first, known := c.rows[emb]
	if !known {
		first = len(c.out.Custom)
		c.rows[emb] = first
		vectors := e.vectors(c.encoder)
		if len(vectors) == 0 {
			width := c.r.opt.Widths[c.encoder]
			for range n {
				vectors = append(vectors, make([]float32, width))
			}
			c.out.Warnings = append(c.out.Warnings,
				fmt.Sprintf("embedding %q has no vectors for text encoder %d; zeros take their places", e.Name, c.encoder+1))
		}
		c.out.Custom = append(c.out.Custom, vectors...)
	}
	for k := range n {
		c.tokens = append(c.tokens, Token{ID: int32(c.r.opt.VocabSize + first + k), Weight: name[0].Weight,
			Start: name[0].Start, End: name[len(name)-1].End, Embedding: e.Name})
	}
}
