package pipeline

import (
	"context"
	"fmt"
	"image"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/internal/detect"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
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
		pass := 0
		for k, d := range m.Details {
			parts, err := s.parts(ctx, m, k, &done[i])
			if err != nil {
				return fmt.Errorf("detail[%d]: %w", k, err)
			}
			for at, part := range parts { // together they count as one in reports
				img, err := s.detail(ctx, m, detailPass{k, pass, part}, done[i], func(step int) {
					s.report.step(m.Steps+(made+(at*d.Steps+step)/len(parts))/len(done), 0)
				})
				if err != nil {
					return fmt.Errorf("detail[%d]: %w", k, err)
				}
				done[i].NRGBA = img
				pass++
			}
			made += d.Steps
			if len(parts) == 0 {
				s.report.step(m.Steps+made/len(done), 0)
			}
		}
		if err := s.deliver(i, done[i]); err != nil {
			return err
		}
	}
	return nil
}

// inDetail calls what the pass was given as the user does.
var inDetail = strings.NewReplacer("mask_image", "mask", "init_image", "the picture", " (see mask_channel)", "")

// detailPass is one pass over a part of a picture.
type detailPass struct {
	table int         // the number of the detail's
	pass  int         // the number of the pass over this picture
	part  *[4]float64 // that a detector has found; nil: the table says it
}

// parts are the parts of a picture that a detail is made of: the one of its box or mask, as nil, or those that its detector finds.
func (s *sitting) parts(ctx context.Context, m *member, k int, done *Image) ([]*[4]float64, error) {
	f := m.Details[k].Finder
	if f == nil {
		return []*[4]float64{nil}, nil
	}
	net, err := s.p.models.Net(ctx, memory.Detector, f.Path, f.ID)
	if err != nil {
		return nil, fmt.Errorf("detector: %w", err)
	}
	defer func() { _ = net.Release() }() // an error of closing a model changes no picture
	boxes, err := detect.Picture(ctx, net.Value.Model, done.NRGBA, f.Options)
	if err == nil {
		err = net.Value.ReleaseCompute()
	}
	if err != nil {
		return nil, fmt.Errorf("detector: %w", err)
	}
	if strategy := s.memory.strategy; strategy.Name != memory.Resident && strategy.Name != "" {
		if err := models.Free(net.Value.Model, net.Value.Owner, strategy, memory.StageDenoise); err != nil {
			s.warn(err.Error())
		}
	}
	found := f.Parts(k, boxes, done.Rect.Dx(), done.Rect.Dy())
	done.found = append(done.found, found...)
	var out []*[4]float64
	for i := range found {
		out = append(out, &found[i].Box)
	}
	if len(out) == 0 {
		m.plan.warn(s.p.log, fmt.Sprintf("detail[%d]: %s finds nothing in the picture of seed %d, so that this detail changes nothing in it", k,
			filepath.Base(f.Path), done.Seed))
	}
	return out, nil
}

// detail makes one pass over a part of a picture, in a sitting of its own.
func (s *sitting) detail(ctx context.Context, m *member, at detailPass, done Image, step func(int)) (*image.NRGBA, error) {
	k := at.table
	plan, err := s.p.planned(m.Prepared.Detail(k, at.pass, at.part, done.NRGBA, done.Seed))
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
