package memory

import "github.com/daguerre-go/daguerre/runtime/backend"

// halves is how many rows n pictures have without perturbed ones.
func (j Job) halves(n int) int {
	if j.Guidance {
		return (1 + max(j.Parts, 1)) * n
	}
	return max(j.Parts, 1) * n // several only of regions: AND needs guidance
}

// perturbed is how many rows of n pictures are perturbed (PAG, SEG).
func (j Job) perturbed(n int) int { return (j.Change.IdentityRows + j.Change.BlurredRows) * n }

// rows is how many rows the UNet sees at once for n pictures.
func (j Job) rows(n int, s Strategy) int {
	if s.separate(j) {
		return n
	}
	return j.halves(n) + j.perturbed(n)
}

// texts is how many different texts those rows have at most.
func (j Job) texts(n int, s Strategy) int {
	if j.Prompts > 0 {
		n = min(n, j.Prompts)
	}
	if s.separate(j) {
		return n
	}
	return j.halves(n)
}

// addChange adds what a job changes inside the base's UNet to the query of an evaluation of n pictures. Where rows are evaluated one kind
// after the other, the kind that needs most is meant.
func (j Job) addChange(q *Query, n int, s Strategy) {
	q.Change = j.Change
	q.Change.IdentityRows, q.Change.BlurredRows = j.Change.IdentityRows*n, j.Change.BlurredRows*n
	if s.separate(j) {
		q.Change.IdentityRows = 0
	}
	if q.Change.IdentityRows == 0 {
		q.Change.IdentityLayers = ""
	}
}

// regions says which texts the rows of n pictures have in parts of the picture: the positive ones, and those that are perturbed.
func (j Job) regions(n int, s Strategy) backend.RegionTexts {
	if j.Beside == 0 {
		return backend.RegionTexts{}
	}
	r := backend.RegionTexts{Count: j.Beside, Rows: j.rows(n, s)}
	if j.Guidance && !s.separate(j) {
		r.Rows -= n
	}
	if j.Prompts > 0 {
		r.Sets = min(n, j.Prompts)
	}
	return r
}

// ofRefiner is the job as a refiner sees it: it gets no pictures of IP-Adapters, and its layers are other ones.
func (j Job) ofRefiner() Job {
	j.Shown, j.Change = nil, backend.UNetChange{}
	return j
}
