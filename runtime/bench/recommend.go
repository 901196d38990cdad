package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
)

// Limits say what a recommendation has to keep to. Zero fields are no limits.
type Limits struct {
	Memory int64   // bytes
	PSNR   float64 // dB, of the worst picture
}

// Advice is what a report recommends, with the reasons in words.
type Advice struct {
	MemoryLimit int64    `json:"memory_limit_bytes,omitempty"`
	MinPSNR     float64  `json:"min_psnr_db,omitempty"`
	Choice      string   `json:"choice,omitempty"` // key of a result; empty where none keeps to the limits
	Reasons     []string `json:"reasons"`
	// Front are the keys of the results that no other one beats in speed, memory and fidelity at once.
	Front []string `json:"pareto_front"`
}

// How much slower than the fastest still counts as as fast: in any case, and where the measurements overlap.
const (
	speedTolerance = 0.03
	speedOverlap   = 0.10
)

// asFast reports whether r is as fast as the fastest.
func asFast(r, fastest *Result) bool {
	slower := r.Image.Median/fastest.Image.Median - 1
	overlap := r.Image.Q1 <= fastest.Image.Median || r.Image.Median <= fastest.Image.Q3
	return slower <= speedTolerance || slower <= speedOverlap && overlap
}

// Recommend chooses a result that keeps to the limits: the fastest, and of those that are about as fast the most exact, then the
// smallest. Without limits it chooses none, and names what is best in each respect.
func Recommend(results []Result, limits Limits) *Advice {
	a := &Advice{MemoryLimit: limits.Memory, MinPSNR: limits.PSNR, Reasons: []string{}, Front: []string{}}
	var fit, measured []*Result
	for i := range results {
		r := &results[i]
		if r.Error != "" {
			a.Reasons = append(a.Reasons, fmt.Sprintf("%s could not be measured", r.Key))
			continue
		}
		measured = append(measured, r)
		if why := misses(r, limits); why != "" {
			a.Reasons = append(a.Reasons, fmt.Sprintf("%s %s", label(results, r), why))
			continue
		}
		fit = append(fit, r)
	}
	for _, r := range measured {
		if !slices.ContainsFunc(measured, func(o *Result) bool { return dominates(o, r) }) {
			a.Front = append(a.Front, r.Key)
		}
	}
	if len(fit) == 0 {
		if len(measured) > 0 {
			a.Reasons = append(a.Reasons, nothingFits(measured, limits))
		}
		return a
	}
	fastest, small, exact := leaders(fit)
	if limits == (Limits{}) {
		a.Reasons = append(a.Reasons, "fastest: "+describe(results, fastest), "smallest: "+describe(results, small),
			"most exact: "+describe(results, exact))
		return a
	}
	near := slices.DeleteFunc(slices.Clone(fit), func(r *Result) bool { return !asFast(r, fastest) })
	best := slices.MinFunc(near, func(x, y *Result) int {
		return cmp.Or(cmp.Compare(y.fidelity(), x.fidelity()), comparePrecision(x.Type, y.Type), cmp.Compare(x.memory(), y.memory()))
	})
	a.Choice = best.Key
	a.Reasons = append([]string{choiceReason(results, best, fastest, limits, len(fit))}, a.Reasons...)
	if small != best && small.memory() < best.memory()*9/10 {
		a.Reasons = append(a.Reasons, describe(results, small)+"; the smallest of these")
	}
	if exact != best && exact != small && exact.fidelity() > best.fidelity() {
		a.Reasons = append(a.Reasons, describe(results, exact)+"; the most exact of these")
	}
	return a
}

// misses says in words which limit a result does not keep to; empty: it keeps to all.
func misses(r *Result, l Limits) string {
	var parts []string
	if m := r.memory(); l.Memory > 0 && m > l.Memory {
		parts = append(parts, fmt.Sprintf("takes %s, more than the %s that are allowed", words.Measured(m), words.Measured(l.Memory)))
	}
	if l.PSNR > 0 && r.fidelity() < l.PSNR {
		if r.Quality == nil {
			parts = append(parts, "has nothing that its pictures could be held against")
		} else {
			parts = append(parts, fmt.Sprintf("has a picture of %.1f dB, less than the %.1f dB that are wanted",
				r.Quality.PSNRWorst, l.PSNR))
		}
	}
	return strings.Join(parts, ", and ")
}

