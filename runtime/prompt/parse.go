package prompt

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The factors of A1111's bare brackets.
const (
	roundFactor  = 1.1
	squareFactor = 1 / 1.1
)

const (
	maxOpenBrackets = 256
	maxWeight       = 1000
)

// Span is a run of text with one weight, as Parse finds it. Escapes are resolved in Text.
type Span struct {
	Text   string
	Weight float64
	Break  bool // a BREAK: the next text begins a new chunk; Text is empty
	Start  int  // bytes of the prompt the span comes from, brackets around it not included
	End    int

	origin []int // byte of the prompt for every byte of Text
}

// Parse reads A1111's attention syntax:
//
//	(text)       weight x 1.1, nested brackets multiply
//	[text]       weight / 1.1
//	(text:1.3)   weight x 1.3; the number may be negative and have a sign
//	\( \) \[ \]  the characters themselves; \\ is a backslash
//	BREAK        as a word of its own: a new chunk
//
// Brackets that are never closed count to the end of the prompt, closing ones without an opening are
// text, and so is a number that is no number. Round and square brackets are matched independently. One
// deviation from A1111: a BREAK within brackets is a break too. Spans of equal weight that touch are
// joined, so that they are tokenized together.
func Parse(text string) ([]Span, error) {
	if err := validate(text); err != nil {
		return nil, err
	}
	p := &parser{text: text}
	for p.at < len(text) {
		if err := p.step(); err != nil {
			return nil, err
		}
	}
	for _, start := range p.round {
		p.scale(start, roundFactor)
	}
	for _, start := range p.square {
		p.scale(start, squareFactor)
	}
	return p.join()
}

type parser struct {
	text          string
	at            int
	pieces        []Span
	round, square []int // index of the first piece behind each open bracket
	ranges        []scaled
}

// scaled is a factor on the pieces from first to before last.
type scaled struct {
	first, last int
	factor      float64
}

func (p *parser) scale(first int, factor float64) {
	if first < len(p.pieces) {
		p.ranges = append(p.ranges, scaled{first, len(p.pieces), factor})
	}
}

// add appends the text [start, end) of the prompt, which ends in text.
func (p *parser) add(text string, start, end int) {
	p.pieces = append(p.pieces, Span{Text: text, Start: start, End: end, origin: bytesFrom(end-len(text), len(text))})
}

// bytesFrom lists n bytes of a prompt from one on.
func bytesFrom(first, n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = first + i
	}
	return list
}

// step reads one lexical element.
func (p *parser) step() error {
	start := p.at
	switch c := p.text[p.at]; c {
	case '\\':
		p.at++
		if p.at < len(p.text) && strings.IndexByte(`()[]\`, p.text[p.at]) >= 0 {
			p.at++
		}
		p.add(p.text[start+1:p.at], start, p.at) // a backslash before anything else is dropped, as in A1111
	case '(', '[':
		p.at++
		stack := &p.round
		if c == '[' {
			stack = &p.square
		}
		*stack = append(*stack, len(p.pieces))
		if len(p.round)+len(p.square) > maxOpenBrackets {
			return failure(ErrSyntax, start, "more than %d brackets are open", maxOpenBrackets)
		}
	case ')', ']':
		p.at++
		stack, factor := &p.round, roundFactor
		if c == ']' {
			stack, factor = &p.square, squareFactor
		}
		if !p.closeBracket(stack, factor) {
			p.add(string(c), start, p.at)
		}
	case ':':
		if w, n, ok := weight(p.text[p.at:]); ok && len(p.round) > 0 {
			p.at += n
			p.closeBracket(&p.round, w)
			return nil
		}
		p.at++
		p.add(":", start, p.at)
	default:
		n := strings.IndexAny(p.text[p.at:], `\()[]:`)
		if n < 0 {
			n = len(p.text) - p.at
		}
		p.at += n
		p.words(start, p.at)
	}
	return nil
}

func (p *parser) closeBracket(stack *[]int, factor float64) bool {
	s := *stack
	if len(s) == 0 {
		return false
	}
	p.scale(s[len(s)-1], factor)
	*stack = s[:len(s)-1]
	return true
}

// weight reads ":1.2)" with spaces round the number, and its length.
func weight(s string) (value float64, length int, ok bool) {
	end := strings.IndexByte(s, ')')
	if end < 0 || end > 64 {
		return 0, 0, false
	}
	num := strings.TrimSpace(s[1:end])
	if strings.Trim(num, "+-.0123456789") != "" {
		return 0, 0, false // no exponents, "inf" or hexadecimal
	}
	v, err := strconv.ParseFloat(num, 64)
	if err != nil {
		return 0, 0, false
	}
	return v, end + 1, true
}

// words adds plain text, divided at each BREAK together with the white space round it.
func (p *parser) words(start, end int) {
	text := p.text[start:end]
	for {
		i := breakAt(text)
		if i < 0 {
			break
		}
		before := strings.TrimRight(text[:i], spaces)
		after := strings.TrimLeft(text[i+len("BREAK"):], spaces)
		if before != "" {
			p.add(before, start, start+len(before))
		}
		p.pieces = append(p.pieces, Span{Break: true, Start: start + i, End: start + i + len("BREAK")})
		start = end - len(after)
		text = after
	}
	if text != "" {
		p.add(text, start, end)
	}
}

const spaces = " \t\n\r\v\f"

// breakAt finds BREAK as a word of its own.
func breakAt(text string) int {
	word := func(c rune) bool { return c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c) }
	for from := 0; ; {
		i := strings.Index(text[from:], "BREAK")
		if i < 0 {
			return -1
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		after, _ := utf8.DecodeRuneInString(text[i+len("BREAK"):])
		if !word(before) && !word(after) {
			return i
		}
		from = i + len("BREAK")
	}
}

// join computes the weights and joins neighbours of equal weight.
func (p *parser) join() ([]Span, error) {
	begin := make(map[int][]int, len(p.ranges))
	for i, r := range p.ranges {
		begin[r.first] = append(begin[r.first], i)
	}
	var active []int // ranges over the current piece, innermost closed first
	out := []Span{}
	for i, s := range p.pieces {
		active = slices.DeleteFunc(active, func(r int) bool { return p.ranges[r].last <= i })
		active = append(active, begin[i]...)
		s.Weight = 1
		for _, r := range active {
			s.Weight *= p.ranges[r].factor
		}
		if !(math.Abs(s.Weight) <= maxWeight) {
			return nil, failure(ErrSyntax, s.Start, "a weight of %g; at most %d either way is allowed", s.Weight, maxWeight)
		}
		if s.Break {
			s.Weight = 1
			out = append(out, s)
			continue
		}
		if n := len(out); n > 0 && !out[n-1].Break && out[n-1].Weight == s.Weight {
			last := &out[n-1]
			last.Text += s.Text
			last.origin = append(last.origin, s.origin...)
			last.End = s.End
			continue
		}
		out = append(out, s)
	}
	return out, nil
}
