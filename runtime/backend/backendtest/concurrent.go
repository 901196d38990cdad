package backendtest

import (
	"context"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// cancelling: a call ends with its context's error or succeeds, and the next call is right.
func cancelling(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	info := model.Info()
	want := evaluate(t, model)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	in, out := unetInput(info, 2, 8, 8)
	_, text := model.EncodeText(cancelled, backend.TextInput{IDs: [][]int32{chunk(1)}})
	_, encoding := model.EncodeImage(cancelled, values(1, 1, 3, 16, 16))
	_, decoding := model.DecodeLatents(cancelled, values(1, 1, info.VAE.LatentChannels, 2, 2))
	for name, err := range map[string]error{
		"EncodeText": text, "EncodeImage": encoding, "DecodeLatents": decoding,
		"UNet": model.UNet(cancelled, in, out), "Load": model.Load(cancelled),
	} {
		require.ErrorIs(t, err, context.Canceled, name)
		require.Equal(t, want, evaluate(t, model), name)
	}
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*200*time.Microsecond)
		if err := model.UNet(ctx, in, out); err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		} else {
			require.Equal(t, want, out, "a call that was not cancelled in time")
		}
		require.Equal(t, want, evaluate(t, model))
		cancel()
	}
}

// goroutines: calls from several of them have the results that they have one by one.
func goroutines(t tester, m Models) {
	model := open(t, m.Backend, m.Base)
	info, want := model.Info(), evaluate(t, model)
	pixels, err := model.DecodeLatents(t.Context(), values(1, 1, info.VAE.LatentChannels, 4, 4))
	require.NoError(t, err)
	ids, err := model.Tokenize("a red circle")
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 5 {
				in, out := unetInput(info, 2, 8, 8)
				assert.NoError(t, model.UNet(t.Context(), in, out))
				assert.Equal(t, want, out)
			}
		})
		wg.Go(func() {
			for range 5 {
				got, err := model.DecodeLatents(t.Context(), values(1, 1, info.VAE.LatentChannels, 4, 4))
				assert.NoError(t, err)
				assert.Equal(t, pixels, got)
				words, err := model.Tokenize("a red circle")
				assert.NoError(t, err)
				assert.Equal(t, ids, words)
				assert.Equal(t, info.UNet, model.Info().UNet)
				assert.Len(t, model.MemoryStats().Components, 5)
				model.ResetMemoryPeaks()
				assert.NoError(t, model.ReleaseCompute())
			}
		})
	}
	wg.Wait()
}
