package prompt

import (
	"regexp"
	"strconv"
	"strings"
)

// Edits is a prompt whose text changes from step to step, in A1111's syntax:
//
//	[a:b:0.5]   a, and b after half of the steps
//	[a:b:8]     a, and b after 8 steps
//	[b:8]       b after 8 steps
//	[a::8]      a up to step 8
//	[a|b|c]     a, b and c in turn, each for a step
//
// They may be nested, and stand beside weights. Brackets that are none of these are left to Parse.
type Edits struct {
	root    sequence
	changes bool
	// Doubts says what looks like editing and is none.
	Doubts []string
}

// Pass is the part of a picture's steps that an edit counts in.
type Pass struct {
	Steps  int  // of the pass
	Second bool // it is the second pass: whole numbers go on behind those of the first, fractions from 1 to 2
	Before int  // steps of the first pass, where this is the second
}

// node is a piece of an edited prompt.
type node interface {
	// text is the piece at a step, counted from 1.
	text(step int, p Pass) string
}

type sequence []node

func (s sequence) text(step int, p Pass) string {
	var out strings.Builder
	for _, n := range s {
		out.WriteString(n.text(step, p))
	}
	return out.String()
}

// plain is text as it stands, brackets and escapes included.
type plain string

func (t plain) text(int, Pass) string { return string(t) }

// edit is [before:after:when].
type edit struct {
	before, after node
	when          float64
	fraction      bool // when is a fraction of the steps
}

func (e edit) text(step int, p Pass) string {
	when := e.when
	switch {
	case e.fraction && p.Second:
		when = (when - 1) * float64(p.Steps)
	case e.fraction:
		when *= float64(p.Steps)
	case p.Second:
		when -= float64(p.Before)
	}
	if step <= int(when) {
		return e.before.text(step, p)
	}
	return e.after.text(step, p)
}

// alternation is [a|b].
type alternation []node

func (a alternation) text(step int, p Pass) string { return a[(step-1)%len(a)].text(step, p) }

// ParseEdits reads a prompt's edits. A bracket with an edit's parts that is never closed is an error.
func ParseEdits(text string) (Edits, error) {
	if err := validate(text); err != nil {
		return Edits{}, err
	}
	p := &editParser{source: text}
	root, err := p.sequence(0)
	return Edits{root: root, changes: p.changes, Doubts: p.doubts}, err
}

// Unedited is a text that is the same in all steps.
func Unedited(text string) Edits { return Edits{root: sequence{plain(text)}} }

// Changes reports whether the text is not the same in all steps.
func (e Edits) Changes() bool { return e.changes }

// At is the text at a step of a pass, counted from 0.
func (e Edits) At(step int, p Pass) string { return e.root.text(step+1, p) }

// editParser reads a prompt bracket by bracket.
type editParser struct {
	source  string
	at      int
	open    int // brackets that are never closed
	changes bool
	doubts  []string
}

// sequence reads up to the end, or to the bracket that closes one of depth brackets.
func (p *editParser) sequence(depth int) (sequence, error) {
	if depth > maxOpenBrackets {
		return nil, failure(ErrSyntax, p.at, "more than %d brackets are open", maxOpenBrackets)
	}
	var out sequence
	from := p.at
	flush := func() {
		if p.at > from {
			out = append(out, plain(p.source[from:p.at]))
		}
	}
	for p.at < len(p.source) {
		switch p.source[p.at] {
		case '\\':
			p.at = min(p.at+2, len(p.source))
			continue
		case '[':
			flush()
			n, err := p.bracket(depth)
			if err != nil {
				return nil, err
			}
			out, from = append(out, n), p.at
			continue
		}
		p.at++
	}
	flush()
	return out, nil
}

// when is the step of an edit, as the last part of its bracket says it.
var when = regexp.MustCompile(`^\s*([-+]?(?:\d+\.?\d*|\.\d+))\s*$`)

