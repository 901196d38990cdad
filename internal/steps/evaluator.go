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
	Loop
	how     *guide
	b       *Batch
	model   models.Model
	refiner bool
	loras   []backend.LoRAUse // of this step

	forms map[form]*guided // made when needed
	way   way
	state state // that the way's results were made in
}

// form is a way to ask the UNet.
type form struct {
	halves   halves
	separate bool // the halves one after the other
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
		g = newGuided(e.b, e.model, e.refiner, f, e.Watch, e.how)
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
func (e *evaluator) usual(i int) *guided { return e.form(form{e.halves(i), e.Separate}) }

// evaluate returns the guided model output of evaluation i, as guided.evaluate does.
func (e *evaluator) evaluate(ctx context.Context, scaled []float32, i int) ([]float32, error) {
	g := e.usual(i)
	if e.b.zeroed(e.b.stepsDone + e.b.run.StepOf(i)) {
		out := g.output[:e.b.size()]
		clear(out)
		return out, nil
	}
	if e.way == nil {
		e.way = newWay(e)
	}
	if e.way == nil {
		return g.evaluate(ctx, e.b, scaled, i)
	}
	fresh := !e.same(g, i)
	return e.way.evaluate(ctx, e, scaled, i, fresh)
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

// close frees what the way holds.
func (e *evaluator) close() {
	if e.way != nil {
		_ = e.way.close() // an error of a model that is broken is told by its next call
	}
}
