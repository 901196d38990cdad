package pipeline

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/internal/steps"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// CheckRun checks a run file before any weight is read, as far as that is possible without a model. It checks every field and every
// scheduler with its options, and reads every input file into run's requests. It reports all mistakes at once, as request.Errors.
func CheckRun(run *request.Run) error { return prepare.CheckRun(run, true) }

// CheckFiles looks whether the files and folders that a run names are there, without reading them. What is missing is told as
// request.Errors, with the nearest name that exists.
func CheckFiles(run request.Run) error { return prepare.CheckFiles(run) }

// Generate makes the request's pictures. It checks all it can before computing: the errors of a bad
// request are request.Errors, with a nil Result. Cancelling ctx stops a computation on the CPU at once, on other devices
// at its end, and errors.Is(err, ctx.Err()) then holds. With any error that comes after the checks the Result is not
// nil and holds the pictures that were finished; each was also given to WithImages. The pictures do not depend on
// MaxBatch, GuidanceBatch or other Generates; the same prepared request yields the same pictures.
func (p *Pipeline) Generate(ctx context.Context, req request.Request, opts ...GenerateOption) (*Result, error) {
	release, err := p.use()
	if err != nil {
		return nil, err
	}
	defer release()
	planned, err := p.planned(req)
	if err != nil {
		return nil, err
	}
	var o generateOptions
	for _, opt := range opts {
		opt(&o)
	}
	s := p.newSitting(sittingOptions{progress: o.progress, previewEvery: o.previewEvery, previewMode: o.previewMode})
	defer s.close()
	result := planned.result
	s.deliver = func(_ int, img Image) error {
		result.Images = append(result.Images, img)
		if o.image != nil {
			return o.image(img)
		}
		return nil
	}
	err = s.generate(ctx, planned, o.loras)
	result.Timings, result.Texts = s.report.done(), s.stats
	if err != nil {
		return result, fmt.Errorf("%s: %w", s.report.state.Stage, err)
	}
	return result, nil
}

// generate makes all pictures of one request, batch by batch.
func (s *sitting) generate(ctx context.Context, plan *Planned, loras *LoRAHandle) error {
	if plan.pictures != nil {
		return s.generateDrawn(ctx, plan, loras)
	}
	m := s.join(plan, loras, nil)
	r := &m.plan.prep.Request
	sizes, err := s.decideBatches(ctx, plan)
	if err != nil {
		return err
	}
	s.report.begin(r.NumImages, len(sizes), sizes[0], m.plan.prep.AllSteps())
	if err := s.prepare(ctx); err != nil {
		return err
	}
	first := 0
	for number, size := range sizes {
		slots := make([]steps.Slot, size)
		for i := range slots {
			slots[i] = steps.Slot{Member: &m.Member, Index: first + i}
		}
		s.report.batch(number, first)
		if err := s.batch(ctx, slots); err != nil {
			return err
		}
		first += size
	}
	s.report.enter(StageDone)
	return nil
}

// decideBatches decides how a request's pictures fit into memory, and returns the sizes of their batches.
func (s *sitting) decideBatches(ctx context.Context, plan *Planned) ([]int, error) {
	r := &plan.prep.Request
	decided, err := s.p.decide(ctx, plan.prep, demand{images: r.NumImages, batch: r.MaxBatch, prompts: max(plan.prep.Variety, 1)})
	if err != nil {
		return nil, err
	}
	sizes := memory.Batches(r.NumImages, decided.Batch)
	decided.Batch = sizes[0]
	s.adopt(decided)
	plan.decided(decided.MemoryDecision)
	plan.result.Request.MaxBatch = decided.Batch
	return sizes, nil
}

// generateDrawn makes pictures whose texts are their own, in batches of those that can be computed together and follow each other. What a
// batch needs is made ready before it and given back after it: there may be as many texts as pictures.
func (s *sitting) generateDrawn(ctx context.Context, plan *Planned, loras *LoRAHandle) error {
	sizes, err := s.decideBatches(ctx, plan)
	if err != nil {
		return err
	}
	var batches [][]int
	for index := range plan.pictures {
		n := len(batches)
		if n > 0 && len(batches[n-1]) < sizes[0] && plan.of(batches[n-1][0]).key == plan.of(index).key {
			batches[n-1] = append(batches[n-1], index)
		} else {
			batches = append(batches, []int{index})
		}
	}
	s.report.begin(len(plan.pictures), len(batches), len(batches[0]), plan.prep.AllSteps())
	for number, indices := range batches {
		slots, members := make([]steps.Slot, len(indices)), map[*Planned]*member{}
		for i, index := range indices {
			one := plan.of(index)
			if members[one] == nil {
				members[one] = s.join(one, loras, nil)
			}
			slots[i] = steps.Slot{Member: &members[one].Member, Index: index}
		}
		s.report.batch(number, indices[0])
		if err := s.prepare(ctx); err != nil {
			return err
		}
		if err := s.batch(ctx, slots); err != nil {
			return err
		}
		s.close()
		s.members = nil
	}
	s.report.enter(StageDone)
	return nil
}