// bracket reads a square bracket: an edit, an alternation, or text.
func (p *editParser) bracket(depth int) (node, error) {
	start := p.at
	m := marks(p.source, start)
	if m.end < 0 {
		return p.unclosed(start, m)
	}
	inner := func(from, to int) (sequence, error) {
		sub := &editParser{source: p.source[:to], at: from}
		n, err := sub.sequence(depth + 1)
		p.changes, p.doubts = p.changes || sub.changes, append(p.doubts, sub.doubts...)
		return n, err
	}
	p.at = m.end + 1
	n := len(m.colons)
	switch {
	case m.broken:
	case len(m.bars) > 0 && n == 0:
		return p.alternation(inner, append(append([]int{start}, m.bars...), m.end))
	case len(m.bars) == 0 && (n == 1 || n == 2):
		if number := when.FindStringSubmatch(p.source[m.colons[n-1]+1 : m.end]); number != nil {
			return p.edit(inner, start, m.colons, number[1])
		}
	}
	if n > 0 || len(m.bars) > 0 {
		p.doubts = append(p.doubts, doubt(p.source[start:m.end+1]))
	}
	text, err := inner(start+1, m.end)
	return append(append(sequence{plain("[")}, text...), plain("]")), err
}

// alternation makes an alternation of the texts between places.
func (p *editParser) alternation(inner func(from, to int) (sequence, error), places []int) (node, error) {
	p.changes = true
	var options alternation
	for i, to := range places[1:] {
		n, err := inner(places[i]+1, to)
		if err != nil {
			return nil, err
		}
		options = append(options, n)
	}
	return options, nil
}

// edit makes an edit of a bracket with one or two colons and a number behind the last.
func (p *editParser) edit(inner func(from, to int) (sequence, error), start int, colons []int, number string) (node, error) {
	e := edit{before: plain(""), fraction: strings.Contains(number, ".")}
	var err error
	if e.when, err = strconv.ParseFloat(number, 64); err != nil || e.when > maxEditStep {
		return nil, failure(ErrSyntax, start, "%s is no step; an edit takes whole steps, or a fraction with a point", number)
	}
	from := start
	if len(colons) == 2 {
		if e.before, err = inner(start+1, colons[0]); err != nil {
			return nil, err
		}
		from = colons[0]
	}
	e.after, err = inner(from+1, colons[len(colons)-1])
	p.changes = true
	return e, err
}

// maxEditStep is far above any step.
const maxEditStep = 1e6

// unclosed takes a bracket that is never closed as text, unless it has what only an edit has.
func (p *editParser) unclosed(start int, m bracketMarks) (node, error) {
	if len(m.bars) > 0 {
		return nil, failure(ErrSyntax, start, `[ begins an alternation that is never closed; close it with ], or write \[ for the character`)
	}
	for _, at := range m.colons {
		rest := strings.TrimLeft(p.source[at+1:], spaces)
		if rest != "" && strings.IndexByte("0123456789.", rest[0]) >= 0 {
			return nil, failure(ErrSyntax, start, `[ begins an edit that is never closed; close it with ], or write \[ for the character`)
		}
	}
	if p.open++; p.open > maxOpenBrackets {
		return nil, failure(ErrSyntax, start, "more than %d brackets are open", maxOpenBrackets)
	}
	p.at = start + 1
	return plain("["), nil
}

// bracketMarks are the colons and bars of a square bracket that belong to it and to no bracket within, and its end; -1 if it is never
// closed. broken says that a round bracket within is not closed.
type bracketMarks struct {
	colons, bars []int
	end          int
	broken       bool
}

// marks finds them for the bracket at a place.
func marks(s string, start int) (m bracketMarks) {
	type open struct {
		c            byte
		colons, bars int // how many there were before it
	}
	stack := []open{{c: '['}}
	drop := func() {
		top := stack[len(stack)-1]
		m.colons, m.bars, stack = m.colons[:top.colons], m.bars[:top.bars], stack[:len(stack)-1]
	}
	for i := start + 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			i++
		case '(', '[':
			stack = append(stack, open{c, len(m.colons), len(m.bars)})
		case ')':
			if stack[len(stack)-1].c == '(' {
				drop()
			}
		case ']':
			for stack[len(stack)-1].c == '(' {
				m.broken, stack = true, stack[:len(stack)-1]
			}
			if len(stack) == 1 {
				m.end = i
				return m
			}
			m.broken = false
			drop()
		case ':':
			m.colons = append(m.colons, i)
		case '|':
			m.bars = append(m.bars, i)
		}
	}
	m.end = -1
	return m
}

// doubt tells of a bracket that looks like an edit and is none.
func doubt(bracket string) string {
	return bracket + ` is no edit, so it only weighs less; an edit is [before:after:0.5] or [one|other], and \[ is the character`
}
