package plan

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// filed is a fake for which files are read.
type filed struct{ *fake.Backend }

// Fileless hides the fake's.
func (filed) Fileless() bool { return false }

// bench is a planner for a set of open models, with three ControlNets to choose from.
type bench struct {
	*Planner
	set  *models.Set
	nets []string
}

func newBench(t *testing.T, strategy string) bench {
	t.Helper()
	path, err := nano.Path(t.Context())
	require.NoError(t, err)
	b, log := filed{&fake.Backend{}}, slog.New(slog.DiscardHandler)
	sources := models.Sources{Base: backend.ModelConfig{Files: backend.Files{Model: path}}}
	sources.Upscaler.Files.Upscaler = filepath.Join(t.TempDir(), "esrgan.safetensors")
	require.NoError(t, synth.WriteHollow(sources.Upscaler.Files.Upscaler, synth.Options{Kind: synth.KindESRGAN}))
	base, err := models.Read("model", sources.Base)
	require.NoError(t, err)
	planner, err := New(t.Context(), b, Options{Sources: sources, Base: base, Log: log})
	require.NoError(t, err)
	held := models.Holding{Strategy: memory.Strategy{Name: strategy}}
	m, err := b.Open(t.Context(), held.Apply(base.Config))
	require.NoError(t, err)
	set, err := models.Open(t.Context(), b, sources, m, base, models.Opening{}, held)
	require.NoError(t, err)
	planner.Opened(set, held)
	planner.Memory.Strategy = strategy
	t.Cleanup(func() {
		require.NoError(t, planner.Close())
		require.NoError(t, set.Close())
		assert.Zero(t, b.LiveModels())
	})
	return bench{planner, set, []string{netFile(t, "one"), netFile(t, "two"), netFile(t, "three")}}
}

// netFile copies the nano ControlNet under another name.
func netFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "models", "nano", "nano-controlnet-canny.safetensors"))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), name+".safetensors")
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

// use opens nets and gives them back after they have loaded their weights, the first first.
func (b bench) use(t *testing.T, nets ...string) {
	t.Helper()
	for _, path := range nets {
		l, err := b.set.ControlNet(t.Context(), path, identity.ID{})
		require.NoError(t, err)
		require.NoError(t, l.Value.Load(t.Context()))
		require.NoError(t, l.Release())
	}
}

// open lists the nets that are open.
func (b bench) open() (out []string) {
	for _, i := range b.set.Idle() {
		if i.Component == memory.ControlNet {
			out = append(out, i.Owner)
		}
	}
	return out
}

// limit bounds the memory to what a job needs by itself, and so much more.
func (b bench) limit(t *testing.T, job memory.Job, more int64) {
	t.Helper()
	b.Memory.MemoryLimit = ""
	plan, err := b.choose(t.Context(), []memory.Job{job}, b.force())
	require.NoError(t, err)
	peak, _ := plan.Peak(memory.HostID)
	b.Memory.MemoryLimit = strconv.FormatInt(memory.Budget{Why: memory.WhyLimit}.Need(peak)+more, 10)
}

// idleIn is what a plan counts as idle, by owner, in one of its stages.
func idleIn(plan memory.Plan, stage string) map[string]int64 {
	out := map[string]int64{}
	for _, s := range plan.Jobs[0].Breakdown.Stages {
		for _, i := range s.Items {
			if s.Name == stage && i.Use == memory.UseIdle {
				out[i.Owner] = i.Bytes
			}
		}
	}
	return out
}

// netBytes is what a ControlNet of the fake takes.
const netBytes = 10000

var picture = memory.Job{Width: 64, Height: 64, Images: 1, Batch: 1, Prompts: 1, Guidance: true}

// TestIdleNetsArePartOfAPlan: where there is room they stay, and the plan counts them in every stage.
func TestIdleNetsArePartOfAPlan(t *testing.T) {
	b := newBench(t, memory.Resident)
	b.use(t, b.nets...)
	job := picture
	job.Controls = b.nets[:1]
	plan, err := b.Now(t.Context(), job)
	require.NoError(t, err)
	for _, stage := range plan.Jobs[0].Breakdown.Stages {
		assert.Equal(t, map[string]int64{b.nets[1]: netBytes, b.nets[2]: netBytes}, idleIn(plan, stage.Name), stage.Name)
		assert.Positive(t, plan.Jobs[0].Breakdown.Of(stage.Name, b.nets[0], memory.ControlNet, memory.UseWeights),
			"the job's own net is in memory before its stage, since an earlier job has left it: %s", stage.Name)
	}
	assert.ElementsMatch(t, b.nets, b.open())
}

