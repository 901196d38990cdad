package npy

import "strconv"

// description is what a header says.
type description struct {
	descr   string
	fortran bool
	shape   []int
}

// parseHeader reads the Python dict literal of a header: exactly the keys descr, fortran_order and shape.
func parseHeader(s string) (description, error) {
	p := &parser{s: s}
	var d description
	seen := map[string]bool{}
	p.expect('{')
	for p.err == nil && !p.accept('}') {
		key := p.str()
		p.expect(':')
		if p.err == nil && seen[key] {
			p.fail("has the key %q twice", key)
		}
		seen[key] = true
		switch key {
		case "descr":
			d.descr = p.str()
		case "fortran_order":
			d.fortran = p.boolean()
		case "shape":
			d.shape = p.tuple()
		default:
			p.fail("has the unknown key %q", key)
		}
		if !p.accept(',') {
			p.expect('}')
			break
		}
	}
	p.space()
	if p.err == nil && p.i != len(p.s) {
		p.fail("goes on after the dict at byte %d", p.i)
	}
	for _, key := range []string{"descr", "fortran_order", "shape"} {
		if p.err == nil && !seen[key] {
			p.fail("lacks the key %q", key)
		}
	}
	return d, p.err
}

// parser walks over a header; after the first error it does nothing more.
type parser struct {
	s   string
	i   int
	err error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fail("its header "+format, args...)
	}
}

func (p *parser) space() {
	for p.i < len(p.s) && (p.s[p.i] == ' ' || p.s[p.i] == '\n' || p.s[p.i] == '\t' || p.s[p.i] == '\r') {
		p.i++
	}
}

func (p *parser) accept(c byte) bool {
	p.space()
	if p.err == nil && p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *parser) expect(c byte) {
	if !p.accept(c) {
		p.fail("is damaged at byte %d: %q is missing", p.i, c)
	}
}

// str reads a quoted string without escapes; the ones in question have none.
func (p *parser) str() string {
	quote := byte('\'')
	if p.accept('"') {
		quote = '"'
	} else {
		p.expect('\'')
	}
	start := p.i
	for p.err == nil {
		if p.i >= len(p.s) || p.s[p.i] == '\\' {
			p.fail("is damaged at byte %d: a string does not end", start)
			break
		}
		if p.s[p.i] == quote {
			p.i++
			return p.s[start : p.i-1]
		}
		p.i++
	}
	return ""
}

func (p *parser) boolean() bool {
	p.space()
	for word, value := range map[string]bool{"True": true, "False": false} {
		if p.err == nil && len(p.s)-p.i >= len(word) && p.s[p.i:p.i+len(word)] == word {
			p.i += len(word)
			return value
		}
	}
	p.fail("is damaged at byte %d: True or False is missing", p.i)
	return false
}

func (p *parser) tuple() []int {
	shape := []int{}
	p.expect('(')
	for p.err == nil && !p.accept(')') {
		p.space()
		start := p.i
		for p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
			p.i++
		}
		n, err := strconv.ParseInt(p.s[start:p.i], 10, 48)
		if err != nil || len(shape) == maxDims {
			p.fail("is damaged at byte %d: no usable shape", start)
			break
		}
		shape = append(shape, int(n))
		if !p.accept(',') {
			p.expect(')')
			break
		}
	}
	return shape
}
