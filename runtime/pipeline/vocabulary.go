package pipeline

import (
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

type vocabulary struct{}

func loadVocabulary(Config, backend.ModelInfo) (vocabulary, error) { return vocabulary{}, nil }

type text struct {
	ids    [][]int32
	empty  []int32
	custom backend.Tensor
}

func (t text) chunks() int { return len(t.ids) }

func (t text) padded(n int) text {
	t.ids = slices.Clone(t.ids)
	for len(t.ids) < n {
		t.ids = append(t.ids, t.empty)
	}
	return t
}

func (t text) weigh(backend.Tensor) {}

func (v vocabulary) read(m backend.Model, encoder int, s string) (text, []string, error) {
	pad := int32(49407)
	if encoder == 1 {
		pad = 0
	}
	ids, err := m.Tokenize(s)
	frame := func(ids []int32) []int32 {
		out := append([]int32{49406}, ids...)
		out = append(out, 49407)
		for len(out) < 77 {
			out = append(out, pad)
		}
		return out
	}
	t := text{empty: frame(nil)}
	for c := range slices.Chunk(ids, 75) {
		t.ids = append(t.ids, frame(c))
	}
	if len(ids) == 0 {
		t.ids = [][]int32{t.empty}
	}
	return t, nil, err
}
