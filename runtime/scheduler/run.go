package scheduler

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// plan is the whole schedule of a run, before it is cut.
type plan struct {
	timesteps []float64 // given to the model, one per evaluation
	sigmas    []float64 // one per evaluation and one after the last
	// steps is the step each evaluation is part of; nil: every evaluation is a step.
	steps []int
	// inferenceSteps is what Strength is a fraction of.
	inferenceSteps int
	initNoiseSigma float64
	learned        bool     // the model yields a variance too: see learned.go
	notes          []string // fallbacks taken for this run
}

// solver is the changing part of a run: one algorithm's arithmetic and state. i counts
// evaluations in the whole schedule.
type solver interface {
	// reset prepares for a run that begins at evaluation begin with n values; it may allocate only when n
	// grows.
	reset(begin, n int)
	// noisy tells whether the step of evaluation i draws noise.
	noisy(i int) bool
	// step makes one step; noise holds n normal values where noisy(i), and may be overwritten.
	step(dst, out, sample, noise []float32, i int)
	// scale writes the model's input.
	scale(dst, sample []float32, i int)
	// original writes the predicted original sample.
	original(dst, out, sample []float32, i int)
	// addNoise writes original with the noise of level i, up to and including the one after the last.
	addNoise(dst, original, noise []float32, i int)
}

// add appends an evaluation that is part of a step.
func (p *plan) add(timestep, sigma float64, step int) {
	p.timesteps, p.sigmas, p.steps = append(p.timesteps, timestep), append(p.sigmas, sigma), append(p.steps, step)
}

// quiet is the part of a solver that keeps no state and draws no noise.
type quiet struct{}

func (quiet) noisy(int) bool { return false }

// run is every Run: a window of a plan over a solver.
type run struct {
	name       string
	solver     solver
	begin, end int // the window, in evaluations of the whole schedule
	timesteps  []float64
	sigmas     []float64
	steps      []int
	init       float64
	stochastic bool
	batch      int
	n          int // values per call, fixed by the first
	next       int
	noise      []float32
	learned    *learnedOutput // nil where the model yields the prediction alone
	notes      []string
	plus       [2][]float32 // of CFG++
}

// NewRun implements Scheduler.
func (s *sched) NewRun(opts RunOptions) (Run, error) {
	if err := s.applySchedule(&opts); err != nil {
		return nil, err
	}
	if err := s.checkRun(&opts); err != nil {
		return nil, err
	}
	p, solver, err := s.algo.start(s, &opts)
	if err != nil {
		return nil, err
	}
	if err := s.algo.refuse(s.strict, p.notes); err != nil {
		return nil, err
	}
	if p.steps == nil {
		p.steps = make([]int, len(p.timesteps))
		for i := range p.steps {
			p.steps[i] = i
		}
	}
	begin, end, err := s.window(p, &opts)
	if err != nil {
		return nil, err
	}
	r := &run{name: s.algo.Name, solver: solver, begin: begin, end: end, init: p.initNoiseSigma, notes: p.notes,
		batch: max(opts.BatchSize, 1), timesteps: slices.Clone(p.timesteps[begin:end]),
		sigmas: slices.Clone(p.sigmas[begin : end+1]), steps: slices.Clone(p.steps[begin:end])}
	if p.learned {
		r.learned = &learnedOutput{}
	}
	first := r.steps[0]
	for i := range r.steps {
		r.steps[i] -= first
	}
	for i := begin; i < end; i++ {
		r.stochastic = r.stochastic || solver.noisy(i)
	}
	return r, nil
}

// maxInferenceSteps keeps a mistaken step count from becoming a huge table.
const maxInferenceSteps = 100000

