package scheduler

// Config holds the options of every scheduler, named as in diffusers. A nil pointer, an empty string or a nil slice means the default of
// the scheduler that it is used with. So you can carry a Config from one scheduler to another (diffusers' from_config). Options that a
// scheduler does not have are ignored and named in [Scheduler.Notes]; [NewStrict] refuses them.
//
// Build literals with Go's new: Config{UseKarrasSigmas: new(true), SChurn: new(0.5)}.
type Config struct {
	// The training noise schedule.

	NumTrainTimesteps   *int      `json:"num_train_timesteps,omitempty"`    // 1000
	BetaStart           *float64  `json:"beta_start,omitempty"`             // SDXL: 0.00085
	BetaEnd             *float64  `json:"beta_end,omitempty"`               // SDXL: 0.012
	BetaSchedule        string    `json:"beta_schedule,omitempty"`          // "linear", "scaled_linear", "squaredcos_cap_v2", ...
	TrainedBetas        []float64 `json:"trained_betas,omitempty"`          // replaces the four above
	RescaleBetasZeroSNR *bool     `json:"rescale_betas_zero_snr,omitempty"` // arXiv:2305.08891, algorithm 1
	PredictionType      string    `json:"prediction_type,omitempty"`        // "epsilon", "v_prediction", "sample"; some: "flow_prediction"

	// Which timesteps and noise levels are visited.

	TimestepSpacing      string   `json:"timestep_spacing,omitempty"`         // "leading", "linspace", "trailing"
	StepsOffset          *int     `json:"steps_offset,omitempty"`             // added by "leading"
	InterpolationType    string   `json:"interpolation_type,omitempty"`       // "linear", "log_linear"
	TimestepType         string   `json:"timestep_type,omitempty"`            // "discrete", "continuous"
	UseKarrasSigmas      *bool    `json:"use_karras_sigmas,omitempty"`        // arXiv:2206.00364, equation 5
	UseExponentialSigmas *bool    `json:"use_exponential_sigmas,omitempty"`   // evenly spaced logarithms
	UseBetaSigmas        *bool    `json:"use_beta_sigmas,omitempty"`          // arXiv:2407.12173
	UseLuLambdas         *bool    `json:"use_lu_lambdas,omitempty"`           // arXiv:2206.00927
	UseFlowSigmas        *bool    `json:"use_flow_sigmas,omitempty"`          // flow-matching models: see flow.go
	FlowShift            *float64 `json:"flow_shift,omitempty"`               // of those: towards noise
	ShiftTerminal        *float64 `json:"shift_terminal,omitempty"`           // of those, UniPC: the last level
	SigmaMin             *float64 `json:"sigma_min,omitempty"`                // ends of the spacings above; EDM: of the schedule
	SigmaMax             *float64 `json:"sigma_max,omitempty"`                //
	FinalSigmasType      string   `json:"final_sigmas_type,omitempty"`        // "zero", "sigma_min"
	SetAlphaToOne        *bool    `json:"set_alpha_to_one,omitempty"`         // the level after the last step: 0 or that of timestep 0
	OriginalInferSteps   *int     `json:"original_inference_steps,omitempty"` // LCM, TCD: steps the model was distilled from
	TimestepScaling      *float64 `json:"timestep_scaling,omitempty"`         // LCM
	LambdaMinClipped     *float64 `json:"lambda_min_clipped,omitempty"`       // DPM-Solvers
	Rho                  *float64 `json:"rho,omitempty"`                      // EDM
	SigmaData            *float64 `json:"sigma_data,omitempty"`               // EDM
	SigmaSchedule        string   `json:"sigma_schedule,omitempty"`           // EDM: "karras", "exponential"

	// How a step is made.

	SolverOrder      *int     `json:"solver_order,omitempty"`
	SolverType       string   `json:"solver_type,omitempty"`    // "midpoint", "heun"; DEIS: "logrho"; UniPC: "bh1", "bh2"
	AlgorithmType    string   `json:"algorithm_type,omitempty"` // "dpmsolver++", "sde-dpmsolver++", ...
	VarianceType     string   `json:"variance_type,omitempty"`  // DDPM: "fixed_small", ...; some: "learned", "learned_range"
	LowerOrderFinal  *bool    `json:"lower_order_final,omitempty"`
	EulerAtFinal     *bool    `json:"euler_at_final,omitempty"`
	PredictX0        *bool    `json:"predict_x0,omitempty"`
	DisableCorrector []int    `json:"disable_corrector,omitempty"`  // UniPC: evaluations without the corrector
	SolverP          string   `json:"solver_p,omitempty"`           // UniPC: class that predicts in its place
	PredictorOrder   *int     `json:"predictor_order,omitempty"`    // SASolver
	CorrectorOrder   *int     `json:"corrector_order,omitempty"`    // SASolver
	Tau              *float64 `json:"tau,omitempty"`                // SASolver: amount of noise within [tau_end, tau_start]
	TauStart         *float64 `json:"tau_start,omitempty"`          // SASolver: timestep, the noisy end
	TauEnd           *float64 `json:"tau_end,omitempty"`            // SASolver: timestep
	SkipPRKSteps     *bool    `json:"skip_prk_steps,omitempty"`     // PNDM
	NoiseSamplerSeed *int     `json:"noise_sampler_seed,omitempty"` // DPMSolverSDE: accepted, the NoiseSource decides

	// What the predicted picture is held to.

	ClipSample               *bool    `json:"clip_sample,omitempty"`
	ClipSampleRange          *float64 `json:"clip_sample_range,omitempty"`
	Thresholding             *bool    `json:"thresholding,omitempty"` // arXiv:2205.11487, section 2.3; not for latents
	DynamicThresholdingRatio *float64 `json:"dynamic_thresholding_ratio,omitempty"`
	SampleMaxValue           *float64 `json:"sample_max_value,omitempty"`

	// Arguments of step() in diffusers, options here.

	SChurn                *float64 `json:"s_churn,omitempty"` // Euler, EDMEuler: arXiv:2206.00364, algorithm 2
	STmin                 *float64 `json:"s_tmin,omitempty"`
	STmax                 *float64 `json:"s_tmax,omitempty"`
	SNoise                *float64 `json:"s_noise,omitempty"`
	Eta                   *float64 `json:"eta,omitempty"`                      // DDIM, TCD: 0 deterministic
	UseClippedModelOutput *bool    `json:"use_clipped_model_output,omitempty"` // DDIM
	LMSOrder              *int     `json:"lms_order,omitempty"`                // LMSDiscrete: 4
}

// SDXLDefaults returns what scheduler_config.json of SDXL base 1.0 sets (the refiner's is equal).
func SDXLDefaults() Config { return described.SDXL.Clone() }
