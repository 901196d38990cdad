package vae

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/lease"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

func TestSpansCoverEverythingWithEnoughOverlap(t *testing.T) {
	for _, size := range []int{8, 9, 32, 56} {
		for n := 1; n < 300; n++ {
			for _, overlap := range []int{0, 1, size / 4, size / 2} {
				tiles := spans(n, size, overlap)
				require.Zero(t, tiles[0].from)
				require.Equal(t, n, tiles[len(tiles)-1].to)
				for i, tile := range tiles {
					require.Equal(t, tiles[0].len(), tile.len(), "all tiles are equal")
					require.LessOrEqual(t, tile.len(), size)
					if i > 0 {
						require.GreaterOrEqual(t, tiles[i-1].to-tile.from, overlap, "n %d, size %d, overlap %d", n, size, overlap)
					}
				}
				parts := cores(tiles)
				at := 0
				for i, part := range parts {
					require.Equal(t, at, part.from)
					require.True(t, part.from >= tiles[i].from && part.to <= tiles[i].to && part.len() > 0)
					at = part.to
				}
				require.Equal(t, n, at, "cores are a partition")
				sum := make([]float64, n*2)
				for i, w := range feathers(tiles, 2) {
					for k, v := range w {
						require.True(t, v > 0 && v <= 1)
						sum[tiles[i].from*2+k] += float64(v)
					}
				}
				for _, s := range sum {
					require.InDelta(t, 1, s, 1e-6)
				}
			}
		}
	}
}

func TestPoolIsTheStatisticsOfTheWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	values := make([]float64, 1000)
	for i := range values {
		values[i] = 3 + 2*r.NormFloat64()
	}
	of := func(v []float64) backend.NormStatistics {
		mean, square := 0.0, 0.0
		for _, x := range v {
			mean += x / float64(len(v))
		}
		for _, x := range v {
			square += (x - mean) * (x - mean) / float64(len(v))
		}
		return backend.NormStatistics{float32(mean), float32(square)}
	}
	var p pool
	for _, part := range [][]float64{values[:100], values[100:700], values[700:]} {
		p.add(of(part), float64(len(part)))
	}
	assert.InDeltaSlice(t, of(values), p.statistics(), 1e-5)
}

