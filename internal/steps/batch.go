package steps

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/pictures"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/rng"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// Member is what the loop knows of one request.
type Member struct {
	*prepare.Prepared
	Base     *conditioning.Encoder
	Refiner  *conditioning.Encoder // nil before the refiner is open
	Adapters conditioning.Adapters // of the base; nil: none
	Controls []*Control
	Pictures []*Shown         // of IP-Adapters, for the base
	Source   *pictures.Source // nil: the request begins with noise, or with latents

	shares map[[2]int][][]float32 // of its regions, by the latents' height and width
}

// Slot is one picture of a batch: of which request, and which of its pictures.
type Slot struct {
	Member *Member
	Index  int
}

// Batch is a group of pictures that are denoised together. Their requests agree in everything that is the same for a batch; the first
// one's is taken. All state that changes is here. It belongs to one goroutine.
type Batch struct {
	Slots   []Slot
	Seeds   []int64
	Members []*Member // the requests of Slots, each once

	Channels, Height, Width int       // of the latents
	Latents                 []float32 // [pictures, Channels, Height, Width]

	settings     *models.Settings
	generators   rng.Batch     // one for each picture, drawn from in the order of diffusers
	run          scheduler.Run // the loop that runs or comes next
	stepsDone    int           // of the loops before it
	controlSteps int           // evaluations that ControlNets' start and end are fractions of
	unfinished   bool          // noise is left after this loop: the refiner goes on, or denoising_end says so
	second       bool          // this is the second pass of hires: Height and Width are its own
	noise        []float32     // the initial noise, standard normal, in the shape of Latents
	given        *given        // nil: nothing but noise
	soft         progress      // of the schedule, for soft masks
	span         span          // of the schedule, for parts of its steps
	residuals    *residuals    // of this loop's ControlNets
	blocks       *blocks       // of its T2I-Adapters
	at           int           // which tile of the pass this is, 0 where there are none
}

// NewBatch seeds the generators of pictures and prepares their first loop. channels is that of the latents.
func NewBatch(settings *models.Settings, channels int, slots []Slot) (*Batch, error) {
	lead := slots[0].Member
	b := &Batch{Slots: slots, settings: settings, Channels: channels,
		Height: lead.Request.Height / settings.Downscale, Width: lead.Request.Width / settings.Downscale}
	seen := map[*Member]bool{}
	for _, slot := range slots {
		if !seen[slot.Member] {
			seen[slot.Member] = true
			b.Members = append(b.Members, slot.Member)
		}
		r := &slot.Member.Request
		seed := r.Seed + int64(slot.Index)
		g, err := rng.New(rng.Kind(r.RNG), uint64(seed))
		if err != nil {
			return nil, err
		}
		b.Seeds, b.generators = append(b.Seeds, seed), append(b.generators, g)
	}
	first := lead.FirstPass()
	var err error
	if b.run, err = lead.NewRun(len(slots), first); err != nil {
		return nil, err
	}
	if err := b.countWhole(first); err != nil {
		return nil, err
	}
	if err := b.spread(first); err != nil {
		return nil, err
	}
	b.unfinished = first.DenoisingEnd > 0
	first.DenoisingEnd = 0 // ControlNets count the steps that a refiner makes, too
	whole, err := lead.NewRun(len(slots), first)
	if err != nil {
		return nil, err
	}
	b.controlSteps = whole.NumEvaluations()
	return b, nil
}

// Len is the number of pictures.
func (b *Batch) Len() int { return len(b.Slots) }

// lead is the request that is taken for what all agree in.
func (b *Batch) lead() *Member { return b.Slots[0].Member }

// size is the number of values of the latents.
func (b *Batch) size() int { return b.Len() * b.Channels * b.Height * b.Width }

// image returns the part of a batch's values that belongs to picture i.
func (b *Batch) image(values []float32, i int) []float32 {
	n := len(values) / b.Len()
	return values[i*n : (i+1)*n]
}

// Tensor is a batch's values as a tensor, which shares them.
func (b *Batch) Tensor(values []float32) backend.Tensor {
	return backend.Tensor{Shape: []int{b.Len(), b.Channels, b.Height, b.Width}, Data: values}
}

// LatentsOf copies one picture's latents out as a tensor of its own.
func (b *Batch) LatentsOf(i int) backend.Tensor {
	t := backend.NewTensor(1, b.Channels, b.Height, b.Width)
	copy(t.Data, b.image(b.Latents, i))
	return t
}

// Names says which pictures of their requests some are.
func (b *Batch) Names(pictures []int) string {
	names := make([]string, len(pictures))
	for k, i := range pictures {
		names[k] = fmt.Sprint(b.Slots[i].Index)
	}
	if len(names) == 1 {
		return "picture " + names[0]
	}
	return "one of the pictures " + strings.Join(names, ", ")
}

// Control is one of a request's ControlNets, ready to be asked. It acts as in StableDiffusionXLControlNetPipeline, single and multi; mode
// control is its guess_mode. Or it is a T2I-Adapter, and acts as in StableDiffusionXLAdapterPipeline.
type Control struct {
	net    models.Model
	spec   prepare.Control
	canvas pictures.Canvas    // that its picture is cut for; nil: it is shown whole
	hint   hints              // of the control picture, or an adapter's features; the same in every step
	second hints              // the same at the size of a second pass
	scales []float32          // weight of each residual, or of each block of features
	kind   int                // of a Union net
	kinds  []backend.HintKind // of a Union net that sees several pictures, whose hints are rows of hint; nil: one
}

// hints are embedded control pictures: of each tile of a pass, or one of the whole.
type hints []backend.Tensor

// countWhole prepares soft masks for a loop that begins a schedule.
func (b *Batch) countWhole(o scheduler.RunOptions) error {
	if !b.lead().Request.Inpaint.Soft {
		return nil
	}
	start := o.DenoisingStart
	o.Strength, o.DenoisingStart, o.DenoisingEnd = 0, 0, 0
	whole, err := b.lead().NewRun(b.Len(), o)
	if err != nil {
		return err
	}
	n := whole.NumEvaluations()
	b.soft = progress{n, int(start * float64(n))}
	return nil
}

// span says where a loop's steps are among those of its whole pass. Parts of the steps are of the whole: what an earlier run or the base
// has done counts, and what a later run or the refiner will do.
type span struct {
	first, whole int
}

// spread counts the steps of a pass, where the request asks for parts of them.
func (b *Batch) spread(o scheduler.RunOptions) error {
	b.span = span{}
	if r := &b.lead().Request; !r.GuidanceInterval() && r.Reuse == (request.Reuse{}) {
		return nil
	}
	first, whole, err := b.lead().Span(o)
	b.span = span{first, whole}
	return err
}
