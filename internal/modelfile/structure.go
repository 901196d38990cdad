package modelfile

import "strings"

// unknown is a dimension that the file does not show, because its tensor is missing. Expected shapes with an unknown dimension are not
// printed.
const unknown = -1

// structure counts the numbered children of every path in a part's names: with "blocks.0.conv" and "blocks.4.norm", "blocks" has five.
// A depth follows from any tensor of a level, so that a missing tensor does not make the network shorter.
type structure map[string]int

func (p *part) structure() structure {
	if p.paths != nil {
		return p.paths
	}
	s := structure{}
	for name := range p.table.tensors {
		rest, ok := strings.CutPrefix(name, p.prefix)
		if !ok {
			continue
		}
		for at := 0; at < len(rest); {
			dot := strings.IndexByte(rest[at:], '.')
			if dot < 0 {
				break
			}
			at += dot
			path := rest[:at]
			at++
			piece, _, _ := strings.Cut(rest[at:], ".")
			s[path] = max(s[path], numberOf(piece)+1)
		}
		s[rest] = max(s[rest], 0)
	}
	p.paths = s
	return s
}

// numberOf reads a piece of a name as a number; -1 if it is none, or if no model has such a number.
func numberOf(piece string) int {
	n := 0
	for _, c := range []byte(piece) {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	if len(piece) == 0 || len(piece) > 3 || n >= 4*maxBlocks {
		return -1
	}
	return n
}

// numbered is the largest number behind a path plus one, but not more than most; 0 if there is no number.
func (p *part) numbered(path string, most int) int { return min(p.structure()[path], most) }

// under reports whether any tensor lies at a path or below it.
func (p *part) under(paths ...string) bool {
	s := p.structure()
	for _, path := range paths {
		if _, ok := s[path]; ok {
			return true
		}
	}
	return false
}

// side is one dimension of a tensor.
type side struct {
	name string
	dim  int
}

// maxSide is more than any dimension of a network that is known here.
const maxSide = 1 << 20

// agreed is the dimension on which most sides agree; among equals the first counts. So one missing or misshapen tensor does not decide.
func (p *part) agreed(sides ...side) int {
	votes := map[int]int{}
	best := unknown
	for _, s := range sides {
		if n := p.dim(s.name, s.dim); n > 0 && n < maxSide {
			if votes[n]++; best == unknown || votes[n] > votes[best] {
				best = n
			}
		}
	}
	return best
}

// told is a dimension that only one tensor shows.
func (p *part) told(name string, dim int) int { return p.agreed(side{name, dim}) }
