package models

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Attention is a cross attention of a UNet.
type Attention struct {
	Part    string // "down", "up" or "mid"
	Block   int    // of the part: down_blocks.1 is 1
	Index   int    // of the transformers of the block: attentions.0 is 0
	Depth   int    // of the blocks of the transformer
	Width   int    // channels
	Context int    // width of the text's tokens
}

// Attentions lists the cross attentions of a UNet by the table of its weights, in the order of diffusers' attn_processors: down blocks, up
// blocks, middle. Without a table nothing is known.
func Attentions(t *backend.Table) []Attention {
	if t == nil {
		return nil
	}
	var out []Attention
	for _, w := range t.Weights {
		block, ok := strings.CutSuffix(w.Name, ".attn2.to_k.weight")
		if block, ok = cutPrefix(block, "unet.", ok); !ok || len(w.Shape) < 2 {
			continue
		}
		a := Attention{Width: int(w.Shape[0]), Context: int(w.Shape[1])}
		pieces := strings.Split(block, ".")
		a.Part, _, _ = strings.Cut(pieces[0], "_")
		numbers := []*int{&a.Block, &a.Index, &a.Depth}
		if a.Part == "mid" {
			numbers = numbers[1:]
		}
		for _, piece := range pieces {
			if n, err := strconv.Atoi(piece); err == nil && len(numbers) > 0 {
				*numbers[0], numbers = n, numbers[1:]
			}
		}
		out = append(out, a)
	}
	rank := func(a Attention) int { return slices.Index([]string{"down", "up", "mid"}, a.Part) }
	slices.SortFunc(out, func(a, b Attention) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Block, b.Block), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Depth, b.Depth))
	})
	return out
}

func cutPrefix(s, prefix string, also bool) (string, bool) {
	rest, ok := strings.CutPrefix(s, prefix)
	return rest, ok && also
}
