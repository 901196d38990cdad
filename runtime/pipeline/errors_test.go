package pipeline

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/queue"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// filed is a fake for which files are read, so that memory is planned as for libdaguerre.
type filed struct{ *fake.Backend }

// Fileless hides the fake's.
func (filed) Fileless() bool { return false }

// openFiled opens the nano model's files on a fake.
func openFiled(t *testing.T, b *fake.Backend, cfg Config) *Pipeline {
	t.Helper()
	cfg.Model = NanoModel
	p, err := Open(t.Context(), cfg, WithBackend(filed{b}))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, p.Close())
		assert.Zero(t, b.LiveModels())
	})
	return p
}

// batched makes a request's pictures by a Batcher and returns the error of each that failed.
func batched(t *testing.T, p *Pipeline, o BatcherOptions, r request.Request, jo JobOptions) map[int]error {
	t.Helper()
	failed := map[int]error{}
	jo.OnError = func(i int, err error) { failed[i] = err }
	b := NewBatcher(o, p)
	defer b.Close()
	plan, err := b.Plan(r)
	require.NoError(t, err)
	job, err := b.Submit(t.Context(), plan, jo)
	require.NoError(t, err)
	if err := job.Wait(t.Context()); len(failed) == 0 {
		require.NoError(t, err)
	}
	return failed
}

// TestErrorsNameTheirStage: the error of whatever fails begins with the stage in which it did.
func TestErrorsNameTheirStage(t *testing.T) {
	planted := errors.New("planted")
	everything := small("a red circle")
	everything.InitImage.Image, everything.Strength = gradient(64, 48), 1
	everything.ControlNets = []request.ControlNet{controlOf("net")}
	everything.Hires = request.Hires{Scale: 2, Upscaler: request.UpscaleModel}
	cfg := Config{Refiner: "refiner", RefinerOnDemand: true, Upscaler: "esrgan"}
	for name, c := range map[string]struct {
		fails func(fake.Call) bool
		stage Stage
	}{
		"encoding a text":     {func(c fake.Call) bool { return c.Op == fake.OpEncodeText }, StageText},
		"opening a net":       {func(c fake.Call) bool { return c.Op == fake.OpOpen && c.Nth == 1 }, StageText},
		"embedding a hint":    {func(c fake.Call) bool { return c.Op == fake.OpEncodeHint }, StageText},
		"encoding a picture":  {func(c fake.Call) bool { return c.Op == fake.OpEncodeImage }, StageEncode},
		"the first step":      {func(c fake.Call) bool { return c.Op == fake.OpUNet }, StageDenoise},
		"a net's step":        {func(c fake.Call) bool { return c.Op == fake.OpControlNet }, StageDenoise},
		"opening the refiner": {func(c fake.Call) bool { return c.Op == fake.OpOpen && c.Nth == 2 }, StageDenoise},
		"the refiner's step":  {func(c fake.Call) bool { return c.Op == fake.OpUNet && c.Kind == backend.KindSDXLRefiner }, StageDenoise},
		"enlarging":           {func(c fake.Call) bool { return c.Op == fake.OpUpscale }, StageUpscale},
		"decoding":            {func(c fake.Call) bool { return c.Op == fake.OpDecodeLatents && c.Nth == 1 }, StageDecode},
	} {
		t.Run(name, func(t *testing.T) {
			for way, fail := range map[string]func(p *Pipeline) error{
				"Generate": func(p *Pipeline) error { _, err := p.Generate(t.Context(), everything); return err },
				"Batcher":  func(p *Pipeline) error { return batched(t, p, BatcherOptions{}, everything, JobOptions{})[0] },
			} {
				b := &fake.Backend{Hook: func(_ context.Context, call fake.Call) error {
					if c.fails(call) {
						return planted
					}
					return nil
				}}
				p, err := Open(t.Context(), cfg, WithBackend(b))
				require.NoError(t, err)
				err = fail(p)
				require.ErrorIs(t, err, planted, way)
				assert.Regexp(t, "^"+string(c.stage)+": [^:]", err.Error(), way)
				require.NoError(t, p.Close())
				assert.Zero(t, b.LiveModels(), way)
			}
		})
	}
}

