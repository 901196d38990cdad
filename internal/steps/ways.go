package steps

import (
	"context"
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/reuse"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// newWay is what a request's [reuse] asks for; nil: nothing is left out.
func newWay(e *evaluator) way {
	u := e.b.lead().Request.Reuse
	whole := e.b.span.whole
	switch u.Way() {
	case "deepcache":
		return &deepCache{interval: u.DeepCache, branch: u.Branch}
	case "tgate":
		return &tgate{gate: u.TGate}
	case "easycache":
		return &outputs{make: func() reuse.Pictures { return reuse.NewEasyCache(u.EasyCache, *u.Start, *u.Stop, whole) }}
	case "ucache":
		return &outputs{make: func() reuse.Pictures { return reuse.NewUCache(u.UCache, *u.Start, *u.Stop, whole) }}
	case "spectrum":
		return &spectrum{Spectrum: reuse.NewSpectrum(u.Spectrum, e.b.run.NumEvaluations())}
	}
	return nil
}

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

// close frees what the way holds.
func (e *evaluator) close() {
	if e.way != nil {
		_ = e.way.close() // an error of a model that is broken is told by its next call
	}
}

// kept are features for each input of a guided.
type kept []backend.Features

// room makes room for the inputs of a guided.
func (k *kept) room(ctx context.Context, e *evaluator, n int) error {
	for len(*k) < n {
		m, ok := e.model.Model.(backend.FeatureModel)
		if !ok {
			return fmt.Errorf("%w: the backend keeps no features of a UNet; leave [reuse] out", backend.ErrUnsupported)
		}
		f, err := m.NewFeatures(ctx)
		if err != nil {
			return err
		}
		*k = append(*k, f)
	}
	return nil
}

func (k *kept) close() error {
	var errs []error
	for _, f := range *k {
		errs = append(errs, f.Close())
	}
	*k = nil
	return errors.Join(errs...)
}

// deepCache evaluates the whole UNet in one of interval evaluations, and its outermost layers in the others.
type deepCache struct {
	interval, branch int
	features         kept
	since            int // evaluations since the whole one
}

func (d *deepCache) evaluate(ctx context.Context, e *evaluator, scaled []float32, i int, fresh bool) ([]float32, error) {
	g := e.usual(i)
	if err := d.features.room(ctx, e, len(g.inputs)); err != nil {
		return nil, err
	}
	d.since++
	use := backend.FeaturesReuse
	if fresh || d.since >= d.interval {
		use, d.since = backend.FeaturesStore, 0
	}
	for k := range g.inputs {
		g.kept = append(g.kept, backend.Kept{Features: d.features[k], Keep: backend.KeepDeep, Use: use, Branch: d.branch})
	}
	return g.evaluate(ctx, e.b, scaled, i)
}

func (d *deepCache) close() error { return d.features.close() }

// tgate keeps the mean of both halves' cross-attention at the step before the gate. After it there is one half alone, which reads no text
// but in its pooled embedding: that is the negative half's, as in the authors' package.
type tgate struct {
	gate     int // steps before it
	features kept
	stored   bool
}

func (t *tgate) evaluate(ctx context.Context, e *evaluator, scaled []float32, i int, fresh bool) ([]float32, error) {
	step := e.step(i)
	t.stored = t.stored && !fresh
	switch {
	case step < t.gate-1:
		return e.usual(i).evaluate(ctx, e.b, scaled, i)
	case step < t.gate || !t.stored:
		return t.store(ctx, e, scaled, i)
	}
	g := e.form(form{halves: negativeHalf})
	g.kept = []backend.Kept{t.kept(backend.FeaturesReuse)}
	return g.evaluate(ctx, e.b, scaled, i)
}

// store makes a step with both halves, one after the other, so that what is kept can be their mean.
func (t *tgate) store(ctx context.Context, e *evaluator, scaled []float32, i int) ([]float32, error) {
	if err := t.features.room(ctx, e, 1); err != nil {
		return nil, err
	}
	g := e.form(form{halves: e.halves(i), separate: true})
	use := backend.FeaturesStore
	for range g.inputs {
		g.kept = append(g.kept, t.kept(use))
		use = backend.FeaturesMean
	}
	t.stored = true
	return g.evaluate(ctx, e.b, scaled, i)
}

func (t *tgate) kept(use backend.FeaturesUse) backend.Kept {
	return backend.Kept{Features: t.features[0], Keep: backend.KeepTextAttention, Use: use}
}

func (t *tgate) close() error { return t.features.close() }

// outputs leaves out whole evaluations, for each picture by itself.
type outputs struct {
	make     func() reuse.Pictures
	pictures []reuse.Pictures
}

func (o *outputs) evaluate(ctx context.Context, e *evaluator, scaled []float32, i int, fresh bool) ([]float32, error) {
	g, b, step := e.usual(i), e.b, e.step(i)
	if fresh {
		o.pictures = make([]reuse.Pictures, b.Len())
		for p := range o.pictures {
			o.pictures[p] = o.make()
		}
	}
	var asked []int
	skipped := make([]bool, b.Len())
	for p := range b.Len() {
		if skipped[p] = o.pictures[p].Skip(step, b.image(scaled, p)); !skipped[p] {
			asked = append(asked, p)
		}
	}
	if err := g.askSome(ctx, e, asked, scaled, i); err != nil {
		return nil, err
	}
	anchor := 0
	if g.guidance {
		anchor = 1
	}
	for p := range b.Len() {
		input, halves := b.image(scaled, p), g.outputsOf(b, p)
		if skipped[p] {
			o.pictures[p].Predict(input, halves)
		} else {
			o.pictures[p].Learn(step, input, halves, anchor)
		}
	}
	return g.combine(b, i)
}

func (o *outputs) close() error { return nil }

// outputsOf are the outputs of a picture's rows.
func (g *guided) outputsOf(b *Batch, picture int) (out [][]float32) {
	n := b.Channels * b.Height * b.Width
	for first := picture * n; first < len(g.output); first += b.Len() * n {
		out = append(out, g.output[first:first+n])
	}
	return out
}

// askSome is ask for some of the pictures.
func (g *guided) askSome(ctx context.Context, e *evaluator, which []int, scaled []float32, i int) error {
	switch len(which) {
	case 0:
		return nil
	case e.b.Len():
		return g.ask(ctx, e.b, scaled, i)
	}
	part := e.b.part(which)
	how := form{halves: e.halves(i), separate: e.separate}
	some := newGuided(part, e.model, e.refiner, how, e.watch, e.how)
	some.attendRegions(part, how)
	some.loras = e.loras
	if err := some.ask(ctx, part, e.b.gather(scaled, which), i); err != nil {
		return err
	}
	for k, picture := range which {
		to := g.outputsOf(e.b, picture)
		for h, from := range some.outputsOf(part, k) {
			copy(to[h], from)
		}
	}
	return nil
}

// spectrum leaves out whole evaluations of the batch, and predicts the guided output.
type spectrum struct{ *reuse.Spectrum }

func (s *spectrum) evaluate(ctx context.Context, e *evaluator, scaled []float32, i int, fresh bool) ([]float32, error) {
	if fresh {
		s.Restart()
	}
	g := e.usual(i)
	if s.Skip() {
		out := g.output[:e.b.size()]
		s.Predict(out)
		return out, nil
	}
	out, err := g.evaluate(ctx, e.b, scaled, i)
	if err == nil {
		s.Learn(out)
	}
	return out, err
}

func (s *spectrum) close() error { return nil }
