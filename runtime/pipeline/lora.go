package pipeline

import (
	"context"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/adapters"
)

// loadLoRAs makes a request's adapters resident.
func (s *sitting) loadLoRAs(ctx context.Context, m *member) error {
	a := m.Prepared.Adapters
	if len(a.Enabled()) == 0 {
		return nil
	}
	if s.p.adapters == nil {
		return fmt.Errorf("%w: this backend applies no adapters beside the weights; fuse them into the checkpoint instead (lora fuse)",
			ErrUnsupportedModel)
	}
	active, err := s.p.adapters.Activate(ctx, a.Stack, a.Resolve)
	if err != nil {
		return err
	}
	m.active, m.Adapters = active, active
	for i, r := range active.Members() {
		s.reportLoRA(m, m.plan.result.LoRAs[i].Name, r.Report)
	}
	if m.loras != nil {
		return m.loras.attach(active, m.held)
	}
	return nil
}

// reportLoRA says how much of an adapter applies, and warns of what does not.
func (s *sitting) reportLoRA(m *member, name string, r adapters.Report) {
	s.p.log.Info("adapter", "name", name, "applied", r.Summary(), "load_time", r.LoadTime, "mebibytes", r.Memory>>20)
	if r.Partial() {
		m.plan.warn(s.p.log, fmt.Sprintf("lora %q: only %s", name, r.Summary()))
	}
	for _, w := range r.Warnings {
		m.plan.warn(s.p.log, fmt.Sprintf("lora %q: %s", name, w))
	}
}

// releaseLoRAs gives a request's adapters back.
func (s *sitting) releaseLoRAs(m *member) {
	if m.loras != nil {
		m.loras.detach(m.active)
	}
	if m.active != nil {
		m.active.Release()
	}
}
