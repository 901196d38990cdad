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

// evaluation is what the UNet is asked for at once: rows of so many texts, some of them perturbed.
type evaluation struct {
	rows, texts       int
	identity, blurred int
	halves            int // of guidance
	keep              backend.Keep
	use               backend.FeaturesUse
}

// evaluations lists those that differ of n pictures. The loop asks for all of these: in the steps with guidance and in those without,
// where the halves are separate for each kind of row, and where results are kept.
func (j Job) evaluations(n int, s Strategy) (out []evaluation) {
	usual := evaluation{rows: j.rows(n, s), texts: j.texts(n, s), halves: 1}
	shared, sharedParts := j.Alike, j.AlikeParts
	if j.Prompts != 1 || s.separate(j) { // prompts that are drawn alike may differ
		shared, sharedParts = 0, 0
	}
	if j.Keep == backend.KeepDeep {
		usual.keep, usual.use = j.Keep, backend.FeaturesStore
	}
	identity, blurred := j.Change.IdentityRows*n, j.Change.BlurredRows*n
	if s.separate(j) {
		out = append(out, usual)
		if identity > 0 {
			out = append(out, evaluation{rows: n, texts: usual.texts, halves: 1, identity: n})
		}
		if blurred > 0 {
			out = append(out, evaluation{rows: n, texts: usual.texts, halves: 1, blurred: n})
		}
	} else {
		usual.identity, usual.blurred = identity, blurred
		usual.texts -= shared
		if j.Guidance {
			usual.halves = 2
		}
		if !j.Guidance || !j.Guided.Never {
			out = append(out, usual)
		}
		if j.Guidance && (j.Guided.Pauses || j.Guided.Never) {
			usual.halves = 1
			alone := j
			alone.Guidance = false
			usual.rows, usual.texts = alone.rows(n, s), alone.texts(n, s)-sharedParts
			out = append(out, usual)
		}
	}
	if j.Keep == backend.KeepTextAttention {
		usual.texts = min(usual.texts, n)
		for _, use := range []backend.FeaturesUse{backend.FeaturesStore, backend.FeaturesMean, backend.FeaturesReuse} {
			out = append(out, evaluation{rows: n, texts: usual.texts, halves: 1, keep: j.Keep, use: use})
		}
	}
	return j.alike(out, n)
}

// alike adds evaluations in which fewer texts differ than rows. The negative prompts may be the same, or all parts but one. A graph
// spreads texts over rows then, which may need more than as many texts as rows.
func (j Job) alike(list []evaluation, n int) (out []evaluation) {
	p := n
	if j.Prompts > 0 {
		p = min(n, j.Prompts)
	}
	for _, e := range list {
		out = append(out, e)
		if p == 1 || e.texts < e.rows-e.identity-e.blurred {
			continue
		}
		parts := e.rows - e.identity - e.blurred // of positive rows, for each picture
		parts = max(parts/n-(e.halves-1), 1)
		for _, texts := range []int{e.halves - 1 + parts*p, e.halves - 1 + parts + p - 1, e.halves - 1 + parts} {
			if texts < e.texts {
				e.texts = texts
				out = append(out, e)
			}
		}
	}
	return out
}

// regions says which texts the rows of n pictures have in parts of the picture: the positive ones, and those that are perturbed.
func (j Job) regions(n int, s Strategy) backend.RegionTexts {
	e := evaluation{rows: j.rows(n, s), halves: 1}
	if j.Guidance && !s.separate(j) {
		e.identity, e.halves = j.perturbed(n), 2
	}
	return e.regions(j)
}

// regions says which texts the rows of an evaluation have in parts of the picture: all but the negative ones.
func (e evaluation) regions(j Job) backend.RegionTexts {
	if j.Beside == 0 {
		return backend.RegionTexts{}
	}
	n := (e.rows - e.identity - e.blurred) / e.halves
	r := backend.RegionTexts{Count: j.Beside, Rows: e.rows - (e.halves-1)*n}
	if j.Prompts > 0 {
		r.Sets = min(n, j.Prompts)
	}
	return r
}

// of makes a query about an evaluation.
func (e evaluation) of(q Query, j Job) Query {
	q.Batch, q.Texts, q.Change, q.Regions = e.rows, e.texts, j.Change, e.regions(j)
	q.Change.IdentityRows, q.Change.BlurredRows = e.identity, e.blurred
	if e.identity == 0 {
		q.Change.IdentityLayers = ""
	}
	if e.blurred == 0 {
		q.Change.BlurredLayers, q.Change.BlurSigma = "", 0
	}
	q.Keep, q.Use, q.Branch = e.keep, e.use, 0
	if e.keep == backend.KeepDeep {
		q.Branch = j.Branch
	}
	if q.ImagePrompts > 0 {
		q.ImageRows = e.halves
	}
	if q.BlockRows > 1 {
		q.BlockRows = e.rows
	}
	return q
}

// ofRefiner is the job as a refiner sees it: pictures, nets and adapters are the base's, and its layers are other ones.
func (j Job) ofRefiner() Job {
	j.Shown, j.Change, j.Controls, j.Adapters, j.Guided = nil, backend.UNetChange{}, nil, Adapters{}, j.RefinerGuided
	return j
}
