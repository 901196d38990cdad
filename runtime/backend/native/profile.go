package native

import (
	"context"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

var _ backend.Profiler = (*Model)(nil)

// SetProfile implements [backend.Profiler].
func (m *Model) SetProfile(enabled bool) error {
	return m.run(context.Background(), opProfile, func() error { return m.handle.SetProfile(enabled) })
}

// Profile implements [backend.Profiler].
func (m *Model) Profile() (out []backend.ProfileEntry, err error) {
	entries, err := get(m, opProfile, m.handle.Profile)
	for _, e := range entries {
		out = append(out, backend.ProfileEntry{Stage: e.Stage.String(), Module: e.Module.String(), Op: e.Op.String(),
			Calls: e.Calls, Seconds: e.Seconds, Operations: e.Operations})
	}
	return out, err
}