// fidelity is the worst picture's PSNR; a reference is as good as can be.
func (r *Result) fidelity() float64 {
	switch {
	case r.Quality != nil:
		return r.Quality.PSNRWorst
	case r.IsReference:
		return EqualPSNR
	}
	return 0
}

// dominates reports whether a is as good as b in everything, and better in something.
func dominates(a, b *Result) bool {
	speed, memory := cmp.Compare(a.Image.Median, b.Image.Median), cmp.Compare(a.memory(), b.memory())
	fidelity := cmp.Compare(b.fidelity(), a.fidelity())
	return max(speed, memory, fidelity) <= 0 && min(speed, memory, fidelity) < 0
}

func choiceReason(all []Result, best, fastest *Result, l Limits, fit int) string {
	var limits []string
	if l.Memory > 0 {
		limits = append(limits, fmt.Sprintf("take at most %s", words.Measured(l.Memory)))
	}
	if l.PSNR > 0 {
		limits = append(limits, fmt.Sprintf("stay above %.0f dB", l.PSNR))
	}
	of := "of what was measured"
	if len(limits) > 0 {
		of = fmt.Sprintf("of the %d that %s", fit, strings.Join(limits, " and "))
	}
	what := describe(all, best)
	if best == fastest {
		return what + "; the fastest " + of
	}
	return fmt.Sprintf("%s; about as fast as %s, the fastest %s, and more exact", what, label(all, fastest), of)
}

func fidelityText(r *Result) string {
	switch {
	case r.Quality == nil && r.IsReference:
		return "the reference of the others"
	case r.Quality == nil:
		return "fidelity unknown"
	case r.Quality.EqualPicture == r.Quality.Pictures:
		return "pictures equal to the reference's"
	}
	return fmt.Sprintf("pictures within %.1f dB of the reference's", r.Quality.PSNRWorst)
}

// nothingFits names the result that is nearest to the limits.
func nothingFits(measured []*Result, l Limits) string {
	_, small, good := leaders(measured)
	switch {
	case l.Memory > 0 && small.memory() > l.Memory:
		return fmt.Sprintf("nothing fits: the smallest is %s with %s; measure a smaller type, size or batch",
			small.Key, words.Measured(small.memory()))
	case l.PSNR > 0 && good.fidelity() < l.PSNR:
		return fmt.Sprintf("nothing is near enough to its reference: the nearest is %s with %.1f dB", good.Key, good.fidelity())
	}
	return "nothing keeps to both limits: what is small enough is not exact enough"
}

// leaders are the fastest, the smallest and the most exact result.
func leaders(rs []*Result) (fastest, small, exact *Result) {
	fastest = slices.MinFunc(rs, func(x, y *Result) int { return cmp.Compare(x.Image.Median, y.Image.Median) })
	small = slices.MinFunc(rs, func(x, y *Result) int { return cmp.Compare(x.memory(), y.memory()) })
	exact = slices.MaxFunc(rs, func(x, y *Result) int { return cmp.Compare(x.fidelity(), y.fidelity()) })
	return fastest, small, exact
}

func describe(all []Result, r *Result) string {
	return fmt.Sprintf("%s: %.3g s a picture, %s, %s", label(all, r), r.Image.Median, words.Measured(r.memory()), fidelityText(r))
}

// label is as much of a result's key as tells it from the others.
func label(all []Result, r *Result) string {
	var parts []string
	differs := func(f func(*Result) string) {
		for i := range all {
			if f(&all[i]) != f(r) {
				parts = append(parts, f(r))
				return
			}
		}
	}
	differs(func(r *Result) string { return r.Model })
	parts = append(parts, r.name())
	differs(func(r *Result) string { return fmt.Sprintf("%dx%d", r.Width, r.Height) })
	differs(func(r *Result) string { return fmt.Sprintf("batch %d", r.Batch) })
	differs(func(r *Result) string { return r.Device })
	differs(func(r *Result) string { return r.Scheduler })
	return strings.Join(parts, " ")
}
