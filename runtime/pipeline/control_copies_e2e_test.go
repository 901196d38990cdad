//go:build !race

package pipeline

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
)

func TestControlCopies(t *testing.T) { controlCopies(t, "cpu") }

// controlCopies counts what passes between host and device when two ControlNets act in an evaluation: inputs, and the UNet's output. The
// residuals, which are the most, do not. The result is that of residuals on the host.
func controlCopies(t *testing.T, device string) {
	t.Helper()
	b, err := native.New(native.Options{})
	require.NoError(t, err)
	base := openOn(t, Config{Device: device, Precision: backend.PrecisionF16}).models.Base.Model
	var nets []backend.Model
	for _, seed := range []string{"one", "two"} {
		net, err := b.Open(t.Context(), backend.ModelConfig{Device: device, Precision: backend.PrecisionF16, Threads: 1,
			Files: backend.Files{ControlNet: synthNet(t, synth.KindNanoControl, goldenSeeds[seed], modelfile.LayoutDiffusers)},
			Hyper: backend.Hyper{UNetNormNumGroups: 4}})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, net.Close()) })
		nets = append(nets, net)
	}
	const rows, side = 2, 8
	u := base.Info().UNet
	in := backend.UNetInput{Sample: backend.NewTensor(rows, u.InChannels, side, side), Timesteps: slices.Repeat([]float32{500}, rows),
		Context: backend.NewTensor(rows, 77, u.ContextDim), Pooled: backend.NewTensor(rows, u.PooledDim),
		SizeIDs: backend.NewTensor(rows, u.SizeIDs)}
	for i := range in.Sample.Data {
		in.Sample.Data[i] = float32(i%7) - 3
	}
	hint := backend.NewTensor(1, u.ModelChannels, side, side)
	for i := range hint.Data {
		hint.Data[i] = float32(i%5) - 2
	}
	asked := backend.ControlInput{Sample: in.Sample, Timesteps: in.Timesteps, Context: in.Context, Pooled: in.Pooled, SizeIDs: in.SizeIDs,
		Hint: hint, Scales: slices.Repeat([]float32{0.7}, len(u.ResidualShapes(side, side)))}
	out := make([]float32, rows*u.OutChannels*side*side)
	evaluate := func() []float32 {
		for _, net := range nets {
			require.NoError(t, net.ControlNet(t.Context(), asked, in.Residuals))
		}
		require.NoError(t, base.UNet(t.Context(), in, out))
		return slices.Clone(out)
	}
	in.Residuals = make([]float32, u.ResidualCount(rows, side, side))
	host := evaluate()

	room, err := base.(backend.ResidualModel).NewResiduals(rows, side, side)
	require.NoError(t, err)
	defer room.Close()
	in.Residuals, in.OnDevice, asked.OnDevice = nil, room, room
	all := append([]backend.Model{base}, nets...)
	before := make([]backend.TransferStats, len(all))
	for i, m := range all {
		before[i] = transfersOf(t, m)
	}
	kept := evaluate()
	assert.LessOrEqual(t, relativeL2(t, kept, host), 1e-3)
	for i, m := range all {
		after := transfersOf(t, m)
		assert.EqualValues(t, 1, after.Runs-before[i].Runs)
		if i == 0 {
			assert.EqualValues(t, 5, after.Uploads-before[i].Uploads, "sample, time, texts, their order, label")
			assert.EqualValues(t, 4*len(out), after.DownloadBytes-before[i].DownloadBytes)
			continue
		}
		assert.EqualValues(t, 7, after.Uploads-before[i].Uploads, "and the control picture and the weights")
		assert.Zero(t, after.Downloads-before[i].Downloads)
	}
}

func transfersOf(t *testing.T, m backend.Model) backend.TransferStats {
	t.Helper()
	stats, err := m.(backend.Inspected).Transfers()
	require.NoError(t, err)
	return stats
}
