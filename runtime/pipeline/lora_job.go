package pipeline

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
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

// loraJob is what one Generate has of adapters.
type loraJob struct {
	stack  loraStack
	active *lora.Active // nil without adapters

	// The base's conditioning belongs to textKey. Others that were made are kept, since every batch goes through them again.
	textStep      int
	textKey       string
	conditionings map[string]conditioning
}

// resolveLoRAs finds the files of the job's adapters.
func (j *job) resolveLoRAs() error {
	var errs request.Errors
	j.lora.stack = stackOf(j.req, j.p.adapters.library, func(key string) string { return key }, &errs)
	if err := errs.Err(); err != nil {
		return err
	}
	s := j.lora.stack
	for _, a := range s.Enabled() {
		path := s.path(a)
		j.res.LoRAs = append(j.res.LoRAs, LoRAInfo{Name: a.Label(), File: filepath.Base(path), path: path, Weight: a.Weight, UNetWeight: s.EffectiveWeight(a, "unet"),
			TextEncoderWeight: s.EffectiveWeight(a, "text_encoder"), BlockWeights: a.BlockWeights, Start: a.Start, End: a.End})
	}
	return nil
}

// loadLoRAs makes the job's adapters resident.
func (j *job) loadLoRAs(ctx context.Context) error {
	if len(j.res.LoRAs) > 0 {
		if j.p.adapters.cache == nil {
			return fmt.Errorf("%w: this backend applies no adapters beside the weights; fuse them into the checkpoint instead (lora fuse)", ErrUnsupportedModel)
		}
		s := j.lora.stack
		active, err := j.p.adapters.cache.Activate(ctx, s.Stack, func(a lora.Adapter) (string, error) { return s.path(a), nil })
		if err != nil {
			return err
		}
		j.lora.active = active
		for i, r := range active.Members() {
			j.reportLoRA(j.res.LoRAs[i].Name, r.Report)
		}
	}
	if h := j.opt.loras; h != nil && j.lora.active != nil {
		return h.attach(j.lora.active, j.opt.held)
	}
	return nil
}

// reportLoRA says how much of an adapter applies, and warns of what does not.
func (j *job) reportLoRA(name string, r lora.Report) {
	j.p.log.Info("adapter", "name", name, "applied", r.Summary(), "load_time", r.LoadTime, "mebibytes", r.Memory>>20)
	if r.Partial() {
		j.warn(fmt.Sprintf("lora %q: only %s", name, r.Summary()))
	}
	for _, w := range r.Warnings {
		j.warn(fmt.Sprintf("lora %q: %s", name, w))
	}
}

// releaseLoRAs gives the adapters back.
func (j *job) releaseLoRAs() {
	if h := j.opt.loras; h != nil {
		h.detach(j.lora.active)
	}
	if j.lora.active != nil {
		j.lora.active.Release()
	}
}

// loraUses is what the model is to apply at a step (from 0). Adapters belong to the base: a refiner has other modules.
func (j *job) loraUses(e *expert, step int) []backend.LoRAUse {
	if j.lora.active == nil || e != &j.base {
		return nil
	}
	return j.lora.active.Uses(step, j.state.Steps)
}

// adaptText makes the base's conditioning anew where the adapters act otherwise on the text encoders at this step than when it
// was made, and reports whether they do.
func (j *job) adaptText(ctx context.Context, e *expert, step int) (bool, error) {
	if j.lora.active == nil || e != &j.base || j.lora.active.TextKey(step, j.state.Steps) == j.lora.textKey {
		return false, nil
	}
	return true, j.conditionBase(ctx, step)
}

// maxConditionings is how many encodings of the prompts a job remembers.
const maxConditionings = 8

// conditionBase makes the base's conditioning with the adapters as they are at a step.
func (j *job) conditionBase(ctx context.Context, step int) error {
	l := &j.lora
	if l.active == nil {
		return j.condition(ctx, &j.base)
	}
	key := l.active.TextKey(step, j.state.Steps)
	if have, ok := l.conditionings[key]; ok {
		j.base.cond, l.textKey = have, key
		return nil
	}
	l.textStep = step
	if err := j.condition(ctx, &j.base); err != nil {
		return err
	}
	if l.conditionings == nil || len(l.conditionings) >= maxConditionings {
		l.conditionings = map[string]conditioning{}
	}
	l.conditionings[key], l.textKey = j.base.cond, key
	return nil
}

// path is the file of an enabled adapter.
func (s loraStack) path(a lora.Adapter) string { return s.paths[strings.ToLower(a.Label())] }

// loraHashes remembers the sums of adapters' files.
type loraHashes struct {
	mu   sync.Mutex
	sums map[string]lora.Hashes // by path
}

// HashLoRAs fills in the sums of the adapters' files, which it reads for that the first time. Manifests then name them.
func (r *Result) HashLoRAs(ctx context.Context) error {
	if r.model == nil {
		return nil
	}
	h := &r.model.adapters.hashes
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range r.LoRAs {
		l := &r.LoRAs[i]
		sums, ok := h.sums[l.path]
		if !ok {
			var err error
			if sums, err = lora.Hash(ctx, l.path); err != nil {
				return fmt.Errorf("hashing the adapter %q: %w", l.Name, err)
			}
			if h.sums == nil {
				h.sums = map[string]lora.Hashes{}
			}
			h.sums[l.path] = sums
		}
		l.SHA256, l.AutoV3 = sums.SHA256, sums.AutoV3
	}
	return nil
}