// open opens the fake, whose VAE looks at single cells only.
func open(t *testing.T, b *fake.Backend, cfg backend.ModelConfig) backend.Model {
	t.Helper()
	m, err := b.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

func random(shape ...int) backend.Tensor {
	t := backend.NewTensor(shape...)
	r := rand.New(rand.NewPCG(2, uint64(len(t.Data))))
	for i := range t.Data {
		t.Data[i] = r.Float32()*2 - 1
	}
	return t
}

func TestTilesOfALocalVAEAreTheUndividedPicture(t *testing.T) {
	m := open(t, &fake.Backend{}, backend.ModelConfig{})
	latents := random(2, 4, 70, 50)
	whole, err := m.DecodeLatents(t.Context(), latents)
	require.NoError(t, err)
	p := Policy{Tiling: On, TileSize: 256}
	tiled, _, err := p.Decode(t.Context(), m, latents)
	require.NoError(t, err)
	assert.InDeltaSlice(t, whole.Data, tiled.Data, 1e-5)
	plan, err := p.PlanDecode(m, 2, 70, 50)
	require.NoError(t, err)
	h, w := plan.TileSize()
	assert.Equal(t, []int{6, 1, 29, 29}, []int{plan.Tiles, plan.PerCall, h, w})
	moments, err := m.EncodeImage(t.Context(), whole)
	require.NoError(t, err)
	encoded, _, err := p.Encode(t.Context(), m, whole)
	require.NoError(t, err)
	assert.Equal(t, moments.Shape, encoded.Shape)
	assert.InDeltaSlice(t, moments.Data, encoded.Data, 1e-5)
}

// normed is a VAE in parts with one group norm over everything: the fake's, after which each picture is normed.
type normed struct{ backend.Model }

func (n normed) VAEPartInfo(stage backend.Stage) (backend.VAEPartInfo, error) {
	switch stage {
	case backend.StageVAEDecodeLevels:
		return backend.VAEPartInfo{InChannels: 4, OutChannels: 3, Norms: 1, Groups: 1}, nil
	case backend.StageVAEEncodeLevels:
		return backend.VAEPartInfo{InChannels: 3, OutChannels: 8, Norms: 1, Groups: 1}, nil
	}
	return backend.VAEPartInfo{InChannels: 4, OutChannels: 4, Groups: 1}, nil
}

func (n normed) ComputeBytes(q backend.ComputeQuery) (int64, error) {
	switch q.Stage {
	case backend.StageVAEDecodeLevels:
		q.Stage = backend.StageVAEDecode
	case backend.StageVAEEncodeLevels:
		q.Stage = backend.StageVAEEncode
	case backend.StageVAEDecodeMiddle, backend.StageVAEEncodeMiddle:
		return int64(q.Height * q.Width), nil
	}
	return n.Model.ComputeBytes(q)
}

func (n normed) RunVAEPart(ctx context.Context, in backend.VAEPartInput) (backend.Tensor, backend.NormStatistics, error) {
	if in.Stage == backend.StageVAEDecodeMiddle || in.Stage == backend.StageVAEEncodeMiddle {
		return in.Input, nil, nil
	}
	measure := func(t backend.Tensor) backend.NormStatistics {
		var sum, square float64
		for _, v := range t.Data {
			sum, square = sum+float64(v), square+float64(v)*float64(v)
		}
		mean := sum / float64(len(t.Data))
		return backend.NormStatistics{float32(mean), float32(square/float64(len(t.Data)) - mean*mean)}
	}
	var reported backend.NormStatistics
	if !in.Core.Empty() {
		reported = measure(cut(in.Input, span{in.Core.Min.Y, in.Core.Max.Y}, span{in.Core.Min.X, in.Core.Max.X}))
	}
	s := in.Statistics
	if s == nil {
		s = measure(in.Input)
	}
	x := backend.NewTensor(in.Input.Shape...)
	for i, v := range in.Input.Data {
		x.Data[i] = (v - s[0]) / float32(math.Sqrt(float64(s[1])))
	}
	run := n.DecodeLatents
	if in.Stage == backend.StageVAEEncodeLevels {
		run = n.EncodeImage
	}
	out, err := run(ctx, x)
	return out, reported, err
}

func TestTilesShareTheStatisticsOfTheWholePicture(t *testing.T) {
	m := normed{open(t, &fake.Backend{}, backend.ModelConfig{})}
	latents := random(1, 4, 64, 64)
	for i := range latents.Data { // one corner is much brighter, as a picture's would be
		if i%64 > 40 && i/64%64 > 40 {
			latents.Data[i] += 9
		}
	}
	whole, _, err := m.RunVAEPart(t.Context(), backend.VAEPartInput{Stage: backend.StageVAEDecodeLevels, Input: latents})
	require.NoError(t, err)
	p := Policy{Tiling: On, TileSize: 256}
	tiled, _, err := p.Decode(t.Context(), m, latents)
	require.NoError(t, err)
	assert.InDeltaSlice(t, whole.Data, tiled.Data, 1e-4)
	apart, err := plain(t.Context(), latents, newGrid(64, 64, 32, 8), 1, 8,
		func(ctx context.Context, tile backend.Tensor) (backend.Tensor, error) {
			out, _, err := m.RunVAEPart(ctx, backend.VAEPartInput{Stage: backend.StageVAEDecodeLevels, Input: tile})
			return out, err
		})
	require.NoError(t, err)
	assert.Greater(t, math.Abs(float64(apart.Data[0]-whole.Data[0])), 0.05, "without them it would show")
	plan, err := p.PlanDecode(m, 1, 64, 64)
	require.NoError(t, err)
	assert.True(t, plan.Parts)

	moments, _, err := m.RunVAEPart(t.Context(), backend.VAEPartInput{Stage: backend.StageVAEEncodeLevels, Input: whole})
	require.NoError(t, err)
	encoded, _, err := p.Encode(t.Context(), m, whole)
	require.NoError(t, err)
	assert.InDeltaSlice(t, moments.Data, encoded.Data, 1e-4)
}

func TestPolicyChoosesByMemory(t *testing.T) {
	m := open(t, &fake.Backend{VAELanes: 2}, backend.ModelConfig{})
	one, err := m.ComputeBytes(backend.ComputeQuery{Stage: backend.StageVAEDecode, Batch: 1, Height: 128, Width: 128})
	require.NoError(t, err)
	for _, c := range []struct {
		what           string
		policy         Policy
		batch          int
		tiles, perCall int
	}{
		{"the default", Policy{}, 4, 1, 2},
		{"slicing by hand", Policy{Slicing: On}, 4, 1, 1},
		{"not for two at once", Policy{MemoryLimit: 2*one - 1}, 4, 1, 1},
		{"for all at once by force", Policy{MemoryLimit: 2 * one, Slicing: Off}, 4, 1, 4},
		{"not for one", Policy{MemoryLimit: one - 1}, 4, 9, 1},
		{"not for one, tiling off", Policy{MemoryLimit: one - 1, Tiling: Off}, 1, 1, 1},
		{"tiling by hand", Policy{Tiling: On}, 1, 9, 1},
		{"small tiles", Policy{Tiling: On, TileSize: 256, Overlap: 0.5}, 1, 49, 1},
		{"a tile larger than the picture", Policy{Tiling: On, TileSize: 2048}, 3, 1, 2},
	} {
		plan, err := c.policy.PlanDecode(m, c.batch, 128, 128)
		require.NoError(t, err)
		assert.Equal(t, []int{c.tiles, c.perCall}, []int{plan.Tiles, plan.PerCall}, c.what)
	}
	for says, p := range map[string]Policy{
		"vae_tiling":           {Tiling: "maybe"},
		"vae_slicing":          {Slicing: "1"},
		"vae_tile_size: 100":   {TileSize: 100},
		"vae_tile_overlap: 0.": {Overlap: 0.51},
		"vae_tile_overlap: Na": {Overlap: math.NaN()},
		"memory limit":         {MemoryLimit: -1},
	} {
		assert.ErrorContains(t, p.Validate(), says)
	}
	assert.NoError(t, Policy{}.Validate())
}

func TestDecodeInLanes(t *testing.T) {
	f := &fake.Backend{VAELanes: 2}
	m := open(t, f, backend.ModelConfig{})
	latents := backend.NewTensor(5, 4, 3, 2)
	for i := range latents.Data {
		latents.Data[i] = float32(i%17)/8 - 1
	}
	pairs, _, err := Policy{}.Decode(t.Context(), m, latents)
	require.NoError(t, err)
	assert.Equal(t, 3, f.Count(fake.OpDecodeLatents), "two, two and one")
	singles, _, err := Policy{Slicing: On}.Decode(t.Context(), m, latents)
	require.NoError(t, err)
	assert.Equal(t, singles, pairs)
}

// TestFaultOfOnePicture: each picture of a call is looked at by itself.
func TestFaultOfOnePicture(t *testing.T) {
	pixels := backend.NewTensor(3, 3, 2, 2)
	for i := range pixels.Data {
		pixels.Data[i] = 0.5
	}
	assert.Empty(t, faultOf(pixels))
	for i := range 12 {
		pixels.Data[12+i] = -1
	}
	assert.Equal(t, Black, faultOf(pixels))
	pixels.Data[35] = float32(math.NaN())
	assert.Equal(t, NotFinite, faultOf(pixels))
}

func TestPolicyRefusesOddShapes(t *testing.T) {
	m := open(t, &fake.Backend{}, backend.ModelConfig{})
	_, _, err := Policy{}.Decode(t.Context(), m, backend.Tensor{Shape: []int{1, 4, 2}, Data: make([]float32, 8)})
	require.ErrorContains(t, err, "latents: shape [1 4 2]")
	_, _, err = Policy{}.Encode(t.Context(), m, backend.NewTensor(1, 3, 12, 8))
	require.ErrorContains(t, err, "8 x 12 (W x H) are not multiples of 8")
}

// faulty spoils what the VAE of a model in half precision yields.
type faulty struct {
	backend.Model
	with float32
}

func (f faulty) DecodeLatents(ctx context.Context, in backend.Tensor) (backend.Tensor, error) {
	out, err := f.Model.DecodeLatents(ctx, in)
	for i := range out.Data {
		out.Data[i] = f.with
	}
	return out, err
}

func (f faulty) EncodeImage(ctx context.Context, in backend.Tensor) (backend.Tensor, error) {
	out, err := f.Model.EncodeImage(ctx, in)
	out.Data[len(out.Data)-1] = f.with
	return out, err
}

// half is the fake as if it computed in half precision.
type half struct{ backend.Model }

func (h half) Info() backend.ModelInfo {
	info := h.Model.Info()
	info.Precision = backend.PrecisionF16
	for i := range info.Components {
		info.Components[i].Type, info.Components[i].ParameterBytes = backend.TypeF16, 1000
	}
	return info
}

func TestCoderRepeatsInF32(t *testing.T) {
	latents := random(1, 4, 4, 4)
	for _, c := range []struct {
		with  float32
		fault Fault
	}{{float32(math.NaN()), NotFinite}, {float32(math.Inf(-1)), NotFinite}, {-1.2, Black}} {
		b := &fake.Backend{}
		half := half{open(t, b, backend.ModelConfig{})}
		cache := NewCache(b)
		coder := NewCoder(faulty{half, c.with}, cache, ExactConfig(backend.ModelConfig{Files: backend.Files{Model: "x"}}))
		want, err := half.DecodeLatents(t.Context(), latents)
		require.NoError(t, err)
		got, err := coder.Decode(t.Context(), Policy{}, latents)
		require.NoError(t, err)
		assert.Equal(t, want.Data, got.Data)
		assert.Equal(t, []Fault{c.fault, ""}, []Fault{got.Repeated, got.Fault})
		assert.Contains(t, got.Warning("picture 1"), "picture 1 had "+string(c.fault))
		assert.Equal(t, 1, len(cache.List()))
		again, err := coder.Decode(t.Context(), Policy{}, latents)
		require.NoError(t, err)
		assert.Equal(t, want.Data, again.Data)
		assert.Empty(t, again.Warning("picture 2"), "the F32 VAE is used at once, and that was said")
		coder.Close()
		require.NoError(t, cache.Close())
	}
}

func TestCoderDoesNotRepeatInVain(t *testing.T) {
	b := &fake.Backend{}
	latents := random(1, 4, 4, 4)
	exact := open(t, b, backend.ModelConfig{Precision: backend.PrecisionExact})
	coder := NewCoder(faulty{exact, float32(math.NaN())}, NewCache(b), backend.ModelConfig{})
	got, err := coder.Decode(t.Context(), Policy{}, latents)
	require.NoError(t, err)
	assert.Equal(t, NotFinite, got.Fault)
	assert.Contains(t, got.Warning("picture 0"), "try precision f32")

	half := half{open(t, b, backend.ModelConfig{})}
	black := backend.NewTensor(1, 4, 4, 4)
	for i := range black.Data {
		black.Data[i] = -3
	}
	cache := NewCache(b)
	t.Cleanup(func() { require.NoError(t, cache.Close()) })
	coder = NewCoder(half, cache, backend.ModelConfig{})
	got, err = coder.Decode(t.Context(), Policy{}, black)
	require.NoError(t, err)
	assert.Equal(t, Black, got.Repeated)
	assert.Empty(t, got.Warning("picture 0"), "a picture that is black in F32 too is meant to be")
	coder.Close()

	black.Data[3] = float32(math.NaN())
	_, err = coder.Decode(t.Context(), Policy{}, black)
	require.ErrorContains(t, err, "latents: value 3 is NaN")
}

func TestCoderRepeatsEncoding(t *testing.T) {
	b := &fake.Backend{}
	half := half{open(t, b, backend.ModelConfig{})}
	cache := NewCache(b)
	coder := NewCoder(faulty{half, float32(math.NaN())}, cache, backend.ModelConfig{})
	pixels := random(1, 3, 16, 16)
	want, err := half.EncodeImage(t.Context(), pixels)
	require.NoError(t, err)
	got, err := coder.Encode(t.Context(), Policy{}, pixels)
	require.NoError(t, err)
	assert.Equal(t, want.Data, got.Data)
	assert.Contains(t, got.Warning("init_image"), "repeated in F32")
	coder.Close()
	require.NoError(t, cache.Close())
	_, err = coder.Encode(t.Context(), Policy{}, pixels)
	require.ErrorIs(t, err, lease.ErrClosed)
}

func TestExactConfigIsTheVAEAlone(t *testing.T) {
	c := ExactConfig(backend.ModelConfig{Files: backend.Files{Model: "m", UNet: "u"}, Device: "vulkan:0", Threads: 3,
		Hyper: backend.Hyper{VAENormNumGroups: 2, UNetNormNumGroups: 4}})
	assert.Equal(t, backend.Files{VAE: "m"}, c.Files)
	assert.Equal(t, []any{"vulkan:0", 3, 2, 0, backend.TypeF32},
		[]any{c.Device, c.Threads, c.Hyper.VAENormNumGroups, c.Hyper.UNetNormNumGroups, c.VAEType})
	assert.Equal(t, "v", ExactConfig(backend.ModelConfig{Files: backend.Files{Model: "m", VAE: "v"}}).Files.VAE)
	assert.Equal(t, "cpu", ExactConfig(backend.ModelConfig{Device: "vulkan:0", VAEDevice: "cpu"}).Device)
}

func TestCacheKeepsTheLastUsedWithinItsLimits(t *testing.T) {
	b := &fake.Backend{}
	cache := newCache(b, 2, cacheBytes)
	config := func(name string) backend.ModelConfig { return backend.ModelConfig{Files: backend.Files{VAE: name}} }
	use := func(name string) backend.Model {
		lease, err := cache.Acquire(t.Context(), config(name))
		require.NoError(t, err)
		defer func() { assert.NoError(t, lease.Release()) }()
		return lease.Value
	}
	a := use("a")
	use("b")
	assert.Same(t, a, use("a"), "opened once")
	use("c")
	assert.Equal(t, 2, len(cache.List()))
	assert.Same(t, a, use("a"), "b was the least recently used")
	held, err := cache.Acquire(t.Context(), config("d"))
	require.NoError(t, err)
	use("e")
	use("f")
	assert.Equal(t, 2, len(cache.List()))
	require.NoError(t, cache.Close())
	assert.Equal(t, 1, len(cache.List()), "what is in use is not closed")
	_, err = held.Value.DecodeLatents(t.Context(), random(1, 4, 1, 1))
	require.NoError(t, err)
	assert.NoError(t, held.Release())
	assert.NoError(t, held.Release())
	assert.Zero(t, len(cache.List()))
	assert.Zero(t, b.LiveModels())

	small := newCache(heavy{b}, cacheModels, 6999)
	for i, name := range []string{"a", "b"} {
		lease, err := small.Acquire(t.Context(), config(name))
		require.NoError(t, err)
		assert.Equal(t, 1+i, len(small.List()))
		if i == 0 {
			defer func() { assert.NoError(t, lease.Release()) }()
		} else {
			assert.NoError(t, lease.Release())
		}
	}
	assert.Equal(t, 1, len(small.List()), "together they are too large, and the first is in use")
}

func TestCacheOpensOnceForManyAndForgetsFailures(t *testing.T) {
	b := &fake.Backend{}
	cache := NewCache(b)
	var wg sync.WaitGroup
	models := make([]backend.Model, 8)
	for i := range models {
		wg.Go(func() {
			lease, err := cache.Acquire(context.Background(), backend.ModelConfig{})
			if assert.NoError(t, err) {
				models[i] = lease.Value
				assert.NoError(t, lease.Release())
			}
		})
	}
	wg.Wait()
	for _, m := range models {
		assert.Same(t, models[0], m)
	}
	require.NoError(t, cache.Close())

	cache = NewCache(failing{errors.New("no such file")})
	_, err := cache.Acquire(t.Context(), backend.ModelConfig{})
	require.ErrorContains(t, err, "no such file")
	assert.Zero(t, len(cache.List()))
}

// slow is a backend that opens when it is told to.
type slow struct {
	*fake.Backend
	begun, proceed chan struct{}
}

func (s slow) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	s.begun <- struct{}{}
	select {
	case <-s.proceed:
		return s.Backend.Open(ctx, cfg)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestWaitingForTheF32VAELooksAtItsContext: one call opens the VAE in F32; others that wait for it, in the same Coder and in another one,
// leave when they are cancelled.
func TestWaitingForTheF32VAELooksAtItsContext(t *testing.T) {
	b := slow{&fake.Backend{}, make(chan struct{}, 1), make(chan struct{})}
	half := faulty{half{open(t, b.Backend, backend.ModelConfig{})}, float32(math.NaN())}
	cache := NewCache(b)
	same, other := NewCoder(half, cache, backend.ModelConfig{}), NewCoder(half, cache, backend.ModelConfig{})
	latents := random(1, 4, 4, 4)
	var opening sync.WaitGroup
	opening.Go(func() {
		_, err := same.Decode(t.Context(), Policy{}, latents)
		assert.NoError(t, err)
	})
	<-b.begun
	for name, coder := range map[string]*Coder{"the same": same, "another": other} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		left := make(chan error, 1)
		go func() { _, err := coder.Decode(ctx, Policy{}, latents); left <- err }()
		select {
		case err := <-left:
			require.ErrorIs(t, err, context.DeadlineExceeded, name)
		case <-time.After(time.Minute):
			t.Errorf("a call of %s Coder waits on although it was cancelled", name)
		}
	}
	close(b.proceed)
	opening.Wait()
	same.Close()
	other.Close()
	require.NoError(t, cache.Close())
}

// heavy opens models of 5,000 bytes.
type heavy struct{ *fake.Backend }

func (h heavy) Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error) {
	m, err := h.Backend.Open(ctx, cfg)
	return half{m}, err
}

