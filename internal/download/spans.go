package download

import "slices"

// span is a range of bytes: from the first to before the second.
type span [2]int64

func (s span) len() int64 { return s[1] - s[0] }

// spans are ranges in order that do not touch.
type spans []span

// add puts a range to those that are there.
func (s spans) add(x span) spans {
	if x.len() <= 0 {
		return s
	}
	i, _ := slices.BinarySearchFunc(s, x, func(a, b span) int {
		if a[1] < b[0] {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(s) && s[j][0] <= x[1]; j++ {
		x = span{min(x[0], s[j][0]), max(x[1], s[j][1])}
	}
	return slices.Replace(s, i, j, x)
}

// without lists the parts of x that are in none of the ranges.
func (s spans) without(x span) (out spans) {
	for _, have := range s {
		if have[1] <= x[0] {
			continue
		}
		if have[0] >= x[1] {
			break
		}
		if have[0] > x[0] {
			out = append(out, span{x[0], have[0]})
		}
		x[0] = have[1]
	}
	if x.len() > 0 {
		out = append(out, x)
	}
	return out
}

func (s spans) total() (n int64) {
	for _, x := range s {
		n += x.len()
	}
	return n
}

// front is how many bytes are there from the first on without a gap.
func (s spans) front() int64 {
	if len(s) > 0 && s[0][0] == 0 {
		return s[0][1]
	}
	return 0
}

// end is where the last range ends.
func (s spans) end() int64 {
	if len(s) == 0 {
		return 0
	}
	return s[len(s)-1][1]
}

// ordered reports whether the ranges are what add makes of them. Those of a mark come from a file.
func (s spans) ordered() bool {
	last := int64(-1)
	for _, x := range s {
		if x[0] <= last || x.len() <= 0 {
			return false
		}
		last = x[1]
	}
	return true
}
