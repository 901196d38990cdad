package pipeline

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func controlOf(model string) request.ControlNet {
	return request.ControlNet{Model: model, Image: request.Picture{Image: gradient(40, 30)}}
}

// controlSteps lists the evaluations of ControlNets by the steps (timesteps of the UNet's evaluations) they belong to.
func controlSteps(b *fake.Backend) (nets map[float32]int, steps int) {
	nets = map[float32]int{}
	for _, c := range b.Calls() {
		switch c.Op {
		case fake.OpControlNet:
			nets[c.Timestep] += c.Batch
		case fake.OpUNet:
			steps++
		}
	}
	return nets, steps
}

// TestControlRanges: a net acts between its start and end, its picture is embedded once, and both halves are served unless the mode says
// otherwise.
func TestControlRanges(t *testing.T) {
	for name, c := range map[string]struct {
		edit  func(*request.ControlNet)
		steps int // in which it acts, of 10
		rows  int // in each
	}{
		"always":  {func(*request.ControlNet) {}, 10, 4},
		"half":    {func(n *request.ControlNet) { n.End = 0.5 }, 5, 4},
		"later":   {func(n *request.ControlNet) { n.Start, n.End = 0.2, 0.6 }, 4, 4},
		"control": {func(n *request.ControlNet) { n.ControlMode = "control" }, 10, 2},
		"prompt":  {func(n *request.ControlNet) { n.ControlMode = "prompt" }, 10, 4},
	} {
		for _, halves := range []string{request.GuidanceJoint, request.GuidanceSeparate} {
			b := &fake.Backend{}
			p := openFake(t, b)
			r := small("a red circle")
			r.NumInferenceSteps, r.NumImages, r.GuidanceBatch = 10, 2, halves
			plain := generate(t, p, r)
			n := controlOf("net")
			c.edit(&n)
			r.ControlNets = []request.ControlNet{n}
			out := generate(t, p, r)
			nets, _ := controlSteps(b)
			assert.Len(t, nets, c.steps, name)
			for _, rows := range nets {
				assert.Equal(t, c.rows, rows, name)
			}
			assert.Equal(t, 1, b.Count(fake.OpEncodeHint), name)
			assert.False(t, slices.Equal(plain.Images[0].Latents.Data, out.Images[0].Latents.Data), name)
			assert.Equal(t, 2, b.LiveModels(), "the net stays open")
		}
	}
}

// TestControlKeepsResiduals: nets on the UNet's device add to residuals there, and the UNet takes them; without nets there are none.
func TestControlKeepsResiduals(t *testing.T) {
	b := &fake.Backend{}
	p := openFake(t, b)
	r := small("a red circle")
	generate(t, p, r)
	r.ControlNets = []request.ControlNet{controlOf("net"), controlOf("second")}
	r.ControlNets[0].End = 0.5
	r.ControlNets[1].End = 0.75
	calls := len(b.Calls())
	for _, c := range b.Calls() {
		assert.False(t, c.OnDevice)
	}
	generate(t, p, r)
	var kept []bool
	for _, c := range b.Calls()[calls:] {
		switch c.Op {
		case fake.OpControlNet:
			assert.True(t, c.OnDevice)
		case fake.OpUNet:
			kept = append(kept, c.OnDevice)
		}
	}
	assert.Equal(t, []bool{true, true, true, false}, kept, "in the last step no net acts")
}

// TestControlWeights: nets sum, and a weight of 0 is as without the net.
func TestControlWeights(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	latents := func(weights ...float64) []float32 {
		r := small("a red circle")
		for _, w := range weights {
			n := controlOf("net")
			n.Weight = &w
			r.ControlNets = append(r.ControlNets, n)
		}
		return generate(t, p, r).Images[0].Latents.Data
	}
	assert.InDeltaSlice(t, latents(1), latents(0.5, 0.5), 1e-4)
	assert.Equal(t, latents(), latents(0))
}

// TestControlWithEverything: image-to-image, a 9-channel model and a refiner, which the net does not reach.
func TestControlWithEverything(t *testing.T) {
	b := &fake.Backend{InChannels: 9}
	p := openFakeRefined(t, b, true)
	r := small("a red circle")
	r.NumInferenceSteps, r.InitImage.Image, r.MaskImage.Image, r.Strength = 10, gradient(64, 48), rightHalf(64, 48), 0.8
	r.ControlNets = []request.ControlNet{controlOf("net")}
	generate(t, p, r)
	nets, steps := controlSteps(b)
	assert.Equal(t, 8, steps)
	assert.Len(t, nets, 6, "the base's steps")
}

