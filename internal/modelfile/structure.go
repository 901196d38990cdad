package modelfile

import "strings"

// unknown is a dimension that no tensor of a file tells, because the one that would is missing. Expected shapes that depend on it are
// not printed.
const unknown = -1

// structure counts the numbered children of every path in a part's names: with "blocks.0.conv" and "blocks.4.norm", "blocks" has five.
// Depths are read off any tensor of a level by it, so that one that is missing does not make the network shorter.
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

// numberOf reads a piece of a name that is a number; -1 for another, and for one that no model has.
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

// numbered is one more than the largest number behind a path, most at most; 0 if there is none.
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

// agreed is what most of the sides say that are there; the first of equals counts. One tensor that is missing or misshapen has no say then.
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

// told is a dimension that one tensor alone tells.
func (p *part) told(name string, dim int) int { return p.agreed(side{name, dim}) }
