package pipeline

import (
	"image"
	"time"
)

// Stage names a part of a run, as Progress and Timings report it.
type Stage string

// The stages of a run, in their order. All but the first repeat with every batch.
const (
	StagePlan    Stage = "memory"  // deciding how to fit into memory; in errors only
	StageText    Stage = "text"    // encoding the prompts
	StageEncode  Stage = "encode"  // image-to-image: encoding the picture
	StageDenoise Stage = "denoise" // the UNet's steps
	StageUpscale Stage = "upscale" // hires: on the way to the second pass's size; denoising follows once more
	StageDecode  Stage = "decode"  // the VAE's decoder
	StageDone    Stage = "done"    // everything is finished; reported once
)

// Progress is a moment of one Generate call. The first report of a stage has Step 0; denoising then
// reports after each step. Within a call Done never falls, and it equals Total exactly in the reports that
// follow the last step.
type Progress struct {
	Stage Stage

	Step  int // denoising steps done in this batch
	Steps int // denoising steps of a batch
	Done  int // denoising steps done in this call, over all batches
	Total int // denoising steps of this call: Steps x Batches

	Batch    int     // from 0
	Batches  int     //
	First    int     // index of the batch's first picture
	Count    int     // pictures in this batch, of a Batcher's those of the job
	Together int     // pictures computed together in this batch, other jobs' of a Batcher among them
	Images   int     // pictures of this call
	Finished int     // pictures of this call that are finished
	Seeds    []int64 // of the batch's pictures
	// of the batch's pictures in their job, for jobs of a Batcher, whose batches need not be First and what follows; otherwise nil
	Indices []int

	Elapsed     time.Duration // since Generate began
	StepTime    time.Duration // of the last step; zero in reports of other stages
	ETA         time.Duration // until everything is finished, by the speed so far; zero until it can be told
	StepsPerSec float64       // of this batch so far; zero before its first step
	EvalsPerSec float64       // UNet evaluations of one picture a second in this batch; guidance counts two

	Previews []image.Image // one per picture of the batch, where WithPreview asks for them; otherwise nil
}

// Timings tells how long the stages of a call took together.
type Timings struct {
	Text        time.Duration `json:"text"`
	Encode      time.Duration `json:"encode"`
	Denoise     time.Duration `json:"denoise"`
	Upscale     time.Duration `json:"upscale,omitzero"`
	Decode      time.Duration `json:"decode"`
	Total       time.Duration `json:"total"`
	Steps       int           `json:"steps"`       // denoising steps of all batches
	Evaluations int           `json:"evaluations"` // calls of the UNet times the pictures in each
}

// reporter makes a sitting's reports. It belongs to the sitting's goroutine.
type reporter struct {
	tell    func(Progress) // nil: nobody is told
	state   Progress
	timings Timings

	began    time.Time
	stageAt  time.Time
	batchAt  time.Time // when the batch's steps began
	evalsAt  int       // and how many evaluations there were by then
	decoded  time.Duration
	previews []image.Image
}

func newReporter(tell func(Progress)) *reporter {
	return &reporter{tell: tell, began: time.Now(), state: Progress{Stage: StagePlan}}
}

// begin says what there will be to do: pictures in batches, the first of them of first pictures, with steps each.
func (r *reporter) begin(images, batches, first, steps int) {
	r.state = Progress{Stage: r.state.Stage, Images: images, Batches: batches, Count: first, Together: first, Steps: steps,
		Total: steps * batches}
}

// batch begins a batch, whose first picture is first.
func (r *reporter) batch(number, first int) { r.state.Batch, r.state.First = number, first }

// pictures says which pictures are in the batch.
func (r *reporter) pictures(seeds []int64) {
	r.state.Count, r.state.Together, r.state.Seeds = len(seeds), len(seeds), seeds
}

// enter begins a stage: it books the time of the last one and reports.
func (r *reporter) enter(stage Stage) {
	if stage == StageDenoise {
		r.state.Step = 0
	}
	r.resume(stage)
}

// resume is enter without counting steps from 0.
func (r *reporter) resume(stage Stage) {
	r.leave()
	r.state.Stage = stage
	r.report(0)
}

// leave books the time since the stage began.
func (r *reporter) leave() {
	now := time.Now()
	t := &r.timings
	if booked, ok := map[Stage]*time.Duration{StageText: &t.Text, StageEncode: &t.Encode, StageDenoise: &t.Denoise, StageUpscale: &t.Upscale,
		StageDecode: &t.Decode}[r.state.Stage]; ok {
		*booked += now.Sub(r.stageAt)
	}
	r.stageAt = now
}

// beginSteps starts the clock of a batch's steps.
func (r *reporter) beginSteps() { r.batchAt, r.evalsAt = time.Now(), r.timings.Evaluations }

// step reports the end of a denoising step, which took so long.
func (r *reporter) step(step int, took time.Duration) {
	s := &r.state
	s.Step, s.Done = step, s.Batch*s.Steps+step
	r.timings.Steps = s.Done
	if spent := time.Since(r.batchAt).Seconds(); spent > 0 {
		s.StepsPerSec = float64(step) / spent
		s.EvalsPerSec = float64(r.timings.Evaluations-r.evalsAt) / spent
	}
	r.report(took)
}

// finished books a decoded picture, for the estimate of what the next ones take.
func (r *reporter) finished() {
	r.state.Finished++
	r.decoded = (r.timings.Decode + time.Since(r.stageAt)) / time.Duration(r.state.Finished)
}

// report calls the progress function, if there is one, with a copy of the state.
func (r *reporter) report(took time.Duration) {
	p := r.state
	p.Previews, r.previews = r.previews, nil
	if r.tell == nil {
		return
	}
	p.Elapsed, p.StepTime = time.Since(r.began), took
	if p.Done > 0 && p.Stage != StageDone {
		steps := r.timings.Denoise
		if p.Stage == StageDenoise {
			steps += time.Since(r.stageAt)
		}
		p.ETA = steps/time.Duration(p.Done)*time.Duration(p.Total-p.Done) + r.decoded*time.Duration(p.Images-p.Finished)
	}
	r.tell(p)
}

// done returns what was booked, up to now.
func (r *reporter) done() Timings {
	r.timings.Total = time.Since(r.began)
	return r.timings
}
