package pipeline

import (
	"context"
	"fmt"
	"sync"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// LoRAInfo is an adapter of a Result.
type LoRAInfo struct {
	Name              string             `json:"name"`
	File              string             `json:"file"` // without its folder
	Weight            float64            `json:"weight"`
	UNetWeight        float64            `json:"unet_weight"` // effective, with all factors but those of blocks
	TextEncoderWeight float64            `json:"text_encoder_weight"`
	BlockWeights      map[string]float64 `json:"block_weights,omitempty"`
	Start             float64            `json:"start,omitempty"`
	End               float64            `json:"end"`
	SHA256            string             `json:"sha256,omitempty"` // once HashLoRAs was called
	AutoV3            string             `json:"autov3,omitempty"`

	path string
}

// loadLoRAs makes a request's adapters resident.
func (s *sitting) loadLoRAs(ctx context.Context, m *member) error {
	a := m.Prepared.Adapters
	if len(a.Enabled()) == 0 {
		return nil
	}
	if s.p.adapters == nil {
		return fmt.Errorf("%w: this backend applies no adapters beside the weights; fuse them into the checkpoint instead (lora fuse)", ErrUnsupportedModel)
	}
	active, err := s.p.adapters.Activate(ctx, a.Stack, func(x lora.Adapter) (string, error) { return a.Path(x), nil })
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

// loraHashes remembers the sums of adapters' files.
type loraHashes struct {
	mu   sync.Mutex
	sums map[string]adapters.Hashes // by path
}

// HashLoRAs fills in the sums of the adapters' files, which it reads for that the first time. Manifests then name them.
func (r *Result) HashLoRAs(ctx context.Context) error {
	if r.model == nil {
		return nil
	}
	h := &r.model.sums
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range r.LoRAs {
		l := &r.LoRAs[i]
		sums, ok := h.sums[l.path]
		if !ok {
			var err error
			if sums, err = adapters.Hash(ctx, l.path); err != nil {
				return fmt.Errorf("hashing the adapter %q: %w", l.Name, err)
			}
			if h.sums == nil {
				h.sums = map[string]adapters.Hashes{}
			}
			h.sums[l.path] = sums
		}
		l.SHA256, l.AutoV3 = sums.SHA256, sums.AutoV3
	}
	return nil
}
