package prepare

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/prompt"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// Prepared is a request with everything resolved. It is not changed after Prepare.
type Prepared struct {
	Request    request.Request  // every default filled in, the seed chosen, inputs read
	Texts      *request.Request // the same, its prompts without the tags of adapters
	AskedBatch int              // max_batch of the request; 0: it does not say
	Scheduler  scheduler.Scheduler
	Adapters   Adapters
	Controls   []Control
	IPAdapters []IPAdapter
	Refines    bool           // a refiner takes part
	Tokens     [3]int         // chunks of the texts: see conditioning.Texts.Chunks
	Reader     *prompt.Reader // of its texts; nil where nothing can be tokenized
	Embeddings []string       // files that its texts may take embeddings from
	Warnings   []string
	Steps      int                 // denoising steps of each picture: the base's, the refiner's and the second pass's
	Passes     []conditioning.Pass // of those steps
	Parts      int                 // prompts of the positive half: those that AND joins, or of regions
	Alone      bool                // regions cover the picture: Request.Prompt counts nowhere
	Change     backend.UNetChange  // inside the base's UNet; of rows only whether there are any
	Said       int                 // different texts of all steps
	Variety    int                 // different texts that the seeds of pictures draw; 0: they have the same
	Drawn      *Texts              // what was made of the request's texts by styles and draws; nil: nothing
	Pictures   []*Prepared         // of each picture, where their texts are drawn; nil: they have the same
	Phrases    []string            // files that texts were taken from
	Details    []*Prepared         // passes over parts of the finished picture, without that picture
	Finder     *Finder             // of such a pass: what finds its parts; nil: they are given

	channels int // of the UNet's output
}

// Control is one of a request's ControlNets.
type Control struct {
	controlnet.Net
	Path      string      // of its weights
	ID        identity.ID // of that file, when it was found; zero: the backend has no files
	UnionType string
	Joined    bool // with the others of its file that are joined
	XS        bool // a ControlNet-XS
}

// OneSided reports whether the net acts on the positive half of guidance only.
func (c *Control) OneSided() bool { return c.Mode == controlnet.Control }

// HandsOver reports whether the base stops with noise left, for the refiner to continue.
func (p *Prepared) HandsOver() bool {
	return p.Refines && p.Request.RefinerMode == request.RefinerEnsemble
}

// FirstPass is what the base does of its schedule: all of it, from Strength or DenoisingStart on, up to DenoisingEnd or to where the
// refiner takes over.
func (p *Prepared) FirstPass() scheduler.RunOptions {
	r := &p.Request
	o := scheduler.RunOptions{NumInferenceSteps: r.NumInferenceSteps, Strength: r.Strength, DenoisingStart: r.DenoisingStart,
		DenoisingEnd: r.DenoisingEnd}
	if p.HandsOver() {
		o.DenoisingEnd = r.RefinerStart
	}
	return o
}

// RefinerPass is what the refiner does of the schedule: the rest from RefinerStart on, or as image-to-image the end that RefinerStrength
// says.
func (p *Prepared) RefinerPass() scheduler.RunOptions {
	r := &p.Request
	o := scheduler.RunOptions{NumInferenceSteps: cmp.Or(r.RefinerSteps, r.NumInferenceSteps), DenoisingEnd: r.DenoisingEnd}
	if p.HandsOver() {
		o.DenoisingStart = r.RefinerStart
	} else {
		o.Strength = r.RefinerStrength
	}
	return o
}

// SecondPass is what the second pass of hires does of its schedule.
func (p *Prepared) SecondPass() scheduler.RunOptions {
	return scheduler.RunOptions{NumInferenceSteps: p.Request.Hires.Steps, Strength: p.Request.Hires.Strength}
}

// NewRun prepares a loop over a batch of count pictures: the request's schedule, cut as opts say.
func (p *Prepared) NewRun(count int, opts scheduler.RunOptions) (scheduler.Run, error) {
	spacing, err := scheduler.ResolveSpacing(p.Request.Sigmas)
	if err != nil {
		return nil, request.Errors{{Path: "sigmas", Message: err.Error()}}
	}
	opts.BatchSize, opts.Schedule = count, spacing.Schedule
	run, err := p.Scheduler.NewRun(opts)
	if err != nil {
		path := "scheduler"
		var option *scheduler.OptionError
		if errors.As(err, &option) && option.Option == "num_inference_steps" {
			path = option.Option
		}
		return nil, request.Errors{{Path: path, Message: err.Error()}}
	}
	if n := run.OutputsPerValue(); n != 1 {
		return nil, request.Errors{{Path: "scheduler_options.variance_type", Message: fmt.Sprintf(
			"needs a UNet with %d output channels, one half of them the variance; this one has %d: leave it out", n*p.channels, p.channels)}}
	}
	return run, nil
}

// schedule counts the steps of all passes, which also checks that the scheduler can make them.
func (p *Prepared) schedule() error {
	passes := []scheduler.RunOptions{p.FirstPass()}
	if p.Refines {
		passes = append(passes, p.RefinerPass())
	}
	if p.Request.Hires.On() {
		passes = append(passes, p.SecondPass())
	}
	for i, o := range passes {
		run, err := p.NewRun(1, o)
		if err != nil {
			return err
		}
		if err := checkPlusPlus(&p.Request, run, p.Scheduler.Name()); err != nil {
			return err
		}
		n := run.NumSteps()
		p.Steps += n
		if p.HandsOver() && i == 1 {
			p.Passes[0].Steps += n // it goes on
			continue
		}
		p.Passes = append(p.Passes, conditioning.Pass{Steps: n, Second: p.Request.Hires.On() && i == len(passes)-1})
	}
	return nil
}

// LargestPass returns the size of the larger pass, in pixels.
func (p *Prepared) LargestPass() (width, height int) { return largestPass(&p.Request) }

func largestPass(r *request.Request) (width, height int) {
	if r.Hires.On() {
		return r.Hires.Width, r.Hires.Height
	}
	return r.Width, r.Height
}

// MaxAutoBatch bounds a batch whose size nobody chose.
const MaxAutoBatch = 16

// autoBatchPixels bounds it too: its memory stays near that of one picture of SDXL's own size.
const autoBatchPixels = 1 << 20

// autoBatch is the batch that nobody chose.
func autoBatch(width, height int) int {
	return min(max(autoBatchPixels/max(width*height, 1), 1), MaxAutoBatch)
}

// AutoBatch is how many of the request's pictures make about a megapixel together.
func (p *Prepared) AutoBatch() int { return autoBatch(p.LargestPass()) }

// estimateChunks is about how many chunks of 77 tokens the longest of a request's texts fills, where nobody can tokenize: three tokens for
// two words.
func estimateChunks(r *request.Request) int {
	n := 1
	for _, p := range prompts(r) {
		n = max(n, (len(strings.Fields(*p.text))*3/2+74)/75)
	}
	return n
}
