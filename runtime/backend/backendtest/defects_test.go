package backendtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// recorder is a tester that keeps what a contract says instead of failing.
type recorder struct {
	ctx      context.Context
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

var errStop = errors.New("the contract has failed")

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}
func (r *recorder) FailNow()                 { panic(errStop) }
func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Cleanup(f func())         { r.cleanups = append(r.cleanups, f) }

// step runs f until it ends or fails.
func (r *recorder) step(f func()) {
	defer func() {
		if p := recover(); p != nil && p != errStop {
			panic(p)
		}
	}()
	f()
}

// failuresOf are what a contract says of a backend.
func failuresOf(ctx context.Context, c contract, b backend.Backend) []string {
	r := &recorder{ctx: ctx}
	r.step(func() {
		c.check(r, Models{Backend: b,
			ControlNet: backend.ModelConfig{Files: backend.Files{ControlNet: "c"}},
			TAESD:      backend.ModelConfig{Files: backend.Files{TAESD: "t"}},
			Upscaler:   backend.ModelConfig{Files: backend.Files{Upscaler: "u"}},
			Detector:   backend.ModelConfig{Files: backend.Files{Detector: "d"}},
		})
	})
	for _, f := range slices.Backward(r.cleanups) {
		r.step(f)
	}
	return r.failures
}

// broken is the fake with one fault: where a function is set, it stands in for the fake's own.
type broken struct {
	*fake.Backend
	devices func(list []backend.Device) []backend.Device
	config  func(ctx context.Context, cfg *backend.ModelConfig) context.Context
	model   func(m *brokenModel)
	last    *brokenModel
}

func (b *broken) Devices(ctx context.Context) ([]backend.Device, error) {
	list, err := b.Backend.Devices(ctx)
	if b.devices != nil {
		list = b.devices(list)
	}
	return list, err
}

func (b *broken) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	if b.config != nil {
		ctx = b.config(ctx, &cfg)
	}
	m, err := b.Backend.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	out := &brokenModel{Model: m, LoRAModel: m.(backend.LoRAModel), FeatureModel: m.(backend.FeatureModel),
		ResidualModel: m.(backend.ResidualModel)}
	if b.last != nil {
		b.last.after = out
	}
	b.last = out
	if b.model != nil {
		b.model(out)
	}
	return out, nil
}

type brokenModel struct {
	backend.Model
	backend.LoRAModel
	backend.FeatureModel
	backend.ResidualModel
	after *brokenModel // the model that was opened after it

	info     func(backend.ModelInfo) backend.ModelInfo
	tokenize func(ids []int32) []int32
	text     func(in *backend.TextInput)
	unet     func(ctx context.Context, in backend.UNetInput, out []float32) error
	decode   func(out *backend.Tensor)
	control  func(in *backend.ControlInput, residuals []float32)
	upscale  func(out *backend.Tensor)
	detect   func(out *backend.Tensor)
	load     func(targets []backend.LoRATarget)
	unload   func() error
	stats    func(*backend.MemoryStats)
	bytes    func(q *backend.ComputeQuery) int64
	close    func() error
}

func (m *brokenModel) Info() backend.ModelInfo {
	if m.info != nil {
		return m.info(m.Model.Info())
	}
	return m.Model.Info()
}

func (m *brokenModel) Tokenize(text string) ([]int32, error) {
	ids, err := m.Model.Tokenize(text)
	if m.tokenize != nil {
		ids = m.tokenize(ids)
	}
	return ids, err
}

func (m *brokenModel) EncodeText(ctx context.Context, in backend.TextInput) (backend.TextOutput, error) {
	if m.text != nil {
		m.text(&in)
	}
	return m.Model.EncodeText(ctx, in)
}

func (m *brokenModel) UNet(ctx context.Context, in backend.UNetInput, out []float32) error {
	if m.unet != nil {
		return m.unet(ctx, in, out)
	}
	return m.Model.UNet(ctx, in, out)
}

func (m *brokenModel) DecodeLatents(ctx context.Context, latents backend.Tensor) (backend.Tensor, error) {
	out, err := m.Model.DecodeLatents(ctx, latents)
	if m.decode != nil {
		m.decode(&out)
	}
	return out, err
}

func (m *brokenModel) ControlNet(ctx context.Context, in backend.ControlInput, residuals []float32) error {
	if m.control != nil {
		m.control(&in, residuals)
	}
	return m.Model.ControlNet(ctx, in, residuals)
}