// TestErrorsBeforeTheFirstStage: what fails before anything is computed has a stage, too.
func TestErrorsBeforeTheFirstStage(t *testing.T) {
	p := openFiled(t, &fake.Backend{}, Config{})
	p.planner.Memory.MemoryLimit = "1MiB"
	r := small("a red circle")
	r.NumImages = 3
	_, err := p.Generate(t.Context(), r)
	require.ErrorIs(t, err, ErrOverBudget)
	require.NotErrorIs(t, err, backend.ErrOutOfMemory, "nothing was allocated")
	assert.Regexp(t, "^memory: [^:]", err.Error())
	attempts := 0
	events := func(e queue.Event) {
		if e.Kind == queue.BatchStarted {
			attempts++
		}
	}
	failed := batched(t, p, BatcherOptions{OnEvent: events}, r, JobOptions{})
	require.Len(t, failed, 3)
	for _, err := range failed {
		require.ErrorIs(t, err, ErrOverBudget)
		assert.Regexp(t, "^memory: [^:]", err.Error())
	}
	assert.Equal(t, 1+3, attempts, "together, then each by itself; neither halves nor relief, which are for allocations that failed")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = openFake(t, &fake.Backend{}).Generate(ctx, small("x"))
	require.ErrorIs(t, err, context.Canceled)
	assert.Regexp(t, "^text: [^:]", err.Error())
}

// TestErrorsOfAdapters: an adapter that cannot be opened, and a handle that serves another job.
func TestErrorsOfAdapters(t *testing.T) {
	p, b, dir := loraBench(t)
	planted := errors.New("planted")
	b.Hook = func(_ context.Context, c fake.Call) error {
		if c.Op == fake.OpLoadLoRA {
			return planted
		}
		return nil
	}
	r := withLoRA(small("a circle"), lora.Adapter{Path: filepath.Join(dir, "both")})
	_, err := p.Generate(t.Context(), r)
	require.ErrorIs(t, err, planted)
	assert.Regexp(t, "^text: [^:]", err.Error())
	err = batched(t, p, BatcherOptions{}, r, JobOptions{})[0]
	require.ErrorIs(t, err, planted)
	assert.Regexp(t, "^text: [^:]", err.Error())

	b.Hook = nil
	var h LoRAHandle
	plan, err := p.Plan(r)
	require.NoError(t, err)
	require.NoError(t, h.Hold(plan))
	_, err = p.Generate(t.Context(), r, WithLoRAs(&h))
	require.ErrorIs(t, err, errHandleInUse)
	assert.Regexp(t, "^text: [^:]", err.Error())
}

// TestOutOfMemoryIsOneError: an allocation that fails is backend.ErrOutOfMemory wherever it happens, by Generate as after all tries of a
// Batcher.
func TestOutOfMemoryIsOneError(t *testing.T) {
	for _, op := range []fake.Op{fake.OpEncodeText, fake.OpUNet, fake.OpDecodeLatents, fake.OpOpen} {
		r := small("a red circle")
		r.NumImages = 2
		r.ControlNets = []request.ControlNet{controlOf("net")}
		b := &fake.Backend{}
		p := openFake(t, b)
		b.Hook = func(_ context.Context, c fake.Call) error {
			if c.Op == op {
				return fmt.Errorf("planted: %w", backend.ErrOutOfMemory)
			}
			return nil
		}
		_, err := p.Generate(t.Context(), r)
		require.ErrorIs(t, err, backend.ErrOutOfMemory, op)
		require.NotErrorIs(t, err, ErrOverBudget, op)
		tries := 0
		events := func(e queue.Event) {
			if e.Kind == queue.BatchStarted {
				tries++
			}
		}
		failed := batched(t, p, BatcherOptions{OnEvent: events}, r, JobOptions{})
		require.Len(t, failed, 2, op)
		for _, err := range failed {
			require.ErrorIs(t, err, backend.ErrOutOfMemory, op)
		}
		assert.Greater(t, tries, 2, "%s: smaller batches, and every relief, were tried", op)
	}
}
