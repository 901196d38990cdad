package memory

import "fmt"

// Size writes bytes for people: "6.4 GiB", "310 MiB", "12 KiB".
func Size(n int64) string {
	switch {
	case n < 0:
		return "-" + Size(-n)
	case n >= 10<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
	case n >= 10<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

// reason says in a sentence what was decided and why.
func (p Plan) reason() string {
	device, used := p.tightest()
	if device.Device == "" {
		return p.Strategy.String() + ": nothing bounds the memory"
	}
	text := fmt.Sprintf("%s: the peak of %s fits the %s of %s (%s)", p.Strategy, Size(used), Size(device.Bytes), device.Device, device.Why)
	if len(p.Passed) > 0 {
		first := p.Passed[0]
		text += fmt.Sprintf("; with %s it would take %s", first.Strategy, Size(first.Bytes))
		if first.Device != device.Device {
			text += " of " + first.Device
		}
	}
	for _, j := range p.Jobs {
		if j.NextBatch > 0 {
			return text + fmt.Sprintf("; batch %d (batch %d needs %s)", j.Batch, j.NextBatch, Size(j.NextBytes))
		}
	}
	return text
}

// tightest is the budget of which the largest share is used.
func (p Plan) tightest() (Budget, int64) {
	var out Budget
	var used int64
	share := -1.0
	for _, b := range p.Budgets {
		n, _ := p.Peak(b.Device)
		if s := float64(n) / float64(max(b.Bytes, 1)); n > 0 && s > share {
			out, used, share = b, n, s
		}
	}
	return out, used
}
