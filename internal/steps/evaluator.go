package steps

import (
	"context"
	"reflect"
	"slices"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// evaluator answers a loop's evaluations: by the UNet, or by what [reuse] makes of earlier ones. It belongs to one loop.
type evaluator struct {
	separate bool // as Loop.Separate
	watch    Watcher
	how      *guide
	b        *Batch
	model    models.Model
	refiner  bool
	loras    []backend.LoRAUse // of this step

	forms map[form]*guided // made when needed
	way   way
	state state // that the way's results were made in
}

// way leaves out work. Its results are valid while the evaluator's state is the same.
type way interface {
	// evaluate is guided.evaluate. fresh says that earlier results are not valid.
	evaluate(ctx context.Context, e *evaluator, scaled []float32, i int, fresh bool) ([]float32, error)
	close() error
}

// state is what results of the UNet depend on, besides latents and steps.
type state struct {
	asked *guided // another one where texts change
	loras []backend.LoRAUse
	nets  []bool // that act
}

// restart is called where other texts count from now on.
func (e *evaluator) restart() { e.forms = nil }

// form returns how the UNet is asked.
func (e *evaluator) form(f form) *guided {
	if e.forms == nil {
		e.forms = map[form]*guided{}
	}
	g := e.forms[f]
	if g == nil {
		g = newGuided(e.b, e.model, e.refiner, f, e.watch, e.how)
		g.attendRegions(e.b, f)
		e.forms[f] = g
	}
	g.loras, g.kept = e.loras, nil
	return g
}

// step is the number of an evaluation's step among those of the whole pass, from 0.
func (e *evaluator) step(i int) int { return e.b.span.first + e.b.run.StepOf(i) }

// halves are those that evaluation i is made of.
func (e *evaluator) halves(i int) halves {
	if r := &e.b.lead().Request; r.GuidanceInterval() && !r.GuidedAt(e.step(i), e.b.span.whole) {
		return positiveHalf
	}
	return both
}

// usual is how evaluation i is asked where nothing is left out.
func (e *evaluator) usual(i int) *guided {
	return e.form(form{e.halves(i), e.separate, e.b.perturbs(i, e.refiner)})
}

// same reports whether results of the last evaluation are valid for evaluation i, and remembers what this depends on.
func (e *evaluator) same(g *guided, i int) bool {
	now := state{asked: g, loras: make([]backend.LoRAUse, len(e.loras))}
	for k, u := range e.loras {
		now.loras[k] = backend.LoRAUse{LoRA: u.LoRA, Weights: slices.Clone(u.Weights)}
	}
	for _, c := range e.b.lead().Controls {
		now.nets = append(now.nets, !e.refiner && c.acts(i, e.b.controlSteps))
	}
	same := e.state.asked == g && reflect.DeepEqual(e.state.loras, now.loras) && slices.Equal(e.state.nets, now.nets)
	e.state = now
	return same
}