type failing struct{ err error }

func (f failing) Devices(context.Context) ([]backend.Device, error) { return nil, f.err }
func (f failing) Open(context.Context, backend.ModelConfig) (backend.Model, error) {
	return nil, f.err
}

func TestMetrics(t *testing.T) {
	a := random(1, 3, 32, 48)
	assert.True(t, math.IsInf(PSNR(a, a), 1))
	assert.InDelta(t, 1, SSIM(a, a), 1e-12)
	b := backend.NewTensor(a.Shape...)
	for i, v := range a.Data {
		b.Data[i] = v * 0.5
	}
	c := backend.NewTensor(a.Shape...)
	for i := range c.Data {
		c.Data[i] = a.Data[i]*0.9 + 0.02
	}
	assert.InDelta(t, 10*math.Log10(4/(0.25/3)), PSNR(a, b), 0.1, "uniform in [-1, 1] has a mean square of 1/3, halved a difference of 1/12")
	assert.Less(t, SSIM(a, b), SSIM(a, c))
	flat, brighter := backend.NewTensor(1, 3, 16, 16), backend.NewTensor(1, 3, 16, 16)
	for i := range brighter.Data[:256] {
		brighter.Data[i] = 0.1
	}
	shift := ColourShift(flat, brighter)
	assert.InDeltaSlice(t, []float64{12.75, 0, 0}, shift[:], 1e-6)
}