func (m *brokenModel) Upscale(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	out, err := m.Model.Upscale(ctx, pixels)
	if m.upscale != nil {
		m.upscale(&out)
	}
	return out, err
}

func (m *brokenModel) Detect(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	out, err := m.Model.Detect(ctx, pixels)
	if m.detect != nil {
		m.detect(&out)
	}
	return out, err
}

func (m *brokenModel) LoadLoRA(ctx context.Context, targets []backend.LoRATarget) (backend.LoRA, error) {
	if m.load != nil {
		m.load(targets)
	}
	return m.LoRAModel.LoadLoRA(ctx, targets)
}

func (m *brokenModel) Unload(components ...string) error {
	if m.unload != nil {
		return m.unload()
	}
	return m.Model.Unload(components...)
}

func (m *brokenModel) MemoryStats() backend.MemoryStats {
	s := m.Model.MemoryStats()
	if m.stats != nil {
		m.stats(&s)
	}
	return s
}

func (m *brokenModel) ComputeBytes(q backend.ComputeQuery) (int64, error) {
	var more int64
	if m.bytes != nil {
		more = m.bytes(&q)
	}
	n, err := m.Model.ComputeBytes(q)
	return n + more, err
}

func (m *brokenModel) Close() error {
	if m.close != nil {
		return m.close()
	}
	return m.Model.Close()
}

