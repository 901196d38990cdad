package scheduler

import "sort"

// nearest returns up to k of the names closest to word by edit distance, those only that share at
// least half of its length.
func nearest(word string, names []string, k int) []string {
	const longest = 80 // words beyond this are no misspelling
	if len(word) > longest {
		return nil
	}
	type hit struct {
		name string
		d    int
	}
	var hits []hit
	w := normalize(word)
	for _, n := range names {
		if d := editDistance(w, normalize(n)); 2*d <= max(len(w), 2) {
			hits = append(hits, hit{n, d})
		}
	}
	sort.SliceStable(hits, func(i, j int) bool { return hits[i].d < hits[j].d })
	out := make([]string, 0, k)
	for _, h := range hits[:min(k, len(hits))] {
		out = append(out, h.name)
	}
	return out
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	prev, cur := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := range len(a) {
		cur[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			cur[j+1] = min(prev[j]+cost, prev[j+1]+1, cur[j]+1)
		}
		prev, cur = cur, prev
	}
	return prev[len(b)]
}
