package scheduler

import "github.com/daguerre-go/daguerre/internal/words"

// alias maps names used elsewhere to a diffusers class and the options that make them equal.
type alias struct {
	names  []string
	class  string
	preset Config
}

// aliases are the sampler names of AUTOMATIC1111 (as shown, and its "k_" aliases), ComfyUI and stable-diffusion.cpp,
// after the table in diffusers' documentation (API, schedulers, overview). Spellings that differ only in case,
// spaces, "_", "-" and "." are one name; class names, with or without "Scheduler", need no entry.
var aliases = []alias{
	{names: []string{"Euler", "k_euler"}, class: "EulerDiscreteScheduler"},
	{names: []string{"Euler a", "Euler ancestral", "k_euler_a", "k_euler_ancestral"}, class: "EulerAncestralDiscreteScheduler"},
	{names: []string{"Heun", "k_heun"}, class: "HeunDiscreteScheduler"},
	{names: []string{"DPM2", "k_dpm_2", "KDPM2"}, class: "KDPM2DiscreteScheduler"},
	{names: []string{"DPM2 a", "DPM 2 ancestral", "k_dpm_2_a", "k_dpm_2_ancestral", "KDPM2 ancestral"}, class: "KDPM2AncestralDiscreteScheduler"},
	{names: []string{"LMS", "k_lms"}, class: "LMSDiscreteScheduler"},
	{names: []string{"DPM++ 2M", "dpmpp_2m", "k_dpmpp_2m"}, class: "DPMSolverMultistepScheduler", preset: dpm2M("dpmsolver++", "midpoint")},
	{names: []string{"DPM++ 2M SDE", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu", "k_dpmpp_2m_sde"}, class: "DPMSolverMultistepScheduler", preset: dpm2M("sde-dpmsolver++", "midpoint")},
	{names: []string{"DPM++ 2M SDE Heun", "dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun_gpu", "k_dpmpp_2m_sde_heun"}, class: "DPMSolverMultistepScheduler", preset: dpm2M("sde-dpmsolver++", "heun")},
	{names: []string{"DPM++ 3M SDE", "dpmpp_3m_sde", "dpmpp_3m_sde_gpu", "k_dpmpp_3m_sde"}, class: "DPMSolverMultistepScheduler",
		preset: Config{AlgorithmType: "sde-dpmsolver++", SolverOrder: new(3)}},
	{names: []string{"DPM++ SDE", "dpmpp_sde", "dpmpp_sde_gpu", "k_dpmpp_sde"}, class: "DPMSolverSDEScheduler"},
	{names: []string{"DPM++ 2S", "dpmpp_2s"}, class: "DPMSolverSinglestepScheduler", preset: dpm2M("dpmsolver++", "midpoint")},
	{names: []string{"UniPC"}, class: "UniPCMultistepScheduler"},
	{names: []string{"uni_pc_bh2"}, class: "UniPCMultistepScheduler", preset: Config{SolverType: "bh2"}},
	{names: []string{"DEIS"}, class: "DEISMultistepScheduler"},
	{names: []string{"PLMS"}, class: "PNDMScheduler", preset: Config{SkipPRKSteps: new(true)}},
	{names: []string{"ddim_trailing"}, class: "DDIMScheduler", preset: Config{TimestepSpacing: "trailing"}},
	{names: []string{"EDM Euler"}, class: "EDMEulerScheduler"},
	{names: []string{"EDM DPM++ 2M", "EDMDPMSolver"}, class: "EDMDPMSolverMultistepScheduler"},
}

// dpm2M are the options that a DPM++ name of second order stands for.
func dpm2M(algorithm, solver string) Config {
	return Config{AlgorithmType: algorithm, SolverType: solver, SolverOrder: new(2)}
}

// unavailable are names in use elsewhere for samplers that diffusers does not have, with the scheduler closest to each.
// They are refused rather than replaced silently: the pictures would differ.
var unavailable = map[string]string{
	"DPM++ 2S a": "DPMSolverSinglestepScheduler", "dpmpp_2s_ancestral": "DPMSolverSinglestepScheduler", "dpm++2s_a": "DPMSolverSinglestepScheduler",
	"dpm++2mv2": "DPMSolverMultistepScheduler", "DPM fast": "DPMSolverSinglestepScheduler", "DPM adaptive": "DPMSolverMultistepScheduler",
	"Restart": "HeunDiscreteScheduler", "heunpp2": "HeunDiscreteScheduler", "ipndm_v": "LMSDiscreteScheduler",
	"res_multistep": "DPMSolverMultistepScheduler", "res_2s": "DPMSolverSinglestepScheduler", "er_sde": "DPMSolverSDEScheduler",
	"euler_cfg_pp": "EulerDiscreteScheduler", "euler_a_cfg_pp": "EulerAncestralDiscreteScheduler", "euler_ancestral_cfg_pp": "EulerAncestralDiscreteScheduler",
	"euler_ge": "EulerDiscreteScheduler", "DDIM CFG++": "DDIMScheduler", "sa_solver_pece": "SASolverScheduler",
}

var unavailableKeys = func() map[string]string {
	m := map[string]string{}
	for name, class := range unavailable {
		m[words.Fold(name)] = class
	}
	return m
}()

// Spacing is what a word for the spacing of noise levels stands for.
type Spacing struct {
	// Options are to be set in the Config.
	Options Config
	// Schedule, where not empty, is to be set in RunOptions.
	Schedule Schedule
}

// spacingName is a word for a spacing.
type spacingName struct {
	word    string
	spacing Spacing
}

// spacingNames are the scheduler names of AUTOMATIC1111 ("schedule type"), ComfyUI and stable-diffusion.cpp. "sgm_uniform"
// and "simple" are what diffusers' documentation gives for them.
var spacingNames = []spacingName{
	{"karras", Spacing{Options: Config{UseKarrasSigmas: new(true)}}},
	{"exponential", Spacing{Options: Config{UseExponentialSigmas: new(true)}}},
	{"beta", Spacing{Options: Config{UseBetaSigmas: new(true)}}},
	{"lu", Spacing{Options: Config{UseLuLambdas: new(true)}}},
	{"sgm_uniform", Spacing{Options: Config{TimestepSpacing: "trailing"}}},
	{"simple", Spacing{Options: Config{TimestepSpacing: "trailing"}}},
	{"trailing", Spacing{Options: Config{TimestepSpacing: "trailing"}}},
	{"leading", Spacing{Options: Config{TimestepSpacing: "leading"}}},
	{"linspace", Spacing{Options: Config{TimestepSpacing: "linspace"}}},
	{"ays", Spacing{Schedule: ScheduleAYS}},
	{"align_your_steps", Spacing{Schedule: ScheduleAYS}},
	{"gits", Spacing{Schedule: ScheduleGITS}},
	{"default", Spacing{}},
	{"automatic", Spacing{}},
	{"normal", Spacing{}},
	{"uniform", Spacing{}},
	{"discrete", Spacing{}},
}

// SpacingNames returns the words that ResolveSpacing takes.
func SpacingNames() []string {
	names := make([]string, len(spacingNames))
	for i, s := range spacingNames {
		names[i] = s.word
	}
	return names
}

// ResolveSpacing returns what a word for the spacing of noise levels stands for ("karras", "sgm_uniform", "ays",
// ...); "" and "default" leave the scheduler's own.
func ResolveSpacing(word string) (Spacing, error) {
	key := words.Fold(word)
	if key == "" {
		return Spacing{}, nil
	}
	for _, s := range spacingNames {
		if words.Fold(s.word) == key {
			return Spacing{s.spacing.Options.Clone(), s.spacing.Schedule}, nil
		}
	}
	want := "it is no spacing of noise levels"
	if near := words.Nearest(word, SpacingNames()); near != "" {
		want += "; did you mean " + near + "?"
	} else {
		want += "; known are " + quoteList(SpacingNames())
	}
	return Spacing{}, &OptionError{Option: "sigmas", Found: `"` + words.Clip(word) + `"`, Want: want}
}
