package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Measurer runs a session: Measure in this process, or one that hands it to another.
type Measurer func(ctx context.Context, s Session) (Outcome, error)

// Plan is a benchmark to be run.
type Plan struct {
	Cases []Case
	// Session returns a case's session but for Keep; it is called once a round.
	Session func(c Case) Session
	Rounds  int
	// Budget ends the rounds before Rounds where another one would exceed it; there is always a first round. 0: none.
	Budget time.Duration
	Across bool // hold pictures against the first model's, not each model's own
	Check  bool // have the nano models' checker look at the pictures
	// Folder returns a folder for a case's pictures.
	Folder func(i int) (string, error)
	// Progress, if not nil, is told which case comes next.
	Progress func(p Progress)
	Now      func() time.Time
}

// Progress is a moment of a run.
type Progress struct {
	Round, Rounds int // from 0
	Index         int // of the case that begins, in its round's order
	Case          Case
	Done, Total   int // sessions
	Elapsed       time.Duration
}

// Run measures every case, round by round. The first round takes the cases in their order, the next one backwards, and so on. So a
// change of the machine's speed hits all alike. A case that fails is not tried again. The others go on, and the first such error is
// returned beside the results. Cancelling ctx ends all, with the results so far.
func Run(ctx context.Context, plan Plan, measure Measurer) ([]Result, int, error) {
	r := &runner{plan: plan, measure: measure, began: plan.Now(), joules: map[int][]float64{},
		results: make([]Result, len(plan.Cases)), steps: make([][]float64, len(plan.Cases))}
	refs := reference(plan.Cases, plan.Across)
	for i, c := range plan.Cases {
		r.results[i] = Result{Case: c, Key: c.Key(), IsReference: slices.Contains(refs, i), Components: []component{},
			Samples: Samples{Load: []float64{}, Text: []float64{}, Step: []float64{}, Decode: []float64{}, Image: []float64{}}}
	}
	rounds, err := r.rounds(ctx)
	if err != nil {
		return r.results, rounds, err
	}
	return r.results, rounds, cmp.Or(r.finish(refs), r.failure)
}

type runner struct {
	plan    Plan
	measure Measurer
	began   time.Time
	results []Result
	steps   [][]float64 // single steps, of each case
	joules  map[int][]float64
	failure error
}

func (r *runner) rounds(ctx context.Context) (int, error) {
	for round := range r.plan.Rounds {
		began := r.plan.Now()
		for k := range r.plan.Cases {
			i := k
			if round%2 == 1 {
				i = len(r.plan.Cases) - 1 - k
			}
			if r.results[i].Error != "" {
				continue
			}
			if r.plan.Progress != nil {
				n := len(r.plan.Cases)
				r.plan.Progress(Progress{Round: round, Rounds: r.plan.Rounds, Index: k, Case: r.plan.Cases[i],
					Done: round*n + k, Total: r.plan.Rounds * n, Elapsed: r.plan.Now().Sub(r.began)})
			}
			if err := r.session(ctx, round, i); err != nil {
				return round, err
			}
		}
		took, elapsed := r.plan.Now().Sub(began), r.plan.Now().Sub(r.began)
		if r.plan.Budget > 0 && elapsed+took > r.plan.Budget {
			return round + 1, nil
		}
	}
	return r.plan.Rounds, nil
}

// session measures a case once. Its failure is noted, and only that of ctx returned.
func (r *runner) session(ctx context.Context, round, i int) error {
	s := r.plan.Session(r.plan.Cases[i])
	if round == 0 && r.plan.Folder != nil {
		dir, err := r.plan.Folder(i)
		if err != nil {
			return err
		}
		s.Keep = dir
	}
	out, err := r.measure(ctx, s)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil && len(out.Runs) != len(s.Prompts) {
		err = fmt.Errorf("%d of %d runs were measured", len(out.Runs), len(s.Prompts))
	}
	if err != nil {
		r.fail(i, err)
		return nil
	}
	r.add(i, s, out)
	return nil
}

func (r *runner) fail(i int, err error) {
	res := &r.results[i]
	res.Error = err.Error()
	if r.failure == nil {
		r.failure = fmt.Errorf("%s: %w", res.Key, err)
	}
}

// add books what a session measured.
func (r *runner) add(i int, s Session, out Outcome) {
	res := &r.results[i]
	x := &res.Samples
	x.Load = append(x.Load, out.Load)
	batch := float64(s.Case.Batch)
	for _, run := range out.Runs {
		if run.Text > 0 {
			x.Text = append(x.Text, run.Text)
		}
		sum := 0.0
		for _, t := range run.Steps {
			sum += t
		}
		if n := len(run.Steps); n > 0 {
			x.Step = append(x.Step, sum/float64(n))
		}
		r.steps[i] = append(r.steps[i], run.Steps...)
		x.Decode = append(x.Decode, run.Decode/batch)
		x.Image = append(x.Image, run.Total/batch)
	}
	if out.Joules > 0 {
		r.joules[i] = append(r.joules[i], out.Joules)
	}
	res.Precision, res.Threads, res.Components = out.Precision, out.Threads, out.Components
	res.PeakRSS, res.DeviceBytes = max(res.PeakRSS, out.PeakRSS), max(res.DeviceBytes, out.DeviceBytes)
	res.NativeBytes = max(res.NativeBytes, out.NativePeak)
	if s.Keep != "" {
		res.Images = out.Images
	}
}

// finish computes what needs all rounds.
func (r *runner) finish(refs []int) error {
	var errs []error
	for i := range r.results {
		res := &r.results[i]
		if res.Error != "" {
			continue
		}
		x := res.Samples
		res.Load, res.Text, res.Step = summarize(x.Load), summarize(x.Text), summarize(r.steps[i])
		res.Decode, res.Image = summarize(x.Decode), summarize(x.Image)
		if res.Image.Median > 0 {
			res.Rate = 1 / res.Image.Median
		}
		if j := r.joules[i]; len(j) > 0 {
			s := summarize(j)
			res.Joules = &s
		}
		ref := &r.results[refs[i]]
		if refs[i] != i && ref.Error == "" {
			q, err := compareImages(res.Images, ref.Images)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s against %s: %w", res.Key, ref.Key, err))
			}
			if res.Quality = q; q != nil {
				q.Reference = ref.Key
			}
		}
		if r.plan.Check {
			checked, err := checkImages(res.Images)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", res.Key, err))
			}
			res.Checked = checked
		}
	}
	return errors.Join(errs...)
}
