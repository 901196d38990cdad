package steps

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// TestResidualsAreWhereAllNetsAre: on the device of the UNet if every net is there, and else on the host. Rooms of the same size are
// zeros again and the same memory.
func TestResidualsAreWhereAllNetsAre(t *testing.T) {
	b := &fake.Backend{}
	open := func(cfg backend.ModelConfig, device string) models.Model {
		cfg.Device = device
		m, err := b.Open(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, m.Close()) })
		return models.Model{Model: m, Info: m.Info()}
	}
	base := open(backend.ModelConfig{Files: backend.Files{Model: "m"}}, "cpu")
	net := open(backend.ModelConfig{Files: backend.Files{ControlNet: "net"}}, "cpu")
	far := net
	far.Info = net.Info
	far.Info.Components = append([]backend.ComponentInfo{}, net.Info.Components...)
	for i := range far.Info.Components {
		far.Info.Components[i].Device = "gpu:0"
	}
	stranger := base // with what backend.Model has, and no more
	stranger.Model = struct{ backend.Model }{base.Model}
	for name, c := range map[string]struct {
		base models.Model
		nets []models.Model
		kept bool
	}{
		"one":                     {base, []models.Model{net}, true},
		"two":                     {base, []models.Model{net, net}, true},
		"one elsewhere":           {base, []models.Model{net, far}, false},
		"a backend that does not": {stranger, []models.Model{net}, false},
	} {
		r := newResiduals(c.base, c.nets)
		host, kept, err := r.zeros(2, 6, 8)
		require.NoError(t, err)
		assert.Equal(t, c.kept, kept != nil, name)
		assert.Equal(t, c.kept, host == nil, name)
		if !c.kept {
			host[5] = 1
		}
		again, keptAgain, err := r.zeros(2, 6, 8)
		require.NoError(t, err)
		assert.Equal(t, kept, keptAgain, name)
		if !c.kept {
			assert.Same(t, &host[0], &again[0], name)
			assert.Zero(t, again[5], name)
			assert.Len(t, again, base.Info.UNet.ResidualCount(2, 6, 8), name)
		}
		_, more, err := r.zeros(4, 6, 8)
		require.NoError(t, err)
		if c.kept {
			assert.NotSame(t, kept, more, name)
		}
		require.NoError(t, r.close())
	}
}
