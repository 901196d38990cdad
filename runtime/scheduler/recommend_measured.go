package scheduler

import (
	"cmp"
	"slices"
)

// policy is how a use case chooses among the measured schedulers.
type policy struct {
	UseCase       UseCase  `json:"use_case"`
	Evaluations   int      // the largest number of them, where the query has no smaller budget
	Noise         string   // in the steps: "none", "fresh" or "any"
	OneEvaluation bool     `json:"one_evaluation"` // schedulers with one evaluation a step only
	Among         []string // class names; empty: all
	Without       []string // class names that are left out
	ByPictures    bool     `json:"by_pictures"` // the most right pictures at the recommended steps; else the smallest error
	Guidance      [2]float64
	Paper, Why    string // what the nano model cannot show; may be empty
}

func (p policy) accepts(c Characteristics) bool {
	return (p.Noise == "any" || c.Stochastic == (p.Noise == "fresh")) &&
		(!p.OneEvaluation || c.Recommended.Evaluations == c.Recommended.Steps) &&
		(p.Among == nil || slices.Contains(p.Among, c.Scheduler)) && !slices.Contains(p.Without, c.Scheduler)
}

// candidates is how many schedulers are worth a measurement on another model.
const candidates = 3

// choice is a scheduler at a step count.
type choice struct {
	Characteristics
	at Measurement
}

// fromMeasurements chooses from the database.
func (r *Recommendation) fromMeasurements(q Query, d Database, limit int) error {
	p := advice.UseCases[slices.Index(UseCases, q.UseCase)]
	var all []Characteristics
	for _, c := range d.Entries {
		if c.Needs == "" && p.accepts(c) && fitsTraits(c, q) {
			all = append(all, c)
		}
	}
	choices := p.choices(all, min(p.Evaluations, limit), q.MaxSteps)
	if len(choices) == 0 {
		return &OptionError{Option: "use_case", Found: string(q.UseCase), Want: "no measured scheduler serves it with these traits"}
	}
	best := choices[0]
	r.Scheduler, r.Options, r.Steps, r.Guidance = best.Scheduler, best.Options.Clone(), best.at.Steps, p.Guidance
	r.measuredReasons(choices, p)
	r.because(sourceMeasured, "all figures are of the small %s model at 128 x 128 pixels, with guidance_scale %g", d.Model, d.GuidanceScale)
	r.because(sourcePractice, "guidance_scale from %g to %g is what people use with SDXL", p.Guidance[0], p.Guidance[1])
	for _, c := range choices[:min(len(choices), candidates)] {
		r.Candidates = append(r.Candidates, Candidate{c.Label, c.Scheduler, c.Options.Clone(), c.at.Steps, c.at.Evaluations, c.Stochastic})
	}
	if p.Why != "" {
		r.because(p.Paper, "%s", p.Why)
	}
	return nil
}

// fitsTraits reports whether a scheduler can do what the model needs.
func fitsTraits(c Characteristics, q Query) bool {
	if !q.ZeroSNR {
		return true
	}
	// Spacings between sigma_min and sigma_max have no meaning where sigma_max is infinite.
	a, _, err := resolve(c.Scheduler)
	return err == nil && a.has("rescale_betas_zero_snr") && a.has("timestep_spacing") && c.Options.UseKarrasSigmas == nil
}

// choices orders the schedulers that fit, the best first, each at its best step count within the budget.
func (p policy) choices(all []Characteristics, evaluations, maxSteps int) []choice {
	fits := func(m Measurement) bool {
		return m.Evaluations <= evaluations && (maxSteps == 0 || m.Steps <= maxSteps)
	}
	var out []choice
	for _, c := range all {
		if p.ByPictures && fits(c.Recommended) {
			out = append(out, choice{c, c.Recommended})
			continue
		}
		steps := slices.DeleteFunc(slices.Clone(c.Steps), func(m Measurement) bool { return !fits(m) })
		if len(steps) > 0 && !p.ByPictures {
			out = append(out, choice{c, steps[len(steps)-1]})
		}
	}
	if len(out) == 0 { // less than was measured: the fewest steps that were
		for _, c := range all {
			if len(c.Steps) > 0 {
				out = append(out, choice{c, c.Steps[0]})
			}
		}
	}
	slices.SortStableFunc(out, p.compare)
	return out
}

func (p policy) compare(a, b choice) int {
	if p.ByPictures {
		return cmp.Or(cmp.Compare(rate(b.at.Right, b.at), rate(a.at.Right, a.at)),
			cmp.Compare(rate(b.at.All, b.at), rate(a.at.All, a.at)), cmp.Compare(a.at.Evaluations, b.at.Evaluations))
	}
	return cmp.Or(cmp.Compare(a.error(), b.error()), cmp.Compare(a.at.Evaluations, b.at.Evaluations))
}

func rate(k int, m Measurement) float64 { return float64(k) / float64(max(m.Pictures, 1)) }

func (c choice) error() float64 {
	if c.at.Error == nil {
		return 2 // beyond any that was measured
	}
	return *c.at.Error
}

// measuredReasons quotes the figures that decided.
func (r *Recommendation) measuredReasons(choices []choice, p policy) {
	best := choices[0]
	if best.at.Error != nil {
		r.because(sourceMeasured, "with %d steps (%d UNet evaluations) %s has an error of %.3f: the distance of its latents from those of "+
			"many steps",
			best.at.Steps, best.at.Evaluations, best.Label, *best.at.Error)
	}
	r.because(sourceMeasured, "with %[3]d steps %[1]d of %[2]d pictures have the right colour and background, and %[4]d show all that was "+
		"asked for",
		best.at.Right, best.at.Pictures, best.at.Steps, best.at.All)
	if len(choices) > 1 {
		next := choices[1]
		if p.ByPictures {
			r.because(sourceMeasured, "next is %s: %d of %d right, %d all, with %d evaluations",
				next.Label, next.at.Right, next.at.Pictures, next.at.All, next.at.Evaluations)
		} else if next.at.Error != nil {
			r.because(sourceMeasured, "next is %s: %.3f with %d evaluations", next.Label, *next.at.Error, next.at.Evaluations)
		}
	}
	r.because(sourceMeasured, "the pictures of two seeds of one prompt differ by %.2f; a step takes %.0f µs beside the UNet at 1024 x 1024 "+
		"pixels",
		best.SeedSpread, best.StepMicroseconds)
}
