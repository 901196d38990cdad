package pipeline

import (
	"context"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/pictures"
	"github.com/daguerre-go/daguerre/internal/steps"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// sitting makes pictures of one request or several: the only way of a picture. What the requests need is made ready once, by prepare. Then
// any number of batches are made. It belongs to one goroutine.
type sitting struct {
	p       *Pipeline
	members []*member
	sittingOptions
	report *reporter
	coder  *pictures.Coder
	memory decision
	stats  conditioning.Stats
}

// sittingOptions say where a sitting's pictures and reports go.
type sittingOptions struct {
	progress     func(Progress)
	previewEvery int // steps; 0: none
	previewMode  PreviewMode
	live         func(i int) bool             // whether picture i of the batch is still wanted; nil: all are
	deliver      func(i int, img Image) error // given picture i of the batch
}

// member is one request of a sitting.
type member struct {
	steps.Member
	plan    *Planned
	loras   *LoRAHandle
	held    *heldLoRAs // of the Batcher's job
	active  *adapters.Active
	refiner *models.Lease
	nets    []*models.Lease
	canvas  pictures.Canvas // nil: all is painted
}

func (p *Pipeline) newSitting(o sittingOptions) *sitting {
	s := &sitting{p: p, sittingOptions: o, report: newReporter(o.progress)}
	s.coder = &pictures.Coder{Models: p.models, Settings: &p.target.Settings, Policy: p.config.VAEPolicy, Retry: true,
		Fast: p.models.TAESD != nil && p.config.FastDecode, Warn: func(text string) { s.warn(text) }}
	return s
}

// join adds a request. held is what h holds for the Batcher's job that it is part of.
func (s *sitting) join(plan *Planned, h *LoRAHandle, held *heldLoRAs) *member {
	m := &member{plan: plan, loras: h, held: held}
	m.Prepared, m.Source, m.canvas = plan.prep, plan.encoded(), pictures.NewCanvas(&plan.prep.Request)
	s.members = append(s.members, m)
	return m
}

// warn tells of what concerns all requests.
func (s *sitting) warn(text string) {
	for _, m := range s.members {
		m.plan.warn(s.p.log, text)
	}
}

// adopt takes over what was decided about memory.
func (s *sitting) adopt(d decision) {
	s.memory = d
	if d.tiling && s.coder.Policy.Tiling != vae.Off {
		s.coder.Policy.Tiling = vae.On
	}
}

// strategy is how memory is used in fact: tiles also where they were no part of the plan.
func (s *sitting) strategy() memory.Strategy {
	out := s.memory.strategy
	out.Tiling = out.Tiling || s.coder.Policy.Tiling == vae.On
	return out
}

// hold frees, at the beginning of a stage, the weights that the strategy does not keep during it.
func (s *sitting) hold(stage string) {
	strategy := s.memory.strategy
	if strategy.Name == memory.Resident || strategy.Name == "" {
		return
	}
	open := []models.Model{s.p.models.Base}
	for _, m := range s.members {
		for _, l := range append(m.nets, m.refiner) {
			if l != nil {
				open = append(open, l.Value)
			}
		}
	}
	for _, m := range open {
		if err := models.Free(m.Model, m.Owner, strategy, stage); err != nil {
			s.warn(err.Error())
		}
	}
}

// wrapped has everything that is computed under the context wrap around as the requests say.
func (s *sitting) wrapped(ctx context.Context) context.Context {
	axes := map[string]backend.Wrap{request.SeamlessX: backend.WrapX, request.SeamlessY: backend.WrapY,
		request.SeamlessBoth: backend.WrapX | backend.WrapY}
	return backend.WithWrap(ctx, axes[s.members[0].Request.Seamless])
}

// memberOf is the sitting's member of a batch's.
func (s *sitting) memberOf(of *steps.Member) *member {
	for _, m := range s.members {
		if &m.Member == of {
			return m
		}
	}
	return nil
}
