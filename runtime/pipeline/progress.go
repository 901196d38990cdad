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
	Indices  []int   // of the batch's pictures in their job, for jobs of a Batcher, whose batches need not be First and what follows; otherwise nil

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

// planSteps tells the reports how many steps there will be.
func (j *job) planSteps(batches int) error {
	probe, err := j.newBatch(0, 0, 1)
	if err != nil {
		return err
	}
	j.state.Steps = probe.run.NumSteps()
	if j.refines() {
		refining, err := j.newRun(1, j.refinerRun())
		if err != nil {
			return err
		}
		j.state.Steps += refining.NumSteps()
	}
	if j.req.Hires.On() {
		again, err := j.newRun(1, j.hiresRun())
		if err != nil {
			return err
		}
		j.state.Steps += again.NumSteps()
	}
	j.state.Total = j.state.Steps * batches
	return nil
}

// enter begins a stage: it books the time of the last one and reports.
func (j *job) enter(stage Stage) {
	j.leave()
	j.state.Stage = stage
	if stage == StageDenoise {
		j.state.Step = 0
	}
	j.report(0)
}

// leave books the time since the stage began.
func (j *job) leave() {
	now := time.Now()
	if !j.stageAt.IsZero() {
		spent, t := now.Sub(j.stageAt), &j.res.Timings
		switch j.state.Stage {
		case StageText:
			t.Text += spent
		case StageEncode:
			t.Encode += spent
		case StageDenoise:
			t.Denoise += spent
		case StageUpscale:
			t.Upscale += spent
		case StageDecode:
			t.Decode += spent
		}
	}
	j.stageAt = now
}

// beginBatch starts the clock of a batch's steps.
func (j *job) beginBatch() {
	j.batchAt, j.evalsAt = time.Now(), j.res.Timings.Evaluations
}

// step reports the end of a denoising step, which took so long.
func (j *job) step(step int, took time.Duration) {
	s := &j.state
	s.Step = step
	s.Done = s.Batch*s.Steps + step
	j.res.Timings.Steps = s.Done
	if spent := time.Since(j.batchAt).Seconds(); spent > 0 {
		s.StepsPerSec = float64(step) / spent
		s.EvalsPerSec = float64(j.res.Timings.Evaluations-j.evalsAt) / spent
	}
	j.report(took)
}

// finishImage books a decoded picture, for the estimate of what the next ones take.
func (j *job) finishImage() {
	s := &j.state
	s.Finished++
	j.decoded = (j.res.Timings.Decode + time.Since(j.stageAt)) / time.Duration(s.Finished)
}

// report calls the progress function, if there is one, with a copy of the state.
func (j *job) report(took time.Duration) {
	previews := j.previews
	j.previews = nil
	if j.opt.progress == nil {
		return
	}
	p := j.state
	p.Elapsed, p.StepTime, p.Previews = time.Since(j.began), took, previews
	if p.Done > 0 && p.Stage != StageDone {
		steps := j.res.Timings.Denoise
		if p.Stage == StageDenoise {
			steps += time.Since(j.stageAt)
		}
		p.ETA = steps/time.Duration(p.Done)*time.Duration(p.Total-p.Done) + j.decoded*time.Duration(p.Images-p.Finished)
	}
	j.opt.progress(p)
}
