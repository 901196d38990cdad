package backendtest

import (
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// residualsOnDevice: residuals on the device do what the same ones on the host do.
func residualsOnDevice(t tester, m Models) {
	base := open(t, m.Backend, m.Base)
	keeper, ok := base.(backend.ResidualModel)
	if !ok || m.ControlNet.Files.ControlNet == "" {
		return
	}
	net := open(t, m.Backend, m.ControlNet)
	const n, h, w = 3, 8, 6
	u := base.Info().UNet
	in, host := unetInput(base.Info(), n, h, w)
	plain, kept := make([]float32, len(host)), make([]float32, len(host))
	require.NoError(t, base.UNet(t.Context(), in, plain))

	// A net acts on all rows, another one, twice as strong, on the last two.
	all := controlInput(t, net, n, h, w)
	some := all
	some.Sample, some.Timesteps, some.Context = rows(all.Sample, 1, n-1), all.Timesteps[1:], rows(all.Context, 1, n-1)
	some.Pooled, some.SizeIDs, some.Rows, some.FirstRow = rows(all.Pooled, 1, n-1), rows(all.SizeIDs, 1, n-1), n, 1
	some.Scales = slices.Repeat([]float32{2}, len(all.Scales))
	sum := make([]float32, u.ResidualCount(n, h, w))
	for _, c := range []backend.ControlInput{all, some} {
		require.NoError(t, net.ControlNet(t.Context(), c, sum))
	}
	with := in
	with.Residuals = sum
	require.NoError(t, base.UNet(t.Context(), with, host))
	require.NotEqual(t, plain, host)

	room, err := keeper.NewResiduals(n, h, w)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, room.Close()) })
	with = in
	with.OnDevice = room
	require.NoError(t, base.UNet(t.Context(), with, kept))
	requireNear(t, plain, kept, "zeros change nothing")
	for range 2 { // the second time over what the first has left
		require.NoError(t, room.Clear())
		for _, c := range []backend.ControlInput{all, some} {
			c.OnDevice = room
			require.NoError(t, net.ControlNet(t.Context(), c, nil))
		}
		require.NoError(t, base.UNet(t.Context(), with, kept))
		requireNear(t, minus(host, plain), minus(kept, plain), "as on the host")
	}
	require.NoError(t, base.UNet(t.Context(), in, kept))
	requireNear(t, plain, kept, "a call without them")

	require.NoError(t, room.Close())
	require.NoError(t, room.Close())
	require.ErrorIs(t, base.UNet(t.Context(), with, kept), backend.ErrArgument, "closed")
	again, err := keeper.NewResiduals(n, h, w)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, again.Close()) })
	with.OnDevice = again
	require.NoError(t, base.UNet(t.Context(), with, kept))
	requireNear(t, plain, kept, "others are zeros, too")
	onDeviceRefuses(t, base, net, again, with, all)
}

// onDeviceRefuses: what does not fit is refused, by the UNet and by the net.
func onDeviceRefuses(t tester, base, net backend.Model, room backend.Residuals, in backend.UNetInput, c backend.ControlInput) {
	t.Helper()
	n, h, w := in.Sample.Shape[0], in.Sample.Shape[2], in.Sample.Shape[3]
	c.OnDevice = room
	require.NoError(t, net.ControlNet(t.Context(), c, nil))
	for what, size := range map[string][3]int{"rows": {n + 1, h, w}, "height": {n, h + 2, w}, "width": {n, h, w + 2}} {
		other, err := base.(backend.ResidualModel).NewResiduals(size[0], size[1], size[2])
		require.NoError(t, err)
		wrong, asked := in, c
		wrong.OnDevice, asked.OnDevice = other, other
		out := make([]float32, n*base.Info().UNet.OutChannels*h*w)
		require.ErrorIs(t, base.UNet(t.Context(), wrong, out), backend.ErrArgument, what)
		require.ErrorIs(t, net.ControlNet(t.Context(), asked, nil), backend.ErrArgument, what)
		require.NoError(t, other.Close())
	}
	both := in
	both.Residuals = make([]float32, base.Info().UNet.ResidualCount(n, h, w))
	require.ErrorIs(t, base.UNet(t.Context(), both, make([]float32, n*base.Info().UNet.OutChannels*h*w)), backend.ErrArgument, "both")
	require.ErrorIs(t, net.ControlNet(t.Context(), c, both.Residuals), backend.ErrArgument, "both")
	wrong := c
	wrong.OnDevice = strange{}
	require.ErrorIs(t, net.ControlNet(t.Context(), wrong, nil), backend.ErrArgument, "of another backend")
}

// minus is a - b: what residuals change.
func minus(a, b []float32) []float32 {
	out := make([]float32, len(a))
	for i := range a {
		out[i] = a[i] - b[i]
	}
	return out
}

// strange are residuals of no backend.
type strange struct{}

func (strange) Clear() error { return nil }
func (strange) Close() error { return nil }
