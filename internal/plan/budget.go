package plan

import (
	"context"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// budgets says what may be held on each device now, what is held already included.
func (p *Planner) budgets(ctx context.Context) ([]memory.Budget, error) {
	devices := []backend.Device{{ID: memory.HostID, Kind: backend.DeviceCPU}}
	if p.backend != nil {
		var err error
		if devices, err = p.backend.Devices(ctx); err != nil {
			return nil, err
		}
	}
	own := map[string]int64{}
	if p.set != nil {
		for _, s := range p.set.Stats() {
			own[p.main] += s.Compute + s.Adapters
			for _, c := range s.Components {
				own[p.deviceOf(c.Name)] += c.Weights
			}
		}
	}
	host := memory.Budget{Device: memory.HostID}
	if system, err := machine.SystemMemory(); err == nil {
		host.Bytes, host.Why = system.AvailableBytes+system.ProcessBytes, system.Limit
	}
	var out []memory.Budget
	for _, d := range devices {
		b := memory.Budget{Device: d.ID, Bytes: d.FreeBytes + own[d.ID], Why: "free on the device"}
		if d.ID == memory.HostID && host.Bytes > 0 {
			b = host
		}
		if d.TotalBytes > 0 || b.Bytes > 0 {
			out = append(out, limited(b, p.Memory, d.ID == p.main))
		}
	}
	return out, nil
}

// deviceOf is where components of a name are.
func (p *Planner) deviceOf(component string) string {
	for _, part := range p.model.Parts {
		if part.Component == component {
			return part.Device
		}
	}
	return p.main
}

// limited applies the user's limit to the device the UNet is on, and the reserve to every device.
func limited(b memory.Budget, m request.Memory, main bool) memory.Budget {
	free := b.Bytes
	if reserve, err := request.ParseAmount(m.Reserve); err == nil && reserve.Of(free) > 0 {
		b.Bytes, b.Why = max(free-reserve.Of(free), 0), memory.WhyReserve
	}
	if limit, err := request.ParseAmount(m.MemoryLimit); err == nil && main && limit != (request.Amount{}) && limit.Of(free) < b.Bytes {
		b.Bytes, b.Why = limit.Of(free), memory.WhyLimit
	}
	return b
}

// force is what the user has decided.
func (p *Planner) force() memory.Force {
	m := p.Memory
	f := memory.Force{Strategy: m.Strategy}
	switch p.Policy.Tiling {
	case vae.On:
		f.Tiling = memory.On
	case vae.Off:
		f.Tiling = memory.Off
	}
	switch {
	case m.AttentionSlicing != nil:
		f.AttentionSlicing = switchOf(*m.AttentionSlicing)
	case p.flash:
		f.AttentionSlicing, f.SlicingUseless = memory.Off, true
	}
	return f
}

func switchOf(on bool) memory.Switch {
	if on {
		return memory.On
	}
	return memory.Off
}
