package memory

import (
	"fmt"

	"github.com/daguerre-go/daguerre/internal/words"
)

// reason says in a sentence what was decided and why.
func (p Plan) reason() string {
	device, used := p.tightest()
	if device.Device == "" {
		return p.Strategy.String() + ": nothing bounds the memory"
	}
	text := fmt.Sprintf("%s: the peak of %s fits the %s of %s (%s)", p.Strategy, words.Budget(used), words.Budget(device.Bytes), device.Device,
		device.Why)
	if len(p.Passed) > 0 {
		first := p.Passed[0]
		text += fmt.Sprintf("; with %s it would take %s", first.Strategy, words.Budget(first.Bytes))
		if first.Device != device.Device {
			text += " of " + first.Device
		}
	}
	for _, j := range p.Jobs {
		if j.NextBatch > 0 {
			return text + fmt.Sprintf("; batch %d (batch %d needs %s)", j.Batch, j.NextBatch, words.Budget(j.NextBytes))
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