// TestIdleNetsGiveWay: those that do not fit beside the job are closed, the least recently used first, but none that the job uses.
func TestIdleNetsGiveWay(t *testing.T) {
	for name, c := range map[string]struct {
		room int64
		kept []int // nets
	}{
		"room for both": {2 * netBytes, []int{0, 1, 2}},
		"for one":       {2*netBytes - 1, []int{0, 2}},
		"for none":      {netBytes - 1, []int{0}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, memory.Resident)
			b.use(t, b.nets...) // the first, which the job uses, is the least recently used one
			job := picture
			job.Controls = b.nets[:1]
			b.limit(t, job, c.room)
			plan, err := b.Now(t.Context(), job)
			require.NoError(t, err)
			assert.Equal(t, memory.Resident, plan.Strategy.Name)
			var kept []string
			want := map[string]int64{}
			for _, i := range c.kept {
				kept = append(kept, b.nets[i])
				if i > 0 {
					want[b.nets[i]] = netBytes
				}
			}
			assert.ElementsMatch(t, kept, b.open())
			assert.Equal(t, want, idleIn(plan, memory.StageDenoise))
		})
	}
}

// TestNetsInUseStay: a net that another job computes with is not idle.
func TestNetsInUseStay(t *testing.T) {
	b := newBench(t, memory.Resident)
	l, err := b.set.ControlNet(t.Context(), b.nets[1], identity.ID{})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Release()) }()
	b.limit(t, picture, 0)
	plan, err := b.Now(t.Context(), picture)
	require.NoError(t, err)
	assert.Empty(t, idleIn(plan, memory.StageDenoise))
	require.NoError(t, l.Value.Load(t.Context()), "it is open")
}

// TestIdleNetsOfStages: where one component at a time may be in memory, an idle net holds nothing and stays. One that was left with its
// weights is closed before the job that uses it begins.
func TestIdleNetsOfStages(t *testing.T) {
	b := newBench(t, memory.Stage)
	job := picture
	job.Controls = b.nets[:1]
	l, err := b.set.ControlNet(t.Context(), b.nets[0], identity.ID{})
	require.NoError(t, err)
	require.NoError(t, l.Release())
	plan, err := b.Now(t.Context(), job)
	require.NoError(t, err)
	require.Equal(t, memory.Stage, plan.Strategy.Name)
	assert.Equal(t, b.nets[:1], b.open())
	assert.Empty(t, idleIn(plan, memory.StageDenoise))

	b.use(t, b.nets[0])
	plan, err = b.Now(t.Context(), job)
	require.NoError(t, err)
	assert.Empty(t, b.open())
	assert.Zero(t, plan.Jobs[0].Breakdown.Of(memory.StageText, b.nets[0], memory.ControlNet, memory.UseWeights))
}

// TestIdleUpscaler: it is counted while it is open, and gives way to a job that does not use it.
func TestIdleUpscaler(t *testing.T) {
	const bytes = 100
	b := newBench(t, memory.Resident)
	l, err := b.set.Upscaler(t.Context())
	require.NoError(t, err)
	require.NoError(t, l.Release())
	plan, err := b.Now(t.Context(), picture)
	require.NoError(t, err)
	assert.Equal(t, map[string]int64{memory.OwnerUpscaler: bytes}, idleIn(plan, memory.StageText))

	larger := picture
	larger.Second, larger.Enlarge, larger.Upscale = true, true, [2]int{32, 32}
	plan, err = b.Now(t.Context(), larger)
	require.NoError(t, err)
	assert.Empty(t, idleIn(plan, memory.StageText))
	assert.Positive(t, plan.Jobs[0].Breakdown.Of(memory.StageText, memory.OwnerUpscaler, memory.Upscaler, memory.UseWeights),
		"it is one of the job's own models, open since the job before")

	b.limit(t, picture, bytes-1)
	plan, err = b.Now(t.Context(), picture)
	require.NoError(t, err)
	assert.Empty(t, idleIn(plan, memory.StageText))
	assert.Empty(t, b.set.Idle())
}
