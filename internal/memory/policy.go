package memory

import (
	"fmt"
	"slices"
)

// The window through which a component is streamed: as large as fits between the two.
const (
	DefaultWindow int64 = 512 << 20
	MinWindow     int64 = 64 << 20
)

// Problem is what Choose decides about.
type Problem struct {
	Model   Model
	Jobs    []Job
	Budgets []Budget // of every device that has one; others are not bounded
	Force   Force
	Compute Compute
}

// Choose takes the fastest way to run that fits all budgets with the whole batch, or if none does without slowing every
// step, the fastest that fits with the largest batch that it has room for. Where nothing fits, the error is an *OverBudgetError.
func Choose(p Problem) (Plan, error) {
	if len(p.Jobs) == 0 {
		return Plan{}, fmt.Errorf("memory: a plan needs at least one job")
	}
	p.Compute = Cached(p.Compute)
	c := chooser{Problem: p}
	strategies, err := c.strategies()
	if err != nil {
		return Plan{}, err
	}
	cheap := slices.IndexFunc(strategies, func(s Strategy) bool { return s.cost() > costRelease })
	if cheap < 0 {
		cheap = len(strategies)
	}
	// First with whole batches, as long as that costs next to nothing; then with what fits.
	for _, round := range []struct {
		of    []Strategy
		whole bool
	}{{strategies[:cheap], true}, {strategies, false}} {
		for _, s := range round.of {
			plan, fits, err := c.try(s, round.whole)
			if err != nil {
				return Plan{}, err
			}
			if fits {
				plan.Passed, plan.Budgets = c.passed, p.Budgets
				plan.Reason = plan.reason()
				return plan, nil
			}
		}
	}
	return Plan{}, c.overBudget(strategies)
}

// chooser is one Choose.
type chooser struct {
	Problem
	passed []Need
}

func (c *chooser) mappable() bool {
	return slices.ContainsFunc(c.Model.Parts, func(p Part) bool { return p.Mapped > 0 })
}

// strategies lists the ways to run that are open, the fastest first. There is always one.
func (c *chooser) strategies() ([]Strategy, error) {
	all := c.Force.strategies(c.mappable())
	out := slices.DeleteFunc(slices.Clone(all), func(s Strategy) bool {
		return s.Name == Stream && slices.ContainsFunc(c.Model.Parts, func(p Part) bool {
			return p.Quantizes && (p.Component == UNet || p.Component == ControlNet || s.StreamText && isText(p.Component))
		})
	})
	if len(out) == 0 {
		return nil, fmt.Errorf("model.memory.strategy: %s: %w: the file's weights would have to be quantized in every pass; convert the file "+
			"once "+
			"(daguerre models convert), or leave the type to auto", c.Force.Strategy, ErrStrategy)
	}
	return out, nil
}

// windows lists the sizes of window to try, the largest first; 0 where nothing is streamed.
func (c *chooser) windows(s Strategy) []int64 {
	if s.Name != Stream {
		return []int64{0}
	}
	if c.Force.StreamBytes > 0 {
		return []int64{c.Force.StreamBytes}
	}
	var out []int64
	for w := DefaultWindow; w >= MinWindow; w /= 2 {
		out = append(out, w)
	}
	return out
}

// try plans every job under a strategy. whole asks for batches as large as the jobs want them.
func (c *chooser) try(s Strategy, whole bool) (Plan, bool, error) {
	var short Need
	for _, window := range c.windows(s) {
		plan := Plan{Strategy: s, StreamBytes: window}
		fits := true
		for _, job := range c.Jobs {
			jp, need, err := c.job(job, s, window, whole)
			if err != nil {
				return plan, false, err
			}
			if need.Bytes > 0 {
				fits, short = false, need
				break
			}
			plan.Jobs = append(plan.Jobs, jp)
		}
		if fits {
			return plan, true, nil
		}
	}
	if !slices.ContainsFunc(c.passed, func(n Need) bool { return n.Strategy == s }) {
		c.passed = append(c.passed, short)
	}
	return Plan{}, false, nil
}

// job finds the largest batch of a job that fits. A Need of more than 0 bytes says that none does.
func (c *chooser) job(j Job, s Strategy, window int64, whole bool) (JobPlan, Need, error) {
	want := j.batch()
	b, need, err := c.fits(j, s, window, want)
	if err != nil || need.Bytes == 0 {
		return c.planned(j, s, want, b), Need{}, err
	}
	if whole || want == 1 {
		return JobPlan{}, need, nil
	}
	low, high := 0, want // low fits, high does not
	var best Breakdown
	next := need
	for high-low > 1 {
		mid := (low + high) / 2
		b, n, err := c.fits(j, s, window, mid)
		if err != nil {
			return JobPlan{}, Need{}, err
		}
		if n.Bytes == 0 {
			low, best = mid, b
		} else {
			high, next = mid, n
		}
	}
	if low == 0 {
		return JobPlan{}, next, nil
	}
	jp := c.planned(j, s, low, best)
	jp.NextBatch, jp.NextBytes = high, next.Bytes
	return jp, Need{}, nil
}

func (c *chooser) planned(j Job, s Strategy, batch int, b Breakdown) JobPlan {
	return JobPlan{Batch: min(batch, max(j.Images, 1)), Tiling: s.Tiling, Separate: s.separate(j), Breakdown: b}
}

// fits estimates, and says what is missing where; nothing is where Need.Bytes is 0.
func (c *chooser) fits(j Job, s Strategy, window int64, batch int) (Breakdown, Need, error) {
	b, err := Estimate(c.Model, j, s, window, batch, c.Compute)
	if err != nil {
		return b, Need{}, err
	}
	for _, budget := range c.Budgets {
		peak, _ := b.Peak(budget.Device)
		if n := budget.Need(peak); peak > 0 && n > budget.Bytes {
			return b, Need{Device: budget.Device, Strategy: s, Bytes: n}, nil
		}
	}
	return b, Need{}, nil
}

// overBudget finds the smallest budget with which a run would be possible.
func (c *chooser) overBudget(strategies []Strategy) error {
	e := &OverBudgetError{}
	for _, s := range strategies {
		windows := c.windows(s)
		window := windows[len(windows)-1]
		needs := map[string]int64{}
		for _, j := range c.Jobs {
			one, err := c.needs(j, s, window, 1)
			if err != nil {
				return err
			}
			whole, err := c.needs(j, s, window, j.batch()) // less, by a little, where pictures are small: nothing is finished while it is computed
			if err != nil {
				return err
			}
			for device, n := range one {
				needs[device] = max(needs[device], min(n, whole[device]))
			}
		}
		e.consider(s, c.Budgets, needs)
	}
	e.Forced = c.Force
	return e
}

// needs is what a limit of each device must be for batches of a job, also for a process that begins a little larger than this one.
func (c *chooser) needs(j Job, s Strategy, window int64, batch int) (map[string]int64, error) {
	b, err := Estimate(c.Model, j, s, window, batch, c.Compute)
	out := map[string]int64{}
	for _, budget := range c.Budgets {
		peak, _ := b.Peak(budget.Device)
		out[budget.Device] = budget.Need(peak)
		if budget.Device == HostID {
			out[budget.Device] += processVaries
		}
	}
	return out, err
}