func (s *sched) checkRun(o *RunOptions) error {
	given := 0
	for _, is := range []bool{o.NumInferenceSteps != 0, o.Timesteps != nil, o.Sigmas != nil} {
		if is {
			given++
		}
	}
	bad := s.algo.bad
	switch {
	case given != 1:
		return bad("num_inference_steps", fmt.Sprintf("given together with %d of timesteps and sigmas, or missing", max(given-1, 0)),
			"give exactly one of num_inference_steps, timesteps and sigmas")
	case o.NumInferenceSteps < 0 || o.NumInferenceSteps > maxInferenceSteps:
		return bad("num_inference_steps", fmt.Sprint(o.NumInferenceSteps), fmt.Sprintf("it must be in [1, %d]", maxInferenceSteps))
	case !s.algo.Untrained && o.NumInferenceSteps > val(s.cfg.NumTrainTimesteps):
		return bad("num_inference_steps", fmt.Sprint(o.NumInferenceSteps),
			fmt.Sprintf("it must not be above num_train_timesteps (%d)", val(s.cfg.NumTrainTimesteps)))
	case o.Timesteps != nil && !s.algo.Timesteps:
		return bad("timesteps", "given", "this scheduler takes no custom timesteps: give num_inference_steps")
	case o.Sigmas != nil && !s.algo.Sigmas:
		return bad("sigmas", "given", "this scheduler takes no custom sigmas: give num_inference_steps")
	case o.BatchSize < 0:
		return bad("batch_size", fmt.Sprint(o.BatchSize), "it must be positive")
	}
	for _, f := range []struct {
		name string
		v    float64
		hi   bool
	}{{"strength", o.Strength, true}, {"denoising_start", o.DenoisingStart, false}, {"denoising_end", o.DenoisingEnd, false}} {
		if !(f.v >= 0 && (f.v < 1 || f.hi && f.v == 1)) {
			return bad(f.name, fmt.Sprint(f.v), "it must be in (0, 1), or left out")
		}
	}
	if o.DenoisingStart > 0 && o.DenoisingEnd > 0 && o.DenoisingStart >= o.DenoisingEnd {
		return bad("denoising_start", fmt.Sprint(o.DenoisingStart), fmt.Sprintf("it must be below denoising_end (%g)", o.DenoisingEnd))
	}
	top := float64(val(s.cfg.NumTrainTimesteps) - 1)
	err := s.checkList("timesteps", o.Timesteps, 1, fmt.Sprintf("give 1 to %d", maxInferenceSteps),
		func(t float64, _ bool) bool { return t >= 0 && t <= top }, fmt.Sprintf("it must be in [0, %g]", top))
	if err != nil {
		return err
	}
	return s.checkList("sigmas", o.Sigmas, 2, "give one more than there are steps, the last usually 0",
		func(v float64, last bool) bool { return (v > 0 || v == 0 && last) && !math.IsInf(v, 0) },
		"it must be a positive number; only the last may be 0")
}

// checkList checks custom timesteps or noise levels: how many there are, each value, and that they descend.
func (s *sched) checkList(name string, values []float64, least int, count string, fits func(v float64, last bool) bool, want string) error {
	if values != nil && (len(values) < least || len(values) > maxInferenceSteps) {
		return s.algo.bad(name, fmt.Sprintf("a list of %d", len(values)), count)
	}
	for i, v := range values {
		at := fmt.Sprintf("%s[%d]", name, i)
		if !fits(v, i == len(values)-1) {
			return s.algo.bad(at, fmt.Sprint(v), want)
		}
		if i > 0 && v >= values[i-1] {
			return s.algo.bad(at, fmt.Sprint(v), fmt.Sprintf("%s must descend, and the one before is %g", name, values[i-1]))
		}
	}
	return nil
}

func (r *run) NumEvaluations() int     { return r.end - r.begin }
func (r *run) NumSteps() int           { return r.steps[len(r.steps)-1] + 1 }
func (r *run) StepOf(i int) int        { return r.steps[i] }
func (r *run) Timesteps() []float64    { return r.timesteps }
func (r *run) Sigmas() []float64       { return r.sigmas }
func (r *run) InitNoiseSigma() float64 { return r.init }
func (r *run) Stochastic() bool        { return r.stochastic }
func (r *run) Notes() []string         { return r.notes }

