package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// everyCall lists the calls of an inpainting run in three batches.
func inpainting() request.Request {
	r := small("a red circle")
	r.NegativePrompt, r.NumImages, r.MaxBatch, r.Strength = "green", 3, 1, 1
	r.InitImage, r.MaskImage = request.Picture{Image: gradient(64, 48)}, request.Picture{Image: rightHalf(64, 48)}
	return r
}

// atEveryCall runs f once for each computation of a run, with the number of pictures that are finished before it.
func atEveryCall(t *testing.T, f func(t *testing.T, n int, call fake.Call, finished int)) {
	b := &fake.Backend{}
	generate(t, openFake(t, b), inpainting())
	calls := b.Calls()[1:] // the first opens the model
	require.Greater(t, len(calls), 15)
	finished := 0
	for n, call := range calls {
		t.Run(fmt.Sprintf("%s-%d", call.Op, call.Nth), func(t *testing.T) { f(t, n+1, call, finished) })
		if call.Op == fake.OpDecodeLatents {
			finished++
		}
	}
}

// planted is a fake that does something at its n-th call of all.
func planted(n int, act func(ctx context.Context) error) *fake.Backend {
	count := -1
	return &fake.Backend{Hook: func(ctx context.Context, _ fake.Call) error {
		if count++; count == n {
			return act(ctx)
		}
		return nil
	}}
}

func TestCancelAtEveryCall(t *testing.T) {
	before := runtime.NumGoroutine()
	atEveryCall(t, func(t *testing.T, n int, call fake.Call, finished int) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b := planted(n, func(context.Context) error { cancel(); return nil })
		p := openFake(t, b)
		out, err := p.Generate(ctx, inpainting())
		require.ErrorIs(t, err, context.Canceled)
		require.NotNil(t, out)
		assert.Len(t, out.Images, finished, "what was finished is returned")
		assert.Len(t, b.Calls(), n+1, "nothing is computed after it")
		generate(t, p, inpainting())
	})
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+2 }, time.Minute, time.Millisecond,
		"no goroutine is left behind")
}

func TestFailureAtEveryCall(t *testing.T) {
	broken := errors.New("the device fell off")
	stages := map[fake.Op]string{fake.OpEncodeText: "text: text encoder", fake.OpEncodeImage: "encode: encoding init_image",
		fake.OpUNet: "denoise: step ", fake.OpDecodeLatents: "decode: decoding picture "}
	atEveryCall(t, func(t *testing.T, n int, call fake.Call, finished int) {
		p := openFake(t, planted(n, func(context.Context) error { return broken }))
		out, err := p.Generate(t.Context(), inpainting())
		require.ErrorIs(t, err, broken)
		assert.ErrorContains(t, err, stages[call.Op])
		assert.Len(t, out.Images, finished)
	})
}

func TestCancelReturnsWhileAComputationWaits(t *testing.T) {
	waits := make(chan struct{})
	b := planted(5, func(ctx context.Context) error { close(waits); <-ctx.Done(); return ctx.Err() })
	p := openFake(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-waits; cancel() }()
	_, err := p.Generate(ctx, small("x"))
	require.ErrorIs(t, err, context.Canceled)
	generate(t, p, small("x"))
}

func TestOpenFails(t *testing.T) {
	broken := errors.New("no memory")
	b := planted(0, func(context.Context) error { return broken })
	_, err := Open(t.Context(), Config{}, WithBackend(b))
	require.ErrorIs(t, err, broken)
	assert.Zero(t, b.LiveModels())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Open(ctx, Config{}, WithBackend(b))
	require.ErrorIs(t, err, context.Canceled)
}
