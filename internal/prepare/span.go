package prepare

import (
	"errors"

	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// Span says where the steps of a pass are among those of the whole pass: what an earlier run or the base has done counts, and what a later
// run or the refiner will do.
func (p *Prepared) Span(o scheduler.RunOptions) (first, whole int, err error) {
	o.DenoisingEnd = 0
	rest, err := p.NewRun(1, o)
	if err != nil {
		return 0, 0, err
	}
	if o.DenoisingStart == 0 {
		return 0, rest.NumSteps(), nil
	}
	o.DenoisingStart = 0
	all, err := p.NewRun(1, o)
	if err != nil {
		return 0, 0, err
	}
	return all.NumSteps() - rest.NumSteps(), all.NumSteps(), nil
}

// Guided says in which steps guidance acts, of a request that guides. The zero value is in all.
type Guided struct{ Pauses, Never bool }

// Guided looks through the steps of the base, those over parts of the picture included, and through those of the refiner.
func (p *Prepared) Guided() (base, refiner Guided, err error) {
	if !p.Request.GuidanceInterval() {
		return base, refiner, nil
	}
	passes := []scheduler.RunOptions{p.FirstPass()}
	if p.Request.Hires.On() {
		passes = append(passes, p.SecondPass())
	}
	with, without, err := p.guided(passes...)
	for _, d := range p.Details {
		a, b, wrong := d.guided(d.FirstPass())
		with, without, err = with || a, without || b, errors.Join(err, wrong)
	}
	base = Guided{Pauses: without, Never: !with}
	if p.Refines {
		a, b, wrong := p.guided(p.RefinerPass())
		refiner, err = Guided{Pauses: b, Never: !a}, errors.Join(err, wrong)
	}
	return base, refiner, err
}

// guided reports whether passes have evaluations with guidance, and whether they have some without.
func (p *Prepared) guided(passes ...scheduler.RunOptions) (with, without bool, err error) {
	for _, o := range passes {
		run, err := p.NewRun(1, o)
		if err != nil {
			return false, false, err
		}
		first, whole, err := p.Span(o)
		if err != nil {
			return false, false, err
		}
		for i := range run.NumEvaluations() {
			if p.Request.GuidedAt(first+run.StepOf(i), whole) {
				with = true
			} else {
				without = true
			}
		}
	}
	return with, without, nil
}
