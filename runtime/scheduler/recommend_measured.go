package scheduler

import (
	"cmp"
	"slices"
)

// policy is how a use case chooses among the measured schedulers.
type policy struct {
	evaluations int // most of them, where the query has no smaller budget
	accept      func(Characteristics) bool
	byPictures  bool // the most right pictures at the recommended steps; else the smallest error
	guidance    [2]float64
	paper, why  string // what the nano model cannot show; may be empty
}

func deterministic(c Characteristics) bool { return !c.Stochastic }

// historyless schedulers compute a step from the latents of that step alone.
var historyless = []string{"EulerDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler", "DDIMScheduler"}

// everywhere are deterministic schedulers without a history that every SDXL program has, with the same numbers.
var everywhere = []string{"EulerDiscreteScheduler", "DDIMScheduler"}

// slowStart are multistep schedulers that spend their first steps, a large part of an image-to-image run, at a low order.
var slowStart = []string{"LMSDiscreteScheduler", "PNDMScheduler", "DEISMultistepScheduler"}

var policies = map[UseCase]policy{
	UseFewStep: {evaluations: 5, accept: deterministic, guidance: [2]float64{3, 6},
		paper: "arXiv:2404.14507", why: "the spacing of noise levels matters most with few steps; the Align Your Steps table for SDXL (ScheduleAYS) is an alternative"},
	UseFast:     {evaluations: 10, accept: deterministic, guidance: [2]float64{4, 7}},
	UseBalanced: {evaluations: 20, accept: deterministic, guidance: [2]float64{4, 8}},
	UseQuality:  {evaluations: 40, accept: deterministic, guidance: [2]float64{4, 8}},
	UseReproducible: {evaluations: 40, guidance: [2]float64{4, 8},
		accept: func(c Characteristics) bool { return deterministic(c) && slices.Contains(everywhere, c.Scheduler) },
		paper:  "arXiv:2010.02502", why: "without noise in its steps the picture is a function of the first latents alone, so it comes out the same in any program and batch"},
	UseImg2Img: {evaluations: 20, guidance: [2]float64{4, 8},
		accept: func(c Characteristics) bool {
			return deterministic(c) && c.Recommended.Evaluations == c.Recommended.Steps && !slices.Contains(slowStart, c.Scheduler)
		},
		paper: "arXiv:2108.01073", why: "an image-to-image run makes only the last steps*strength steps (SDEdit), so solvers that begin with several low-order steps are left out"},
	UseInpaint: {evaluations: 20, guidance: [2]float64{4, 8},
		accept: func(c Characteristics) bool { return deterministic(c) && slices.Contains(historyless, c.Scheduler) },
		paper:  "arXiv:2201.09865", why: "what the mask keeps is put back after every step (RePaint), which contradicts the history of a multistep solver; only schedulers without one are taken"},
	UsePhotorealistic: {evaluations: 40, byPictures: true, guidance: [2]float64{4, 7},
		accept: func(c Characteristics) bool { return c.Stochastic },
		paper:  "arXiv:2206.00364", why: "fresh noise in every step corrects errors of earlier ones (section 4), which shows in texture; the nano model has no textures to measure that on"},
	UseIllustration: {evaluations: 40, byPictures: true, guidance: [2]float64{5, 9},
		accept: func(Characteristics) bool { return true },
		paper:  "arXiv:2207.12598", why: "more guidance trades variety for adherence to the prompt, which flat colours bear better than photographs"},
}

// choice is a scheduler at a step count.
type choice struct {
	Characteristics
	at Measurement
}

// fromMeasurements chooses from the database.
func (r *Recommendation) fromMeasurements(q Query, d Database, limit int) error {
	p := policies[q.UseCase]
	var all []Characteristics
	for _, c := range d.Entries {
		if c.Needs == "" && p.accept(c) && fitsTraits(c, q) {
			all = append(all, c)
		}
	}
	choices := p.choices(all, min(p.evaluations, limit), q.MaxSteps)
	if len(choices) == 0 {
		return &OptionError{Option: "use_case", Found: string(q.UseCase), Want: "no measured scheduler serves it with these traits"}
	}
	best := choices[0]
	r.Scheduler, r.Options, r.Steps, r.Guidance = best.Scheduler, best.Options.Clone(), best.at.Steps, p.guidance
	r.measuredReasons(choices, p)
	r.because(sourceMeasured, "all figures were measured with guidance_scale %g; the range round it is common practice, not a measurement", d.GuidanceScale)
	if p.why != "" {
		r.because(p.paper, "%s", p.why)
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
		if p.byPictures && fits(c.Recommended) {
			out = append(out, choice{c, c.Recommended})
			continue
		}
		steps := slices.DeleteFunc(slices.Clone(c.Steps), func(m Measurement) bool { return !fits(m) })
		if len(steps) > 0 && !p.byPictures {
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
	if p.byPictures {
		return cmp.Or(cmp.Compare(rate(b.at.Right, b.at), rate(a.at.Right, a.at)), cmp.Compare(rate(b.at.All, b.at), rate(a.at.All, a.at)),
			cmp.Compare(a.at.Evaluations, b.at.Evaluations))
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
		r.because(sourceMeasured, "with %d steps (%d UNet evaluations) %s ends %.3f from the converged picture, relative to its latents",
			best.at.Steps, best.at.Evaluations, best.Label, *best.at.Error)
	}
	r.because(sourceMeasured, "%d of %d pictures have the right colour and background with %d steps, %d all that was asked for",
		best.at.Right, best.at.Pictures, best.at.Steps, best.at.All)
	if len(choices) > 1 {
		next := choices[1]
		if p.byPictures {
			r.because(sourceMeasured, "next is %s: %d of %d right, %d all, with %d evaluations", next.Label, next.at.Right, next.at.Pictures, next.at.All, next.at.Evaluations)
		} else if next.at.Error != nil {
			r.because(sourceMeasured, "next is %s: %.3f with %d evaluations", next.Label, *next.at.Error, next.at.Evaluations)
		}
	}
	r.because(sourceMeasured, "two seeds of one prompt lie %.2f apart; a step costs %.0f µs beside the UNet on a 1024 x 1024 picture", best.SeedSpread, best.StepMicroseconds)
}
