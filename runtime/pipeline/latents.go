package pipeline

import (
	"errors"
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/rng"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// batch is a group of pictures that are denoised together. All state that changes is in it.
type batch struct {
	number int // from 0
	count  int
	slots  []slot // whose pictures these are
	seeds  []int64

	channels, height, width int // of the latents

	generators   rng.Batch     // one per picture, in the order of their draws in diffusers
	run          scheduler.Run // the loop that is running or comes next: the base's, then the refiner's
	stepsDone    int           // of the loops before it
	controlSteps int           // evaluations that ControlNets' start and end are fractions of: all of the base's but for a hand-over
	unfinished   bool          // noise is left after this loop: the refiner goes on, or denoising_end says so
	second       bool          // this is the second pass of hires: height and width are its own
	latents      []float32     // [count, channels, height, width]
	noise        []float32     // the initial noise, standard normal, same shape
	picture      *encodedPicture
}

// slot is one picture of a batch: of which job, and which of its pictures.
type slot struct {
	job   *job
	index int
}

// size is the number of values of the batch's latents.
func (b *batch) size() int { return b.count * b.channels * b.height * b.width }

// image returns the part of a batch's values that belongs to picture i.
func (b *batch) image(values []float32, i int) []float32 {
	n := len(values) / b.count
	return values[i*n : (i+1)*n]
}

// batches splits n pictures into groups of at most most, as even as they can be.
func batches(n, most int) []int {
	groups := (n + most - 1) / most
	sizes := make([]int, groups)
	for i := range sizes {
		sizes[i] = n / groups
		if i < n%groups {
			sizes[i]++
		}
	}
	return sizes
}

// newBatch makes a batch of count of the job's own pictures.
func (j *job) newBatch(number, start, count int) (*batch, error) {
	slots := make([]slot, count)
	for i := range slots {
		slots[i] = slot{j, start + i}
	}
	return j.newBatchOf(number, slots)
}

// newBatchOf seeds a batch's generators and prepares its schedule.
func (j *job) newBatchOf(number int, slots []slot) (*batch, error) {
	s, count := &j.p.settings, len(slots)
	b := &batch{number: number, count: count, slots: slots, channels: j.p.info.VAE.LatentChannels,
		height: j.req.Height / s.downscale, width: j.req.Width / s.downscale}
	for _, slot := range slots {
		seed := slot.job.req.Seed + int64(slot.index)
		g, err := rng.New(rng.Kind(slot.job.req.RNG), uint64(seed))
		if err != nil {
			return nil, err
		}
		b.seeds, b.generators = append(b.seeds, seed), append(b.generators, g)
	}
	var err error
	b.run, err = j.newRun(count, j.baseRun())
	if err != nil {
		return nil, err
	}
	b.unfinished = j.baseRun().DenoisingEnd > 0
	whole := j.baseRun()
	whole.DenoisingEnd = 0
	all, err := j.newRun(count, whole)
	if err != nil {
		return nil, err
	}
	b.controlSteps = all.NumEvaluations()
	return b, nil
}

// newRun prepares a loop over a batch of count: the request's schedule, cut as opts say.
func (j *job) newRun(count int, opts scheduler.RunOptions) (scheduler.Run, error) {
	spacing, err := scheduler.ResolveSpacing(j.req.Sigmas)
	if err != nil {
		return nil, request.Errors{{Path: "sigmas", Message: err.Error()}}
	}
	opts.BatchSize, opts.Schedule = count, spacing.Schedule
	run, err := j.sched.NewRun(opts)
	if err != nil {
		path := "scheduler"
		var option *scheduler.OptionError
		if errors.As(err, &option) && option.Option == "num_inference_steps" {
			path = option.Option
		}
		return nil, request.Errors{{Path: path, Message: err.Error()}}
	}
	if n := run.OutputsPerValue(); n != 1 {
		c := j.p.info.UNet.OutChannels
		return nil, request.Errors{{Path: "scheduler_options.variance_type", Message: fmt.Sprintf(
			"needs a UNet with %d output channels, one half of them the variance; this one has %d: leave it out", n*c, c)}}
	}
	return run, nil
}

// baseRun is what the base does of the schedule: all of it, from Strength or DenoisingStart on, up to DenoisingEnd or
// where the refiner takes over.
func (j *job) baseRun() scheduler.RunOptions {
	o := scheduler.RunOptions{NumInferenceSteps: j.req.NumInferenceSteps, Strength: j.req.Strength,
		DenoisingStart: j.req.DenoisingStart, DenoisingEnd: j.req.DenoisingEnd}
	if j.handsOver() {
		o.DenoisingEnd = j.req.RefinerStart
	}
	return o
}

// drawNoise makes the initial noise: the given one, or each picture's from its own generator.
func (j *job) drawNoise(b *batch) error {
	b.noise = make([]float32, b.size())
	if given := j.req.Noise.Data; given != nil {
		b.copyGiven(b.noise, given)
		return nil
	}
	return b.generators.Normal(b.noise)
}

// copyGiven copies each picture's part of a given array: the only one, or its own of one for every picture of the job.
func (b *batch) copyGiven(dst, given []float32) {
	for i, slot := range b.slots {
		part := b.image(dst, i)
		from := 0
		if len(given) > len(part) {
			from = slot.index * len(part)
		}
		copy(part, given[from:])
	}
}

// startLatents makes the latents the loop begins with. From noise alone that is noise times the schedule's
// first sigma; from a picture it is the picture's latents with the noise added that the first step expects, or as they
// are where an earlier run left noise in them.
func (j *job) startLatents(b *batch) error {
	b.latents = make([]float32, b.size())
	if j.req.DenoisingStart > 0 {
		copy(b.latents, b.picture.latents)
		return nil
	}
	if b.picture != nil && !b.picture.fromNoise {
		if err := b.run.AddNoise(b.latents, b.picture.latents, b.noise, 0); err != nil {
			return fmt.Errorf("adding noise to init_image: %w", err)
		}
		return nil
	}
	sigma := float32(b.run.InitNoiseSigma())
	for i, v := range b.noise {
		b.latents[i] = v * sigma
	}
	return nil
}

// latentsOf copies one picture's latents out as a tensor of its own.
func (b *batch) latentsOf(i int) backend.Tensor {
	t := backend.NewTensor(1, b.channels, b.height, b.width)
	copy(t.Data, b.image(b.latents, i))
	return t
}
