package pipeline

import (
	"context"
	"fmt"
	"image"
	"strings"

	"github.com/daguerre-go/daguerre/internal/steps"
)

// batch makes one batch, with the parts of its pictures that are painted again.
func (s *sitting) batch(ctx context.Context, slots []steps.Slot) error {
	if len(slots[0].Member.Details) == 0 {
		return s.pass(ctx, slots, s.deliver)
	}
	done := make([]Image, len(slots))
	if err := s.pass(ctx, slots, func(i int, img Image) error { done[i] = img; return nil }); err != nil {
		return err
	}
	return s.details(ctx, slots, done)
}

// details paints the parts of finished pictures again that their requests name, and hands each picture over.
func (s *sitting) details(ctx context.Context, slots []steps.Slot, done []Image) error {
	s.report.resume(StageDenoise)
	made := 0
	for i, slot := range slots {
		if done[i].NRGBA == nil || s.live != nil && !s.live(i) { // nobody wants it
			continue
		}
		m := s.memberOf(slot.Member)
		if m.loras != nil {
			m.plan.warn(s.p.log, "detail: adapters whose weights are changed while pictures are made act with the request's weights in details")
		}
		for k := range m.Details {
			img, err := s.detail(ctx, m, k, done[i], func(step int) { s.report.step(m.Steps+(made+step)/len(done), 0) })
			if err != nil {
				return fmt.Errorf("detail[%d]: %w", k, err)
			}
			done[i].NRGBA = img
			made += m.Details[k].Steps
		}
		if err := s.deliver(i, done[i]); err != nil {
			return err
		}
	}
	return nil
}

// inDetail calls what the pass was given as the user does.
var inDetail = strings.NewReplacer("mask_image", "mask", "init_image", "the picture", " (see mask_channel)", "")

// detail makes one pass over a part of a picture, in a sitting of its own.
func (s *sitting) detail(ctx context.Context, m *member, k int, done Image, step func(int)) (*image.NRGBA, error) {
	plan, err := s.p.planned(m.Prepared.Detail(k, done.NRGBA, done.Seed))
	if err != nil {
		return nil, err
	}
	plan.tell = func(text string) { m.plan.warn(s.p.log, fmt.Sprintf("detail[%d]: %s", k, inDetail.Replace(text))) }
	var img *image.NRGBA
	sub := s.p.newSitting(sittingOptions{
		progress: func(p Progress) {
			if p.Stage == StageDenoise && p.Step > 0 {
				step(p.Step)
			}
		},
		deliver: func(_ int, out Image) error { img = out.NRGBA; return nil },
	})
	defer sub.close()
	sub.adopt(s.memory)
	one := sub.join(plan, nil, nil)
	sub.report.begin(1, 1, 1, plan.prep.Steps)
	if err := sub.prepare(ctx); err != nil {
		return nil, err
	}
	err = sub.pass(ctx, []steps.Slot{{Member: &one.Member, Index: 0}}, sub.deliver)
	s.report.timings.Evaluations += sub.report.timings.Evaluations
	return img, err
}
