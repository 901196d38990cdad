package fake

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Modules lists a few modules of each kind, under SDXL's names.
func (m *model) Modules() []backend.Module {
	if m.closed.Load() {
		return nil
	}
	var out []backend.Module
	add := func(kind backend.ModuleKind, name string, in, width, kernel int) {
		out = append(out, backend.Module{Name: name, Kind: kind, In: in, Out: width, Kernel: kernel, Type: backend.TypeF32,
			Component: component(name)})
	}
	add(backend.ModuleConv2D, "unet.conv_in", m.info.UNet.InChannels, 8, 3)
	add(backend.ModuleConv2D, "unet.down_blocks.0.resnets.0.conv1", 8, 8, 3)
	add(backend.ModuleNorm, "unet.down_blocks.0.resnets.0.norm1", 8, 8, 0)
	add(backend.ModuleConv2D, "unet.down_blocks.1.resnets.0.conv1", 8, 16, 3)
	for _, block := range []string{"unet.down_blocks.1.attentions.0", "unet.mid_block.attentions.0"} {
		for _, attn := range []string{"attn1", "attn2"} {
			in := 16
			if attn == "attn2" {
				in = m.info.UNet.ContextDim
			}
			base := block + ".transformer_blocks.0." + attn
			add(backend.ModuleLinear, base+".to_q", 16, 16, 0)
			add(backend.ModuleLinear, base+".to_k", in, 16, 0)
			add(backend.ModuleLinear, base+".to_v", in, 16, 0)
			add(backend.ModuleLinear, base+".to_out.0", 16, 16, 0)
		}
	}
	for _, encoder := range []string{"text_encoder", "text_encoder_2"} {
		for layer := range 3 {
			base := fmt.Sprintf("%s.text_model.encoder.layers.%d", encoder, layer)
			add(backend.ModuleLinear, base+".self_attn.q_proj", textWidth, textWidth, 0)
			add(backend.ModuleLinear, base+".mlp.fc1", textWidth, 4*textWidth, 0)
		}
	}
	return out
}

func component(name string) string {
	c, _, _ := strings.Cut(name, ".")
	return c
}

// loadedLoRA remembers of each target which component it changes, and by how much: a few sums over its tensors' bytes.
type loadedLoRA struct {
	backend    *Backend
	model      *model
	bytes      int64
	components []string
	effects    [][latentChannels]float32
	once       sync.Once
	closed     atomic.Bool
}

// LoadLoRA checks that the targets name modules, and keeps what it takes to imitate their effect: one that depends on every
// tensor, is linear in the weight, and adds up over adapters.
func (m *model) LoadLoRA(ctx context.Context, targets []backend.LoRATarget) (backend.LoRA, error) {
	end, err := m.begin(ctx, Call{Op: OpLoadLoRA, Batch: len(targets)})
	if err != nil {
		return nil, err
	}
	defer end()
	if err := m.allocate("an adapter", 0); err != nil {
		return nil, err
	}
	modules := m.Modules()
	l := &loadedLoRA{backend: m.backend, model: m}
	for _, t := range targets {
		if err := m.check(contract.Target(modules, t)); err != nil {
			return nil, err
		}
		var effect [latentChannels]float32
		tensors := []backend.RawTensor{t.A, t.B}
		if t.Magnitude != nil {
			tensors = append(tensors, *t.Magnitude)
		}
		for k, x := range tensors {
			l.bytes += int64(len(x.Data))
			for i, b := range x.Data {
				effect[(i+k)%latentChannels] += float32(t.Scale) * (float32(b) - 127.5) / 127.5 / float32(len(x.Data))
			}
		}
		l.components = append(l.components, component(t.Module))
		l.effects = append(l.effects, effect)
	}
	m.backend.loras.Add(1)
	m.backend.loraBytes.Add(l.bytes)
	m.holds.change(func(s *backend.MemoryStats) { s.Adapters += l.bytes })
	return l, nil
}

func (l *loadedLoRA) Bytes() int64 { return l.bytes }
func (l *loadedLoRA) Targets() int { return len(l.effects) }

func (l *loadedLoRA) Close() error {
	l.once.Do(func() {
		l.closed.Store(true)
		l.backend.loras.Add(-1)
		l.backend.loraBytes.Add(-l.bytes)
		l.model.holds.change(func(s *backend.MemoryStats) { s.Adapters -= l.bytes })
	})
	return nil
}

// LiveLoRAs returns the number of adapters loaded and not closed, and the bytes they take.
func (b *Backend) LiveLoRAs() (count, bytes int64) { return b.loras.Load(), b.loraBytes.Load() }

// loraShift is the sum of the adapters' effects on a component; exactly zero without any or with weights of zero.
func (m *model) loraShift(uses []backend.LoRAUse, of string) (shift [latentChannels]float32, err error) {
	for k, u := range uses {
		field := fmt.Sprintf("loras[%d]", k)
		l, ok := u.LoRA.(*loadedLoRA)
		switch {
		case !ok || l.model != m:
			return shift, m.check(contract.Invalid(field, "was not loaded on this model"))
		case l.closed.Load():
			return shift, m.check(contract.Invalid(field, "is closed"))
		case len(u.Weights) != len(l.effects):
			return shift, m.check(contract.Invalid(field, "has %d weights for %d targets", len(u.Weights), len(l.effects)))
		}
		for i, effect := range l.effects {
			if l.components[i] == of {
				for ch := range shift {
					shift[ch] += u.Weights[i] * effect[ch]
				}
			}
		}
	}
	return shift, nil
}

// firstWeights is what a Call tells of the adapters.
func firstWeights(uses []backend.LoRAUse) []float32 {
	var out []float32
	for _, u := range uses {
		if len(u.Weights) > 0 {
			out = append(out, u.Weights[0])
		}
	}
	return out
}
