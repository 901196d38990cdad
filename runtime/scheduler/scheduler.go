package scheduler

// Scheduler is one algorithm with its options. It is immutable and safe for concurrent use.
type Scheduler interface {
	// Name returns the diffusers class name, for example "EulerDiscreteScheduler".
	Name() string
	// Config returns the options in force, with every option that the algorithm knows set. The caller
	// may change the value freely.
	Config() Config
	// Notes tells in words what was decided while the scheduler was made: options that it
	// does not have and ignored, and fallbacks that were taken. Empty when all was taken as asked.
	Notes() []string
	// NewRun prepares one denoising loop.
	NewRun(opts RunOptions) (Run, error)
}

// RunOptions say how one loop runs. Exactly one of NumInferenceSteps, Timesteps and Sigmas must be set.
type RunOptions struct {
	// NumInferenceSteps is the number of steps of the whole schedule, before Strength,
	// DenoisingStart and DenoisingEnd cut it.
	NumInferenceSteps int
	// Timesteps are custom timesteps, descending, in units of training timesteps (0 .. 999 for
	// SDXL). Not every scheduler takes them; those that do not return an error.
	Timesteps []float64
	// Sigmas are custom noise levels, descending, one more than there are steps; the last is usually
	// 0. Not every scheduler takes them.
	Sigmas []float64
	// Schedule names a table of noise levels for NumInferenceSteps steps; see [ScheduleSigmas]. Schedulers that
	// take neither custom sigmas nor custom timesteps refuse it.
	Schedule Schedule
	// BatchSize is the number of images in the latents; 0 means 1.
	BatchSize int
	// Strength in (0, 1] starts an image-to-image run: only the last int(steps*Strength) steps
	// are made, from the original image with noise added by AddNoise(..., 0). 0 means a
	// run from pure noise. Ignored when DenoisingStart is set, as in diffusers.
	Strength float64
	// DenoisingStart in (0, 1) skips the part of the schedule that another model has done: the loop
	// begins with the first timestep below num_train_timesteps*(1-DenoisingStart). The
	// latents are taken as they are, without noise added. 0 means not set.
	DenoisingStart float64
	// DenoisingEnd in (0, 1) ends the loop early, for another model to continue: timesteps below
	// num_train_timesteps*(1-DenoisingEnd) are left out. 0 means not set.
	DenoisingEnd float64
}

// NoiseSource yields the noise of stochastic schedulers.
//
// Normal fills dst, a whole batch [N, C, H, W], with standard normal values. To make a
// picture independent of the batch it is computed in, fill each image's part from that image's
// own generator. A Run asks once per evaluation at most and always for the whole batch, at the points where diffusers
// draws from its generator.
type NoiseSource interface {
	Normal(dst []float32) error
}

// NoiseFunc makes a function a NoiseSource.
type NoiseFunc func(dst []float32) error

// Normal calls f.
func (f NoiseFunc) Normal(dst []float32) error { return f(dst) }

// Run is one denoising loop. Evaluations of the model are numbered i = 0 .. NumEvaluations()-1
// within the run, after Strength, DenoisingStart and DenoisingEnd have been applied.
//
// Buffers belong to the caller and are not kept. dst may be the same slice as sample (or original); it
// must not overlap modelOutput or noise. All slices of one call have the same length, a multiple of the batch size;
// modelOutput has OutputsPerValue times that. The length stays the same over the run. After the first Step no
// method allocates.
type Run interface {
	// NumEvaluations is the number of model evaluations, that is, of rounds of the loop.
	NumEvaluations() int
	// NumSteps is the number of steps, for showing progress; a step has one evaluation or more.
	NumSteps() int
	// StepOf returns the step, 0 .. NumSteps()-1, that evaluation i is part of.
	StepOf(i int) int
	// Timesteps returns the timestep to give to the model at each evaluation; it must not be changed.
	Timesteps() []float64
	// Sigmas returns the noise level in the variance-exploding sense, sqrt((1-a)/a) with a =
	// alphas_cumprod, at each evaluation and, as one value more, after the last. It is +Inf where
	// nothing of the picture is left (zero terminal SNR). It must not be changed.
	Sigmas() []float64
	// InitNoiseSigma is what standard normal noise is multiplied by to make the first latents of a
	// run that starts from pure noise.
	InitNoiseSigma() float64
	// Stochastic reports whether Step draws noise; if not, Step may be given a nil NoiseSource.
	Stochastic() bool
	// OutputsPerValue is the number of values that the model yields for each of the sample: 1, or 2 with variance_type learned and
	// learned_range, where a picture's output [2C, H, W] is the prediction followed by the variance.
	OutputsPerValue() int
	// Notes tells in words which fallbacks were taken for this run because the scheduler cannot
	// make it as asked; it must not be changed. [NewStrict] refuses such runs.
	Notes() []string
	// ScaleModelInput writes the model's input for evaluation i into dst.
	ScaleModelInput(dst, sample []float32, i int) error
	// Step takes the model's output of evaluation i and the sample it was computed for (unscaled), and
	// writes the next sample into dst. Evaluations must come in order; i = 0 starts the run afresh.
	Step(dst, modelOutput, sample []float32, i int, noise NoiseSource) error
	// PredOriginalSample writes the picture's latents as the model sees them at evaluation i (x0),
	// for previews. It changes no state and may be called before the Step of the same i.
	PredOriginalSample(dst, modelOutput, sample []float32, i int) error
	// AddNoise writes original with noise added up to the level of evaluation i into dst;
	// i = NumEvaluations() is the level after the last one. It changes no state.
	AddNoise(dst, original, noise []float32, i int) error
}
