package durable

import (
	"cmp"
	"slices"
)

// ordered is a list of runs by age, the oldest first. Most are added at its end.
type ordered struct{ list []*entry }

// byAge compares two runs, the older one first.
func byAge(a, b *entry) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) }

func (o *ordered) size() int {
	if o == nil {
		return 0
	}
	return len(o.list)
}

// before is how many are older than a run.
func (o *ordered) before(e *entry) int {
	if o == nil {
		return 0
	}
	i, _ := slices.BinarySearchFunc(o.list, e, byAge)
	return i
}

// add adds a run that is not in the list.
func (o *ordered) add(e *entry) { o.list = slices.Insert(o.list, o.before(e), e) }

// remove removes a run. The list has it.
func (o *ordered) remove(e *entry) {
	i := o.before(e)
	o.list = slices.Delete(o.list, i, i+1)
}

// groups are lists of runs by something that they have in common. Empty ones are left out.
type groups[K comparable] map[K]*ordered

func (g groups[K]) add(of K, e *entry) {
	if g[of] == nil {
		g[of] = &ordered{}
	}
	g[of].add(e)
}

func (g groups[K]) remove(of K, e *entry) {
	if g[of].remove(e); len(g[of].list) == 0 {
		delete(g, of)
	}
}
