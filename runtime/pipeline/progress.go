package pipeline

import (
	"image"
	"time"
)

// Stage names a part of a run, as Progress and Timings report it.
type Stage string

// The stages of a run, in their order. All but the first repeat with every batch.
const (
	StageText    Stage = "text"    // encoding the prompts
	StageEncode  Stage = "encode"  // image-to-image: encoding the picture
	StageDenoise Stage = "denoise" // the UNet's steps
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

	Batch   int     // from 0
	Batches int     //
	First   int     // index of the batch's first picture
	Count   int     // pictures in this batch
	Images  int     // pictures of this call
	Seeds   []int64 // of the batch's pictures

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
	Decode      time.Duration `json:"decode"`
	Total       time.Duration `json:"total"`
	Steps       int           `json:"steps"`       // denoising steps of all batches
	Evaluations int           `json:"evaluations"` // calls of the UNet times the pictures in each
}
