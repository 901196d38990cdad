package pipeline

import (
	"context"
	"errors"
	"fmt"
	"image"
	"time"

	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/pictures"
	"github.com/daguerre-go/daguerre/internal/steps"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// prepare makes ready what the requests need before their steps: adapters, texts, ControlNets, input pictures.
func (s *sitting) prepare(ctx context.Context) error {
	ctx = s.wrapped(ctx)
	s.report.enter(StageText)
	if err := ctx.Err(); err != nil {
		return err
	}
	s.hold(memory.StageText)
	for _, m := range s.members {
		if err := s.readTexts(ctx, m); err != nil {
			return err
		}
	}
	for _, m := range s.members {
		if err := s.showPictures(ctx, m); err != nil {
			return err
		}
	}
	for _, m := range s.members {
		if err := s.openControls(ctx, m); err != nil {
			return err
		}
	}
	for _, m := range s.members {
		if err := s.encodeSource(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// readTexts loads a request's adapters and encodes its prompts, for a refiner that stays open, too.
func (s *sitting) readTexts(ctx context.Context, m *member) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.loadLoRAs(ctx, m); err != nil {
		return err
	}
	for _, w := range m.Warnings {
		m.plan.warn(s.p.log, w)
	}
	base := s.p.models.Base
	base.Zeros = *m.Request.ForceZerosForEmptyPrompt
	m.Base = s.encoder(m, base)
	m.Base.Adapters = m.Adapters
	if err := m.Base.Ahead(ctx, m.Steps); err != nil {
		return err
	}
	if m.Refines && !s.p.config.RefinerOnDemand && !s.memory.strategy.Staged() {
		return s.openRefiner(ctx, m)
	}
	return nil
}

// encoder is what encodes a request's prompts for a model.
func (s *sitting) encoder(m *member, model models.Model) *conditioning.Encoder {
	return &conditioning.Encoder{Model: model, Cache: s.p.texts, Stats: &s.stats, Texts: conditioning.Texts{Request: m.Texts, Reader: m.Reader,
		Passes: m.Passes, Alone: m.Alone,
		Warn: func(text string) { m.plan.warn(s.p.log, text) }}}
}

// openRefiner takes the refiner for the sitting and encodes a request's prompts for it.
func (s *sitting) openRefiner(ctx context.Context, m *member) (err error) {
	if m.refiner, err = s.p.models.Refiner(ctx); err != nil {
		return fmt.Errorf("opening the refiner: %w", err)
	}
	m.Refiner = s.encoder(m, m.refiner.Value)
	if err = m.Refiner.Ahead(ctx, m.Steps); err != nil {
		return fmt.Errorf("refiner: %w", err)
	}
	return nil
}

// openControls opens a request's ControlNets and embeds their pictures.
func (s *sitting) openControls(ctx context.Context, m *member) error {
	if len(m.Prepared.Controls) > 0 {
		s.hold(memory.StageControl)
	}
	for i, spec := range m.Prepared.Controls {
		net, err := s.p.models.ControlNet(ctx, spec.Path, spec.ID)
		if err == nil {
			m.nets = append(m.nets, net)
			for _, w := range net.Value.Warnings() {
				m.plan.warn(s.p.log, w)
			}
			var c *steps.Control
			c, err = steps.NewControl(ctx, net.Value, spec, &m.Request, m.canvas)
			m.Controls = append(m.Controls, c)
		}
		var invalid request.Errors
		if errors.As(err, &invalid) {
			return request.Errors{{Path: fmt.Sprintf("controlnet[%d].%s", i, invalid[0].Path), Message: invalid[0].Message}}
		}
		if err != nil {
			return fmt.Errorf("controlnet[%d]: %w", i, err)
		}
	}
	m.Controls = steps.Join(m.Controls, m.Prepared.Controls)
	return nil
}

// encodeSource encodes a request's init_image, once for all its batches.
func (s *sitting) encodeSource(ctx context.Context, m *member) (err error) {
	if m.Request.InitImage.Image == nil || m.Source != nil {
		return nil
	}
	s.report.enter(StageEncode)
	s.hold(memory.StageEncode)
	if m.Source, err = pictures.Encode(ctx, s.coder, m.Prepared, m.canvas, steps.Native9(s.p.models.Base.Info)); err == nil {
		m.plan.remember(m.Source)
		if w := m.Source.Warning; w != "" {
			m.plan.warn(s.p.log, w)
		}
	}
	return err
}

// pass makes one batch, from noise to pictures, and gives each picture to deliver.
func (s *sitting) pass(ctx context.Context, slots []steps.Slot, deliver func(i int, img Image) error) error {
	ctx = s.wrapped(ctx)
	base := s.p.models.Base
	b, err := steps.NewBatch(&s.p.target.Settings, base.Info.VAE.LatentChannels, slots)
	if err != nil {
		return err
	}
	if err := b.CheckTokens(false); err != nil {
		return err
	}
	s.report.pictures(b.Seeds)
	s.report.enter(StageDenoise)
	s.hold(memory.StageDenoise)
	if err := b.Start(steps.Native9(base.Info)); err != nil {
		return err
	}
	s.report.beginSteps()
	loop := steps.Loop{Separate: s.memory.separate, Watch: watcher{s}}
	if err := loop.Denoise(ctx, b, base, false); err != nil {
		return err
	}
	if err := s.refine(ctx, b, loop); err != nil {
		return err
	}
	if err := s.secondPass(ctx, b, loop); err != nil {
		return err
	}
	return s.decode(ctx, b, deliver)
}

// refine has the refiner continue or repaint what the base left. Nothing is decoded in between.
func (s *sitting) refine(ctx context.Context, b *steps.Batch, loop steps.Loop) error {
	if !b.Members[0].Refines {
		return nil
	}
	s.hold(memory.StageRefine)
	for _, m := range s.members {
		if m.refiner == nil {
			if err := s.openRefiner(ctx, m); err != nil {
				return err
			}
		}
	}
	if err := b.BeginRefiner(); err != nil {
		return err
	}
	if err := b.CheckTokens(true); err != nil {
		return err
	}
	if err := loop.Denoise(ctx, b, s.members[0].refiner.Value, true); err != nil {
		return fmt.Errorf("refiner: %w", err)
	}
	return nil
}

// secondPass enlarges what the first pass left and denoises it again, by the base alone.
func (s *sitting) secondPass(ctx context.Context, b *steps.Batch, loop steps.Loop) error {
	hires := b.Members[0].Request.Hires
	if !hires.On() {
		return nil
	}
	s.report.enter(StageUpscale)
	s.hold(memory.StageUpscale)
	err := b.BeginSecond(ctx, func(ctx context.Context, i int) (backend.Tensor, error) {
		return pictures.Enlarge(ctx, s.coder, b.LatentsOf(i), hires, b.Names([]int{i}))
	})
	if err != nil {
		return err
	}
	s.hold(memory.StageDenoise)
	s.report.resume(StageDenoise)
	if err := loop.Denoise(ctx, b, s.p.models.Base, false); err != nil {
		return fmt.Errorf("second pass: %w", err)
	}
	return nil
}

// decode finishes a batch's pictures and hands each over.
func (s *sitting) decode(ctx context.Context, b *steps.Batch, deliver func(i int, img Image) error) error {
	s.report.enter(StageDecode)
	s.hold(memory.StageDecode)
	return s.coder.Finish(ctx, b.Tensor(b.Latents), pictures.Finished{Names: b.Names, Live: s.live,
		Deliver: func(i int, img *image.NRGBA) error {
			slot := b.Slots[i]
			s.report.finished()
			if m := s.memberOf(slot.Member); m.canvas != nil {
				img = m.canvas.Finish(img)
			}
			done := Image{NRGBA: img, Index: slot.Index, Seed: b.Seeds[i], Latents: b.LatentsOf(i), strategy: s.strategy()}
			if slot.Member.Drawn != nil {
				done.prep = slot.Member.Prepared
			}
			return deliver(i, done)
		}})
}

// close frees what is not to stay between sittings, also after an error, and gives everything back.
func (s *sitting) close() {
	s.hold("")
	for _, m := range s.members {
		for _, l := range append(m.nets, m.refiner) {
			if l == nil {
				continue
			}
			if err := l.Release(); err != nil {
				s.warn(fmt.Sprintf("closing a model: %v", err))
			}
		}
		s.releaseLoRAs(m)
	}
}

// watcher tells a sitting's report what a loop does.
type watcher struct{ s *sitting }

// Step implements steps.Watcher.
func (w watcher) Step(step int, took time.Duration) { w.s.report.step(step, took) }

// Evaluated implements steps.Watcher.
func (w watcher) Evaluated(rows int) { w.s.report.timings.Evaluations += rows }

// WantsPreview implements steps.Watcher. The last step gets none: the picture itself follows.
func (w watcher) WantsPreview(step int, last bool) bool {
	return w.s.previewEvery > 0 && w.s.progress != nil && !last && step%w.s.previewEvery == 0
}

// Preview implements steps.Watcher.
func (w watcher) Preview(ctx context.Context, b *steps.Batch, x0 []float32) (err error) {
	w.s.report.previews, err = pictures.Preview(ctx, w.s.coder, w.s.previewMode, b.Tensor(x0))
	return err
}

// Conditioned implements steps.Watcher. Texts that were encoded again have left a text encoder in memory.
func (w watcher) Conditioned() { w.s.hold(memory.StageDenoise) }