func (r *run) OutputsPerValue() int {
	if r.learned != nil {
		return 2
	}
	return 1
}

// prediction checks the model's output, for a sample of n values, and returns the part of it that predicts.
func (r *run) prediction(op string, out []float32, n int) ([]float32, error) {
	if want := n * r.OutputsPerValue(); len(out) != want {
		return nil, fmt.Errorf("scheduler: %s.%s: the model's output has %d values where %d are expected", r.name, op, len(out), want)
	}
	if r.learned == nil {
		return out, nil
	}
	return r.learned.split(out, r.batch), nil
}

// check tests the arguments common to all calls; last is the highest i.
func (r *run) check(op string, i, last int, bufs ...[]float32) error {
	if i < 0 || i > last {
		return fmt.Errorf("scheduler: %s.%s: evaluation %d is outside 0 .. %d", r.name, op, i, last)
	}
	n := len(bufs[0])
	if r.n != 0 {
		n = r.n
	}
	for _, b := range bufs {
		if len(b) != n {
			return fmt.Errorf("scheduler: %s.%s: a buffer has %d values where %d are expected", r.name, op, len(b), n)
		}
	}
	if n == 0 || n%r.batch != 0 {
		return fmt.Errorf("scheduler: %s.%s: %d values cannot hold %d images of equal size", r.name, op, n, r.batch)
	}
	return nil
}

func (r *run) ScaleModelInput(dst, sample []float32, i int) error {
	if err := r.check("ScaleModelInput", i, r.end-r.begin-1, dst, sample); err != nil {
		return err
	}
	r.solver.scale(dst, sample, r.begin+i)
	return nil
}

func (r *run) PredOriginalSample(dst, modelOutput, sample []float32, i int) error {
	if err := r.check("PredOriginalSample", i, r.end-r.begin-1, dst, sample); err != nil {
		return err
	}
	out, err := r.prediction("PredOriginalSample", modelOutput, len(dst))
	if err != nil {
		return err
	}
	r.solver.original(dst, out, sample, r.begin+i)
	return nil
}

func (r *run) AddNoise(dst, original, noise []float32, i int) error {
	if err := r.check("AddNoise", i, r.end-r.begin, dst, original, noise); err != nil {
		return err
	}
	r.solver.addNoise(dst, original, noise, r.begin+i)
	return nil
}

func (r *run) Step(dst, modelOutput, sample []float32, i int, noise NoiseSource) error {
	if err := r.check("Step", i, r.end-r.begin-1, dst, sample); err != nil {
		return err
	}
	out, err := r.prediction("Step", modelOutput, len(dst))
	if err != nil {
		return err
	}
	if i == 0 {
		r.n, r.next = len(dst), 0
		r.solver.reset(r.begin, r.n)
	}
	if i != r.next {
		return fmt.Errorf("scheduler: %s.Step: evaluation %d was given where %d is next: evaluations come in order", r.name, i, r.next)
	}
	var z []float32
	if r.solver.noisy(r.begin + i) {
		if noise == nil {
			return fmt.Errorf("scheduler: %s.Step: %w", r.name, ErrNoNoise)
		}
		if len(r.noise) != r.n {
			r.noise = make([]float32, r.n)
		}
		if err := noise.Normal(r.noise); err != nil {
			return fmt.Errorf("scheduler: %s.Step: noise of evaluation %d: %w", r.name, i, err)
		}
		z = r.noise
	}
	if t, ok := r.solver.(varianceTaker); ok && r.learned != nil {
		t.takeVariance(r.learned.variance)
	}
	r.solver.step(dst, out, sample, z, r.begin+i)
	r.next = i + 1
	return nil
}

// ErrNoNoise is returned by Step when a stochastic scheduler is given no NoiseSource.
var ErrNoNoise = errors.New("this scheduler draws noise, but no NoiseSource was given")
