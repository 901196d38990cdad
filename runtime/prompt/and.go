package prompt

import (
	"regexp"
	"strconv"
)

// maxParts bounds the parts of a prompt: each is a row more for the UNet.
const maxParts = 16

// Part is one of the prompts that AND joins.
type Part struct {
	Text   string
	Weight float64
}

// and is AND as a word of its own.
var and = regexp.MustCompile(`\bAND\b`)

// partWeight is the weight at the end of a part.
var partWeight = regexp.MustCompile(`(?s)^(.*?)\s*:\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*$`)

// SplitAND takes a prompt apart at each AND, as A1111's composable diffusion does (arXiv 2206.01714). A part may end in a weight: "a cat
// AND a dog :0.5". Without AND there is one part, whose text is as it was.
func SplitAND(text string) ([]Part, error) {
	if err := validate(text); err != nil {
		return nil, err
	}
	places := and.FindAllStringIndex(text, -1)
	if places == nil {
		return []Part{{text, 1}}, nil
	}
	if len(places) >= maxParts {
		return nil, failure(ErrSyntax, places[maxParts-1][0], "AND joins more than %d parts", maxParts)
	}
	var parts []Part
	from := 0
	for _, at := range append(places, []int{len(text), len(text)}) {
		p := Part{text[from:at[0]], 1}
		if m := partWeight.FindStringSubmatch(p.Text); m != nil {
			w, err := strconv.ParseFloat(m[2], 64)
			if err != nil || w > maxWeight || w < -maxWeight {
				return nil, failure(ErrSyntax, from, "a weight of %s; at most %d either way is allowed", m[2], maxWeight)
			}
			p = Part{m[1], w}
		}
		parts = append(parts, p)
		from = at[1]
	}
	return parts, nil
}