func TestSeamEnergy(t *testing.T) {
	smooth := backend.NewTensor(1, 3, 64, 64)
	for i := range smooth.Data {
		smooth.Data[i] = float32(i%64)/64 - 0.5
	}
	at, beside := seamEnergies(smooth, nil, []int{32})
	assert.InDelta(t, beside, at, 1e-6)
	flat := backend.NewTensor(1, 3, 64, 64)
	assert.Zero(t, SeamExcess(flat, flat, []int{32}, []int{32}), "nothing to see in a flat picture")
	broken := backend.NewTensor(smooth.Shape...)
	copy(broken.Data, smooth.Data)
	for i := range broken.Data {
		if i%64 >= 32 {
			broken.Data[i] += 0.05
		}
	}
	at, beside = seamEnergies(broken, nil, []int{32})
	assert.Greater(t, at, 3*beside)
	assert.Greater(t, SeamExcess(broken, smooth, nil, []int{32}), 2.0)
	assert.Zero(t, SeamExcess(smooth, smooth, nil, []int{32}))
	m := open(t, &fake.Backend{}, backend.ModelConfig{})
	plan, err := Policy{Tiling: On, TileSize: 256}.PlanDecode(m, 1, 32, 56)
	require.NoError(t, err)
	rows, columns := plan.Seams(8)
	assert.Empty(t, rows)
	assert.Equal(t, []int{256, 192}, columns)
}
