package pipeline

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math"
	"sync"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// DefaultTextCache is the memory, in bytes, that stands for a zero Config.TextCache: some hundred prompts of SDXL.
const DefaultTextCache int64 = 64 << 20

// TextStats counts what became of a call's texts: each is one chunk sequence for one encoder.
type TextStats struct {
	Encoded int `json:"encoded"` // by a text encoder
	Cached  int `json:"cached"`  // taken from an earlier call or an earlier text of this one
}

// textCache remembers what text encoders yielded, the most recently used first, up to a limit. It belongs to one Pipeline, whose
// models do not change. What it returns is shared and must not be written to. It is safe for concurrent use.
type textCache struct {
	limit int64 // bytes; negative: nothing is kept

	mu      sync.Mutex
	bytes   int64
	order   *list.List // of *cachedText
	entries map[textID]*list.Element
	hits    int64
	misses  int64
}

type textID [sha256.Size]byte

type cachedText struct {
	key   textID
	out   backend.TextOutput
	bytes int64
}

func newTextCache(limit int64) *textCache {
	if limit == 0 {
		limit = DefaultTextCache
	}
	return &textCache{limit: limit, order: list.New(), entries: map[textID]*list.Element{}}
}

// keyOfText identifies everything that an encoder's output depends on: whose encoder, the tokens, what they embed to
// where that is not the encoder's, the layer, and the adapters with their weights, as lora.Active.UseKey tells them. Weights of
// the prompt's words are not part of it: they act on the output.
func keyOfText(owner string, in backend.TextInput, adapters string) textID {
	h := sha256.New()
	text := func(s string) { numbers(h, int64(len(s))); h.Write([]byte(s)) }
	text(owner)
	text(adapters)
	numbers(h, int64(in.Encoder), int64(in.ClipSkip), int64(len(in.IDs)))
	for _, row := range in.IDs {
		numbers(h, int64(len(row)))
		for _, id := range row {
			numbers(h, int64(id))
		}
	}
	for _, v := range in.Custom.Data {
		numbers(h, int64(math.Float32bits(v)))
	}
	return textID(h.Sum(nil))
}

// numbers writes integers to a hash.
func numbers(h hash.Hash, values ...int64) {
	var buf [8]byte
	for _, v := range values {
		binary.LittleEndian.PutUint64(buf[:], uint64(v))
		h.Write(buf[:])
	}
}

// get returns what is remembered under a key.
func (c *textCache) get(key textID) (backend.TextOutput, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		c.misses++
		return backend.TextOutput{}, false
	}
	c.hits++
	c.order.MoveToFront(e)
	return e.Value.(*cachedText).out, true
}

// put remembers an output, which from now on is shared, and forgets those used longest ago that have no more room.
func (c *textCache) put(key textID, out backend.TextOutput) {
	bytes := int64(4 * (len(out.Hidden.Data) + len(out.Pooled.Data)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[key]; ok || bytes > c.limit {
		return
	}
	c.entries[key] = c.order.PushFront(&cachedText{key, out, bytes})
	for c.bytes += bytes; c.bytes > c.limit; {
		last := c.order.Back()
		old := c.order.Remove(last).(*cachedText)
		delete(c.entries, old.key)
		c.bytes -= old.bytes
	}
}

// encodeText runs one of the expert's text encoders, or recalls what it yielded for the same before. The output is shared.
func (j *job) encodeText(ctx context.Context, e *expert, in backend.TextInput) (backend.TextOutput, error) {
	adapters, owner := "", "base"
	if e != &j.base {
		owner = "refiner"
	} else if j.lora.active != nil {
		adapters = j.lora.active.UseKey(in.LoRAs, e.encoderName(in.Encoder))
	}
	key := keyOfText(owner, in, adapters)
	if out, ok := j.p.textCache.get(key); ok {
		j.res.Texts.Cached++
		return out, nil
	}
	out, err := e.model.EncodeText(ctx, in)
	if err != nil {
		return out, fmt.Errorf("text encoder %d: %w", in.Encoder+1, err)
	}
	j.res.Texts.Encoded++
	j.p.textCache.put(key, out)
	return out, nil
}

// encoderName is the component that an encoder is.
func (e *expert) encoderName(encoder int) string {
	if encoder == 0 {
		return "text_encoder"
	}
	return "text_encoder_2"
}
