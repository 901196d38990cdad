// Package scheduler implements the diffusion schedulers of Hugging Face's diffusers that serve SDXL,
// numerically equal to it, with no dependency beyond the standard library.
//
// A [Scheduler] is an algorithm with its options and precomputed tables; it is immutable and may be
// used by any number of goroutines. A [Run] is one denoising loop over one batch of latents; all
// changing state lives in it, so that runs never touch each other. A Run belongs to one goroutine.
//
//	s, err := scheduler.New("DPM++ 2M Karras", scheduler.SDXLDefaults())
//	run, err := s.NewRun(scheduler.RunOptions{NumInferenceSteps: 30, BatchSize: n})
//	// latents = noise * run.InitNoiseSigma()
//	for i, t := range run.Timesteps() {
//		err = run.ScaleModelInput(input, latents, i)
//		// modelOutput = unet(input, t)
//		err = run.Step(latents, modelOutput, latents, i, noise)
//	}
//
// The loop is the same for every scheduler. Some evaluate the model several times in one step (Heun,
// KDPM2, PNDM); the loop then has more rounds than steps, and [Run.StepOf] tells which step an evaluation is
// part of.
//
// Latents are contiguous float32 arrays [N, C, H, W]. A scheduler only needs the number of images, for options that look at one image at
// a time (thresholding).
//
// # Names and options
//
// [New] takes diffusers' class names, snake_case, and the sampler names of AUTOMATIC1111, ComfyUI and
// stable-diffusion.cpp; [ResolveSpacing] takes their words for the spacing of noise levels. Samplers that diffusers does
// not have are refused, and the error names the closest scheduler. [Config] has every option of every scheduler. It can
// be read from a diffusers scheduler_config.json ([ParseConfig], [FromJSON]) or a decoded table ([ConfigFromMap]), and
// carried from one scheduler to another. [Describe] lists a scheduler's options, defaults and names.
//
// # Fallbacks
//
// If a scheduler cannot do what you ask, it does the nearest thing, and Scheduler.Notes or Run.Notes say so. Schedulers made by
// [NewStrict] return an error instead. docs/schedulers.md lists the fallbacks, and the differences from diffusers.
//
// # Adding a scheduler
//
// Four files are written by hand:
//
//   - schedulers.json, with the scheduler's names, options, defaults and needs;
//   - a file of its own, with its formula;
//   - registry.go, which joins the two;
//   - tools/schedgoldens/cases.py, with the cases in which it is compared.
//
// docs/architecture.md has an example. tools/schedgoldens then makes the goldens and defaults.json in testdata. tools/schedbench makes
// characteristics.json and the table in docs/schedulers.md. The tests of this package run on every scheduler that is listed. A new
// option is a field of Config too.
package scheduler
