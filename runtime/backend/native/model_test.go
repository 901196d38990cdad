package native

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

func TestCancelDuringACall(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Millisecond, cancel)
		in, out := fakeUNet(untilCancelled)
		err := m.UNet(ctx, in, out)
		require.ErrorIs(t, err, context.Canceled)
		require.EqualError(t, err, "evaluating the UNet: context canceled")
		requireUsable(t, m)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	in, out := fakeUNet(untilCancelled)
	require.ErrorIs(t, m.UNet(ctx, in, out), context.DeadlineExceeded)
	requireUsable(t, m)
}

// A context that ends at the very moment a call does must neither stop the next call nor leave the
// flag set. The stand-in returns at once, so that the two meet often.
func TestCancelRacesWithTheEndOfACall(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	for range 2000 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for range rand.IntN(20) {
				runtime.Gosched()
			}
			cancel()
		}()
		in, out := fakeUNet(7)
		if err := m.UNet(ctx, in, out); err != nil {
			require.ErrorIs(t, err, context.Canceled)
		} else {
			require.Equal(t, float32(607), out[0])
		}
		requireUsable(t, m)
		cancel()
	}
}

// Cancelling one caller's context stops that caller only, whether it runs or waits.
func TestCancelStopsOnlyItsOwnCall(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	running, stopRunning := context.WithCancel(t.Context())
	waiting, stopWaiting := context.WithCancel(t.Context())
	results := make(chan error, 2)
	go func() {
		in, out := fakeUNet(untilCancelled)
		results <- m.UNet(running, in, out)
	}()
	for len(m.turn) == 0 {
		time.Sleep(time.Millisecond)
	}
	waited := make(chan error, 1)
	go func() {
		in, out := fakeUNet(7)
		waited <- m.UNet(waiting, in, out)
	}()
	go func() {
		in, out := fakeUNet(7)
		results <- m.UNet(context.Background(), in, out)
	}()
	time.Sleep(10 * time.Millisecond)
	stopWaiting()
	require.ErrorIs(t, <-waited, context.Canceled) // while the first still runs
	require.Empty(t, results)
	stopRunning()
	errs := []error{<-results, <-results}
	if errs[0] == nil {
		errs[0], errs[1] = errs[1], errs[0]
	}
	require.ErrorIs(t, errs[0], context.Canceled)
	require.NoError(t, errs[1])
}

// The stand-in ends the process if two calls are inside at once or if it is closed in use.
func TestCallsFromManyGoroutines(t *testing.T) {
	b := fakeBackend(t, nil)
	opened, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{Model: "m"}})
	require.NoError(t, err)
	m := opened.(*Model)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 100 {
				ctx, cancel := context.WithCancel(context.Background())
				if i%2 == 0 {
					time.AfterFunc(time.Duration(rand.IntN(300))*time.Microsecond, cancel)
				}
				in, out := fakeUNet(7)
				switch err := m.UNet(ctx, in, out); {
				case err == nil:
					if out[0] != 607 {
						t.Errorf("got %v", out[0])
					}
				case i%2 != 0:
					t.Errorf("a call that nobody cancelled failed: %v", err)
				}
				if _, err := m.Tokenize("ab"); err != nil {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	require.NoError(t, m.Close())
}

func TestCloseWaitsAndIsIdempotent(t *testing.T) {
	b := fakeBackend(t, nil)
	m := fakeModel(t, b, "m")
	done := make(chan error, 1)
	go func() {
		in, out := fakeUNet(fiftyMillis)
		done <- m.UNet(context.Background(), in, out)
	}()
	for len(m.turn) == 0 {
		time.Sleep(time.Millisecond)
	}
	require.NoError(t, m.Close())
	require.NoError(t, <-done)
	require.NoError(t, m.Close())
	in, out := fakeUNet(7)
	require.ErrorIs(t, m.UNet(t.Context(), in, out), backend.ErrClosed)
	require.ErrorIs(t, m.ReleaseCompute(), backend.ErrClosed)
	require.EqualError(t, m.UNet(t.Context(), in, out), "evaluating the UNet: the model is closed")
	require.Equal(t, backend.KindSDXLBase, m.Info().Kind)
}

func TestForgottenModelsAreClosed(t *testing.T) {
	b := fakeBackend(t, nil)
	for range 10 {
		_, err := b.Open(t.Context(), backend.ModelConfig{Files: backend.Files{Model: "m"}})
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		runtime.GC()
		return b.LiveModels() == 0
	}, 20*time.Second, 10*time.Millisecond)
}

func TestNativeFailureKeepsItsStatus(t *testing.T) {
	m := fakeModel(t, fakeBackend(t, nil), "m")
	in, out := fakeUNet(outOfMemory)
	err := m.UNet(t.Context(), in, out)
	require.ErrorIs(t, err, backend.ErrOutOfMemory)
	require.NotErrorIs(t, err, ErrEngine)
	require.EqualError(t, err, "evaluating the UNet: 2.0 GiB compute buffer on cpu (out of memory)")
	requireUsable(t, m)
}
