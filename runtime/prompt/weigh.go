package prompt

import (
	"fmt"
	"math"
)

// Emphasis says how weights act on an encoder's output.
type Emphasis string

// The ways. EmphasisA1111 multiplies each token's hidden state by its weight and then scales the whole chunk so that
// its mean is what it was, as A1111's "Original" does. EmphasisNone ignores weights.
const (
	EmphasisA1111 Emphasis = "a1111"
	EmphasisNone  Emphasis = "none"
)

// emphases lists every Emphasis.
var emphases = []Emphasis{EmphasisA1111, EmphasisNone}

// minMeanRatio guards the restored mean: where weighting all but cancels the mean, dividing by it would
// blow the chunk up, so it is left as it is.
const minMeanRatio = 1e-3

// Weigh applies the weights to hidden states [chunks, 77, width] in place. A chunk whose weights are all
// 1 keeps its bits.
func (t Text) Weigh(hidden []float32, width int, how Emphasis) error {
	if how == EmphasisNone {
		return nil
	}
	if how != EmphasisA1111 && how != "" {
		return fmt.Errorf("emphasis %q is unknown; known are %q", how, emphases)
	}
	if width <= 0 || len(hidden) != t.Chunks()*RowTokens*width {
		return fmt.Errorf("hidden states have %d numbers, expected [%d, %d, %d]", len(hidden), t.Chunks(), RowTokens, width)
	}
	for c, weights := range t.Weights {
		if weighted(weights) {
			weighChunk(hidden[c*RowTokens*width:(c+1)*RowTokens*width], weights, width)
		}
	}
	return nil
}

func weighChunk(h []float32, weights []float32, width int) {
	before := mean(h)
	for i, w := range weights {
		if w == 1 {
			continue
		}
		for k := range h[i*width : (i+1)*width] {
			h[i*width+k] *= w
		}
	}
	after := mean(h)
	if math.Abs(after) <= minMeanRatio*math.Abs(before) || before == 0 {
		return
	}
	scale := float32(before / after)
	for i := range h {
		h[i] *= scale
	}
}

func mean(x []float32) float64 {
	s := 0.0
	for _, v := range x {
		s += float64(v)
	}
	return s / float64(len(x))
}

// WeighFrom applies the weights as ComfyUI does: each token's state [chunks, 77, width] goes away from that of an empty text, [77, width],
// by its weight.
func (t Text) WeighFrom(hidden, empty []float32, width int) error {
	if width <= 0 || len(hidden) != t.Chunks()*RowTokens*width || len(empty) != RowTokens*width {
		return fmt.Errorf("hidden states have %d and %d numbers, expected [%d, %d, %d] and [%d, %d]", len(hidden), len(empty), t.Chunks(),
			RowTokens, width, RowTokens, width)
	}
	for c, weights := range t.Weights {
		for i, w := range weights {
			if w == 1 {
				continue
			}
			state, from := hidden[(c*RowTokens+i)*width:][:width], empty[i*width:][:width]
			for k, v := range state {
				state[k] = float32((v-from[k])*w) + from[k]
			}
		}
	}
	return nil
}