// TestControlCache: nets stay open while there is room, the one used longest ago goes first, and a job that needs too many at once
// fails before it computes.
func TestControlCache(t *testing.T) {
	b := &fake.Backend{}
	p, err := Open(t.Context(), Config{ControlNetMemory: 22500}, WithBackend(b)) // a fake net has 10000 bytes
	require.NoError(t, err)
	run := func(names ...string) error {
		r := small("x")
		for _, name := range names {
			r.ControlNets = append(r.ControlNets, controlOf(name))
		}
		_, err := p.Generate(t.Context(), r)
		return err
	}
	opened := func() (names []string) {
		for _, cfg := range b.Opened() {
			if cfg.Files.ControlNet != "" {
				names = append(names, cfg.Files.ControlNet)
			}
		}
		return names
	}
	require.NoError(t, run("a", "b"))
	require.NoError(t, run("a", "a"))
	assert.Equal(t, []string{"a", "b"}, opened())
	require.NoError(t, run("c"))
	require.NoError(t, run("a"))
	assert.Equal(t, []string{"a", "b", "c"}, opened(), "b was used longest ago")
	assert.Equal(t, 3, b.LiveModels())
	steps := b.Count(fake.OpUNet)
	err = run("d", "e", "f")
	require.ErrorIs(t, err, ErrControlMemory)
	require.ErrorContains(t, err, "controlnet[2]")
	assert.Equal(t, steps, b.Count(fake.OpUNet), "before any denoising")
	require.NoError(t, run("d", "f"))
	require.NoError(t, p.Close())
	assert.Zero(t, b.LiveModels())
}

func TestControlMistakes(t *testing.T) {
	p := openFake(t, &fake.Backend{})
	for want, edit := range map[string]func(*request.ControlNet){
		"controlnet[0].union_type: is given, and the net is no Union net": func(n *request.ControlNet) { n.UnionType = "depth" },
		"controlnet[0].union_type: is missing; this is a Union net":       func(n *request.ControlNet) { n.Model = "union" },
		"controlnet[0].union_type: tile is not among the 6 kinds":         func(n *request.ControlNet) { n.Model, n.UnionType = "union", "tile" },
		"it is for another model":                                         func(n *request.ControlNet) { n.Model = "other" },
		"controlnet[0].preprocessor: \"cany\" is unknown":                 func(n *request.ControlNet) { n.Preprocessor = "cany" },
		"controlnet[0].image: ": func(n *request.ControlNet) {
			n.Image = request.Picture{Path: "no-such.png"}
		},
		"controlnet[0].start: ": func(n *request.ControlNet) { n.Start, n.End = 0.6, 0.2 },
	} {
		r := small("x")
		r.ControlNets = []request.ControlNet{controlOf("net")}
		edit(&r.ControlNets[0])
		_, err := p.Generate(t.Context(), r)
		require.ErrorContains(t, err, want)
	}
	r := small("x")
	n := controlOf("union")
	n.UnionType = "depth"
	r.ControlNets = []request.ControlNet{n}
	m := generate(t, p, r)
	assert.Equal(t, []ManifestControl{{Name: "union", Image: "(in memory)", Weight: 1, End: 1, Mode: "balanced", Resize: "crop",
		UnionType: "depth"}},
		m.Manifest(m.Images[0]).ControlNets)
	assert.Len(t, p.MemoryStats(), 3, "nets stay open")
}

// TestJoinedUnion: pictures that a Union net sees at once are one evaluation, with weights of their own; others are one each.
func TestJoinedUnion(t *testing.T) {
	b := &fake.Backend{}
	p := openFake(t, b)
	r := small("x")
	for i, kind := range []string{"depth", "", "canny"} {
		n := controlOf("union")
		if n.UnionType, n.UnionJoined = kind, true; i == 1 {
			n = controlOf("net")
		}
		r.ControlNets = append(r.ControlNets, n)
	}
	out := generate(t, p, r)
	joined := b.Count(fake.OpControlNet)
	assert.True(t, out.Manifest(out.Images[0]).ControlNets[2].UnionJoined)
	for i := range r.ControlNets {
		r.ControlNets[i].UnionJoined = false
	}
	generate(t, p, r)
	assert.Equal(t, joined/2*3, b.Count(fake.OpControlNet)-joined)

	for want, edit := range map[string]func(){
		"controlnet[0].union_joined: is given for one picture only":                     func() { r.ControlNets[2].UnionJoined = false },
		"controlnet[2].union_joined: joins this with controlnet[0], and their start":    func() { r.ControlNets[2].Start = 0.5 },
		"controlnet[2].union_type: is missing; this is a Union net: say what":           func() { r.ControlNets[2].UnionType = "" },
		"controlnet[2].union_joined: joins this with controlnet[0], and their start, e": func() { r.ControlNets[2].ControlMode = "prompt" },
	} {
		r.ControlNets[0].UnionJoined, r.ControlNets[2].UnionJoined = true, true
		r.ControlNets[2].UnionType, r.ControlNets[2].Start, r.ControlNets[2].ControlMode = "canny", 0, ""
		edit()
		_, err := p.Generate(t.Context(), r)
		require.ErrorContains(t, err, want)
	}
}