// defects break contracts of the names they stand under.
var defects = map[string]*broken{
	"Devices":    {devices: func(list []backend.Device) []backend.Device { return append(list, list...) }},
	"Open":       {config: func(ctx context.Context, _ *backend.ModelConfig) context.Context { return context.WithoutCancel(ctx) }},
	"Components": {config: func(ctx context.Context, cfg *backend.ModelConfig) context.Context { cfg.Components = nil; return ctx }},
	"OpenRefuses": {config: func(ctx context.Context, cfg *backend.ModelConfig) context.Context {
		cfg.Precision = backend.PrecisionAuto
		return ctx
	}},
	"Info": {model: func(m *brokenModel) {
		shared := m.Model.Info()
		m.info = func(backend.ModelInfo) backend.ModelInfo { return shared }
	}},
	"Tokenize":          {model: func(m *brokenModel) { m.tokenize = func(ids []int32) []int32 { return append(ids, 49407) } }},
	"EncodeText":        {model: func(m *brokenModel) { m.text = func(in *backend.TextInput) { in.ClipSkip = min(in.ClipSkip, 0) } }},
	"EncodeTextRefuses": {model: func(m *brokenModel) { m.text = func(in *backend.TextInput) { in.ClipSkip = max(in.ClipSkip, 0) } }},
	"UNet": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error { // rows of one batch mix
			err := m.Model.UNet(ctx, in, out)
			out[0] += 0.01 * out[len(out)-1]
			return err
		}
	}},
	"UNetResiduals": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			in.Residuals = nil
			return m.Model.UNet(ctx, in, out)
		}
	}},
	"UNetChange": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			in.Change.FreeU[3] = 0 // a factor is forgotten
			return m.Model.UNet(ctx, in, out)
		}
	}},
	"UNetChangeRefuses": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			in.Change.IdentityRows = min(in.Change.IdentityRows, in.Sample.Shape[0]) // perturbs what there is
			return m.Model.UNet(ctx, in, out)
		}
	}},
	"UNetRegions": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			in.Regions.Shares = in.Regions.Shares[:0:0] // they are not looked at
			in.Regions.Count = 0
			return m.Model.UNet(ctx, in, out)
		}
	}},
	"UNetRegionsRefuses": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			in.Regions.Count = max(in.Regions.Count, 0)
			return m.Model.UNet(ctx, in, out)
		}
	}},
	"ResidualsOnDevice": {model: func(m *brokenModel) {
		m.control = func(in *backend.ControlInput, _ []float32) {
			if in.OnDevice != nil {
				_ = in.OnDevice.Clear() // set, not added
			}
		}
	}},
	"UNetRefuses": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			if err := m.Model.UNet(ctx, in, out); err != nil {
				return errors.New(err.Error()) // without its kind
			}
			return nil
		}
	}},
	"VAE":   {model: func(m *brokenModel) { m.decode = func(out *backend.Tensor) { out.Shape[0]++ } }},
	"TAESD": {model: func(m *brokenModel) { m.decode = func(out *backend.Tensor) { clear(out.Data) } }},
	"VAERefuses": {model: func(m *brokenModel) {
		m.info = func(i backend.ModelInfo) backend.ModelInfo { i.VAE.LatentChannels++; return i }
	}},
	"Wrap": {model: func(m *brokenModel) {
		m.decode = func(out *backend.Tensor) { // a border
			for i := range out.Data {
				out.Data[i] += float32(i % out.Shape[3])
			}
		}
	}},
	"ControlNet": {model: func(m *brokenModel) {
		m.control = func(_ *backend.ControlInput, residuals []float32) { clear(residuals) } // set, not added
	}},
	"ControlNetRefuses": {model: func(m *brokenModel) {
		m.control = func(in *backend.ControlInput, _ []float32) { in.FirstRow = 0 }
	}},
	"Upscale": {model: func(m *brokenModel) {
		m.upscale = func(out *backend.Tensor) { slices.Reverse(out.Data) } // pictures change places
	}},
	"Detect": {model: func(m *brokenModel) {
		m.detect = func(out *backend.Tensor) { out.Shape[1], out.Shape[2] = out.Shape[2], out.Shape[1] } // the other way round
	}},
	"LoRA": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			in.LoRAs = in.LoRAs[:min(len(in.LoRAs), 1)] // only the first
			return m.Model.UNet(ctx, in, out)
		}
	}},
	"LoRARefuses": {model: func(m *brokenModel) {
		m.load = func(targets []backend.LoRATarget) { targets[0].Form = backend.LoRALowRank }
	}},
	"Features": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			if in.Kept.Use == backend.FeaturesReuse {
				in.Kept = backend.Kept{} // nothing is reused
			}
			return m.Model.UNet(ctx, in, out)
		}
	}},
	"FeaturesRefuse": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			if err := m.Model.UNet(ctx, in, out); in.Kept.Use == "" || !errors.Is(err, backend.ErrArgument) {
				return err
			}
			return nil
		}
	}},
	"Load":        {model: func(m *brokenModel) { m.unload = func() error { return nil } }},
	"MemoryStats": {model: func(m *brokenModel) { m.stats = func(s *backend.MemoryStats) { s.Total++ } }},
	"ComputeBytes": {model: func(m *brokenModel) {
		m.bytes = func(*backend.ComputeQuery) int64 { return 1 }
	}},
	"ComputeBytesRefuses": {model: func(m *brokenModel) {
		m.bytes = func(q *backend.ComputeQuery) int64 { q.Batch = max(q.Batch, 1); return 0 }
	}},
	"OutOfMemory": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			err := m.Model.UNet(ctx, in, out)
			if errors.Is(err, backend.ErrOutOfMemory) {
				return errors.New("no memory")
			}
			return err
		}
	}},
	"Cancel": {model: func(m *brokenModel) {
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			return m.Model.UNet(context.WithoutCancel(ctx), in, out)
		}
	}},
	"Close": {model: func(m *brokenModel) { m.close = func() error { return nil } }},
	"TwoModels": {model: func(m *brokenModel) {
		m.close = func() error { // closes the one that was opened after it, too
			if m.after != nil {
				return errors.Join(m.Model.Close(), m.after.Model.Close())
			}
			return m.Model.Close()
		}
	}},
	"Goroutines": {model: func(m *brokenModel) {
		calls := make(chan int, 1)
		calls <- 0
		m.unet = func(ctx context.Context, in backend.UNetInput, out []float32) error {
			n := <-calls
			calls <- n + 1
			err := m.Model.UNet(ctx, in, out)
			out[0] += float32(n)
			return err
		}
	}},
}

// TestDefectsAreFound: each contract holds for the fake and fails for the fake with the defect that is planted for it.
func TestDefectsAreFound(t *testing.T) {
	for _, c := range contracts {
		t.Run(c.name, func(t *testing.T) {
			require.Empty(t, failuresOf(t.Context(), c, &fake.Backend{}))
			b := defects[c.name]
			if c.name == "VAEParts" { // the fake has no parts
				require.Nil(t, b)
				return
			}
			require.NotNil(t, b)
			b.Backend = &fake.Backend{}
			assert.NotEmpty(t, failuresOf(t.Context(), c, b), "the contract does not see the defect")
		})
	}
	assert.Len(t, defects, len(contracts)-1)
}
