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
// Latents are contiguous float32 arrays [N, C, H, W]; only the number of images matters to a
// scheduler, and only to those options that look at one image at a time (thresholding).
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
// Where a scheduler cannot do what is asked, the nearest thing it can do is done and reported by Scheduler.Notes or
// Run.Notes; schedulers made by [NewStrict] return an error instead:
//
//   - an option that the scheduler does not have is ignored;
//   - words of algorithm_type and solver_type that belong to another scheduler become this one's default (as in diffusers);
//   - algorithm_type dpmsolver, sde-dpmsolver and predict_x0 false cannot end at noise level 0: final_sigmas_type sigma_min;
//   - UniPC of higher order without lower_order_final cannot end at noise level 0: lower_order_final is switched on;
//   - sde-dpmsolver, and sde-dpmsolver++ in the EDM solver, have no third order: solver_order 2;
//   - PNDM's Runge-Kutta beginning needs four steps and a run from the start: skip_prk_steps;
//   - LCM and TCD with more steps than original_inference_steps: that many are taken for the original ones.
//
// # Differences from diffusers
//
// Timesteps, noise levels and samples agree with diffusers (see the goldens in testdata and tools/schedgoldens). Where
// diffusers fails or divides by zero, this package goes on:
//
//   - "leading" with an offset that leads beyond training's last timestep uses a smaller offset; with so many steps that every
//     timestep would be the same, the DPM-Solver family uses "linspace";
//   - multistep solvers leave out earlier predictions at a noise level equal to the next (rounded timesteps can repeat);
//   - LMSDiscrete begins with low order when a run starts in the middle (see lms_discrete.go);
//   - num_train_timesteps follows from trained_betas;
//   - noise levels at the middle evaluation of KDPM2 and DPMSolverSDE (Run.Sigmas, AddNoise) are those of the sample there, where
//     diffusers' tables repeat the level of the step's end;
//   - prediction_type sample works with EulerAncestral, KDPM2, KDPM2Ancestral and DPMSolverSDE too;
//   - add_noise of SASolver takes the levels of the flow under use_flow_sigmas (diffusers': those of ordinary training);
//   - a learned variance comes with any number of channels (diffusers' solvers take the first three for the prediction);
//   - use_flow_sigmas with another spacing, which diffusers would take for levels of the flow, is refused;
//   - DPMSolverSDE takes its noise from the NoiseSource (see dpmsolver_sde.go).
//
// Options of diffusers by which a pipeline computes the shift of a flow (use_dynamic_shifting, time_shift_type) are
// accepted only where they do nothing; flow_shift says the same. UniPC's solver_p is a class name here.
//
// # Adding a scheduler
//
// Three files are written by hand: the scheduler's own, with its names, options, defaults and needs; registry.go, which
// lists it; and tools/schedgoldens/cases.py, with the cases that it is compared in. Goldens and defaults.json in testdata
// are then made by tools/schedgoldens, characteristics.json and the table in docs/schedulers.md by tools/schedbench. The
// tests of this package run on every scheduler that is listed. An option that no scheduler has yet is a field of Config too.
package scheduler
