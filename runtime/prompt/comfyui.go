package prompt

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// parseComfyUI reads ComfyUI's weights:
//
//	(text)       weight x 1.1, nested brackets multiply
//	(text:1.3)   weight 1.3, whatever is around it
//	\( \)        the characters themselves
//
// Square brackets and BREAK are text, and so is a bracket that is never closed.
func parseComfyUI(text string) ([]Span, error) {
	if err := validate(text); err != nil {
		return nil, err
	}
	p := comfyParser{text: text}
	if err := p.weigh(0, len(text), 1, 0); err != nil {
		return nil, err
	}
	return p.spans, nil
}

type comfyParser struct {
	text  string
	spans []Span
}

// weigh reads a part of the text, all of which has a weight.
func (p *comfyParser) weigh(from, to int, weight float64, depth int) error {
	if depth > maxOpenBrackets {
		return failure(ErrSyntax, from, "more than %d brackets are open", maxOpenBrackets)
	}
	plainFrom := from
	for at := from; at < to; at++ {
		switch p.text[at] {
		case '\\':
			at++
		case '(':
			end := closing(p.text[:to], at)
			if end < 0 {
				continue
			}
			p.add(plainFrom, at, weight)
			inner, last := weight*roundFactor, end
			if colon := strings.LastIndexByte(p.text[at+1:end], ':'); colon > 0 {
				if w, err := strconv.ParseFloat(strings.TrimSpace(p.text[at+1+colon+1:end]), 64); err == nil {
					inner, last = w, at+1+colon
				}
			}
			if !(math.Abs(inner) <= maxWeight) {
				return failure(ErrSyntax, at, "a weight of %g; at most %d either way is allowed", inner, maxWeight)
			}
			if err := p.weigh(at+1, last, inner, depth+1); err != nil {
				return err
			}
			at, plainFrom = end, end+1
		}
	}
	p.add(plainFrom, to, weight)
	return nil
}

// closing finds the bracket that closes the one at a place; -1 if there is none.
func closing(text string, at int) int {
	depth := 0
	for i := at; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// add adds text with a weight. Escapes of round brackets are resolved.
func (p *comfyParser) add(from, to int, weight float64) {
	if from >= to {
		return
	}
	var out strings.Builder
	var origin []int
	for at := from; at < to; at++ {
		if p.text[at] == '\\' && at+1 < to && (p.text[at+1] == '(' || p.text[at+1] == ')') {
			at++
		}
		out.WriteByte(p.text[at])
		origin = append(origin, at)
	}
	if n := len(p.spans); n > 0 && p.spans[n-1].Weight == weight {
		last := &p.spans[n-1]
		last.Text, last.origin, last.End = last.Text+out.String(), slices.Concat(last.origin, origin), to
		return
	}
	p.spans = append(p.spans, Span{Text: out.String(), Weight: weight, Start: from, End: to, origin: origin})
}
