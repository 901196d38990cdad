package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/memory"
)

// Picture is one picture of a planned request: what a Batcher's tasks are.
type Picture struct {
	Plan  *Planned
	Index int // 0 .. NumImages-1

	track *track // of the Batcher's job
}

// togetherOptions say how computeTogether reports.
type togetherOptions struct {
	tiling   bool
	staged   bool
	live     func(i int) bool
	deliver  func(i int, img Image) error
	progress func(Progress)
	previews int // every so many steps; 0: none
	mode     PreviewMode
}

// computeTogether makes pictures of requests with one key in one batch. Each is given to deliver as soon as it is finished; what it yields does
// not depend on the others.
func (p *Pipeline) computeTogether(ctx context.Context, pictures []Picture, o togetherOptions) (err error) {
	release, err := p.use()
	if err != nil {
		return err
	}
	defer release()
	lead, slots, err := p.assemble(pictures, o)
	if lead != nil {
		defer func() {
			for _, m := range lead.members {
				m.closeRefiner()
				m.closeControls()
				m.releaseLoRAs()
			}
		}()
	}
	if err != nil {
		return err
	}
	if err := lead.runTogether(ctx, slots); err != nil {
		return fmt.Errorf("%s: %w", lead.state.Stage, err)
	}
	return nil
}

// assemble makes one job for each request, the first of which leads.
func (p *Pipeline) assemble(pictures []Picture, o togetherOptions) (lead *job, slots []slot, err error) {
	jobs := map[*Planned]*job{}
	for _, pic := range pictures {
		j := jobs[pic.Plan]
		if j == nil {
			if j, err = p.jobOf(pic.Plan); err != nil {
				return lead, nil, err
			}
			j.opt = generateOptions{slotImage: o.deliver, live: o.live, tiling: o.tiling, staged: o.staged}
			if t := pic.track; t != nil {
				j.opt.loras, j.opt.held = t.opts.LoRAs, t.held
			}
			jobs[pic.Plan] = j
			if lead == nil {
				lead = j
			}
			lead.members = append(lead.members, j)
		}
		if pic.Plan.key != lead.plan.key {
			return lead, nil, errors.New("pictures with different keys cannot be computed together")
		}
		slots = append(slots, slot{j, pic.Index})
	}
	lead.opt.progress, lead.opt.previewEvery, lead.opt.previewMode = o.progress, o.previews, o.mode
	return lead, slots, nil
}

// runTogether is run for one batch of pictures of several jobs.
func (j *job) runTogether(ctx context.Context, slots []slot) error {
	ctx = j.wrapped(ctx)
	j.state = Progress{Images: len(slots), Batches: 1, Count: len(slots), Together: len(slots)}
	for _, m := range j.members {
		if err := m.planSteps(1); err != nil {
			return err
		}
	}
	b, err := j.newBatchOf(0, slots)
	if err != nil {
		return err
	}
	j.state.Seeds = b.seeds
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := j.planTogether(ctx, len(slots), j.opt.staged); err != nil {
		return err
	}
	j.enter(StageText)
	j.hold(memory.StageText)
	for _, m := range j.members {
		if err := m.prepareTogether(ctx); err != nil {
			return err
		}
	}
	if err := checkTokens(j.members, func(m *job) *expert { return &m.base }); err != nil {
		return err
	}
	if err := j.makeBatch(ctx, b); err != nil {
		return err
	}
	j.hold("")
	j.enter(StageDone)
	return nil
}

// prepareTogether is what each of the jobs does for itself before the steps.
func (j *job) prepareTogether(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := j.loadLoRAs(ctx); err != nil {
		return err
	}
	if err := j.encodePrompts(ctx); err != nil {
		return err
	}
	if err := j.openResidentRefiner(ctx); err != nil {
		return err
	}
	if err := j.openControls(ctx); err != nil {
		return err
	}
	if err := j.encodeSource(ctx); err != nil {
		return err
	}
	j.plan.remember(j.source)
	return nil
}
