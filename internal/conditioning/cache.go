package conditioning

import (
	"container/list"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math"
	"sync"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// DefaultCacheBytes is the size of a Cache that nobody chose: some hundred prompts of SDXL.
const DefaultCacheBytes int64 = 64 << 20

// Stats counts what became of texts. Each is the chunks of one text for one encoder.
type Stats struct {
	Encoded int `json:"encoded"` // by a text encoder
	Cached  int `json:"cached"`  // remembered from an earlier text
}

// Cache remembers what text encoders yielded, up to a limit. What was used longest ago is forgotten first. It belongs to one set of models,
// which do not change. What it returns is shared and must not be written to. It is safe for concurrent use.
type Cache struct {
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

// NewCache makes a cache of limit bytes; 0: DefaultCacheBytes, negative: nothing is kept.
func NewCache(limit int64) *Cache {
	if limit == 0 {
		limit = DefaultCacheBytes
	}
	return &Cache{limit: limit, order: list.New(), entries: map[textID]*list.Element{}}
}

// keyOfText identifies everything that an encoder's output depends on: whose encoder, the tokens, what they embed to
// where that is not the encoder's, the layer, and the adapters with their weights. The weights of the prompt's words are not part
// of it: they act on the output.
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
func (c *Cache) get(key textID) (backend.TextOutput, bool) {
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
func (c *Cache) put(key textID, out backend.TextOutput) {
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

// Counts returns how often a text was remembered, and how often not.
func (c *Cache) Counts() (hits, misses int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hits, c.misses
}
