package scheduler

import (
	"fmt"
	"slices"
)

// algorithm describes one scheduler class: its names, its options and how a run begins. Descriptions
// never change; every scheduler file has one, and registry.go lists them.
type algorithm struct {
	name    string   // diffusers class name
	summary string   // one line for listings
	also    []string // names elsewhere that mean this class with no option changed
	presets []preset // names elsewhere that mean this class with options set
	cousins []string // samplers of other programs that diffusers does not have, to which this class comes closest
	needs   Needs
	// order is the number of timesteps that one step takes in the list of timesteps, as diffusers'
	// attribute of that name. 0 means 1.
	order int
	// defaults sets every option that the scheduler has and that has a default; optional names
	// those that it has but are normally not set, besides trained_betas.
	defaults Config
	optional []string
	values   map[string][]string // allowed words by option, where they are not the common ones
	ranges   map[string]numRange // where narrower than numRanges
	check    func(a *algorithm, c *Config) error
	fallback func(c *Config) []string // changes what cannot run and says so
	// floorZeroSNR: see newTables.
	floorZeroSNR bool
	// wideTimesteps: fractional timesteps are kept in float64.
	wideTimesteps bool
	// keepsCosine: with squaredcos_cap_v2, timesteps of replaced noise levels are not rounded.
	keepsCosine bool
	// flowFromOne: levels of use_flow_sigmas begin at 1, and may be spaced as Karras' are.
	flowFromOne bool
	// untrained: no training schedule, hence no tables and no limit on steps.
	untrained bool
	// custom tells which of RunOptions.Timesteps and Sigmas it takes.
	customTimesteps, customSigmas bool
	// continuous: timesteps are not in units of training timesteps, so that DenoisingStart and
	// DenoisingEnd have no meaning.
	continuous func(c *Config) bool
	start      starter
}

// starter begins a run: it computes the whole schedule and makes the solver.
type starter func(s *sched, o *RunOptions) (*plan, solver, error)

// preset are names that stand for a class with options.
type preset struct {
	names   []string
	options Config
}

// always is the continuous of schedulers whose timesteps are never training timesteps.
func always(*Config) bool { return true }

// Sets of defaults that schedulers have in common.
var (
	// trained is the training schedule of diffusers' schedulers, sdTrained that of Stable Diffusion.
	trained = Config{NumTrainTimesteps: new(1000), BetaStart: new(0.0001), BetaEnd: new(0.02), BetaSchedule: "linear",
		PredictionType: "epsilon"}
	sdTrained = trained.With(Config{BetaStart: new(0.00085), BetaEnd: new(0.012)})
	// linspaced and leading are the ways to visit the timesteps.
	linspaced = Config{TimestepSpacing: "linspace", StepsOffset: new(0)}
	leading   = Config{TimestepSpacing: "leading", StepsOffset: new(0)}
	// respaced and flowSpaced are the options that replace the noise levels.
	respaced   = Config{UseKarrasSigmas: new(false), UseExponentialSigmas: new(false), UseBetaSigmas: new(false)}
	flowSpaced = respaced.With(Config{UseFlowSigmas: new(false), FlowShift: new(1.0)})
	// thresholded and clipped hold the predicted picture to bounds.
	thresholded = Config{Thresholding: new(false), DynamicThresholdingRatio: new(0.995), SampleMaxValue: new(1.0)}
	clipped     = Config{ClipSample: new(false), ClipSampleRange: new(1.0)}
	churned     = Config{SChurn: new(0.0), STmin: new(0.0), STmax: new(inf), SNoise: new(1.0)}
)

// defaults joins sets of options; later ones win.
func defaults(sets ...Config) Config {
	var c Config
	for _, s := range sets {
		c = c.With(s)
	}
	return c
}

// sched is every Scheduler: an algorithm, its resolved options and the tables made of them.
type sched struct {
	algo   *algorithm
	cfg    Config
	notes  []string
	strict bool
	*tables
}

func (s *sched) Name() string    { return s.algo.name }
func (s *sched) Config() Config  { return s.cfg.Clone() }
func (s *sched) Notes() []string { return slices.Clone(s.notes) }

// idle are options of flow-matching models. Files of SDXL models carry them at values at which they
// do nothing, whatever the scheduler.
var idle = map[string]any{"use_flow_sigmas": false, "flow_shift": 1.0}

// has tells whether the algorithm has an option.
func (a *algorithm) has(name string) bool {
	return a.defaults.value(name) != nil || slices.Contains(a.optional, name) || name == "trained_betas" && !a.untrained
}

// options returns the names of the options the algorithm has, in the order of Config.
func (a *algorithm) options() []string {
	return slices.DeleteFunc(OptionNames(), func(name string) bool { return !a.has(name) })
}

// build makes a scheduler from a config. In strict mode, an option that the scheduler does not
// have, or a config that it cannot run without a fallback, is an error.
func (a *algorithm) build(cfg Config, strict bool) (*sched, error) {
	cfg = cfg.Clone()
	s := &sched{algo: a, strict: strict, tables: &tables{}}
	for _, name := range cfg.set() {
		switch value := cfg.value(name); {
		case a.has(name):
			continue
		case idle[name] == value:
		case strict:
			return nil, a.bad(name, fmt.Sprintf("set to %v", value), "this scheduler has no such option: leave it out")
		default:
			s.notes = append(s.notes, fmt.Sprintf("%s has no option %s: %v is ignored", a.name, name, value))
		}
		cfg.field(name).SetZero()
	}
	s.cfg = a.defaults.With(cfg)
	if n := len(s.cfg.TrainedBetas); n > 0 {
		if cfg.NumTrainTimesteps != nil && *cfg.NumTrainTimesteps != n {
			return nil, a.bad("trained_betas", fmt.Sprintf("a list of %d", n),
				fmt.Sprintf("num_train_timesteps is %d: give as many, or leave num_train_timesteps out", *cfg.NumTrainTimesteps))
		}
		s.cfg.NumTrainTimesteps = new(n)
	}
	if a.fallback != nil {
		taken := a.fallback(&s.cfg)
		if strict && len(taken) > 0 {
			return nil, fmt.Errorf("scheduler: %s: in strict mode no fallback is taken: %s", a.name, taken[0])
		}
		s.notes = append(s.notes, taken...)
	}
	err := a.validate(&s.cfg)
	if err == nil && !a.untrained {
		s.tables, err = newTables(&s.cfg, a.floorZeroSNR)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// commonWords are the words that most schedulers allow.
var commonWords = map[string][]string{
	"beta_schedule":     {"linear", "scaled_linear", "squaredcos_cap_v2"},
	"prediction_type":   {"epsilon", "v_prediction", "sample"},
	"timestep_spacing":  {"linspace", "leading", "trailing"},
	"final_sigmas_type": {"zero", "sigma_min"},
}

// words returns the words that an option allows; nil for one that takes no word.
func (a *algorithm) words(option string) []string {
	words, own := a.values[option]
	if own {
		return words
	}
	words = slices.Clip(commonWords[option])
	if option == "prediction_type" && a.has("use_flow_sigmas") {
		words = append(words, "flow_prediction")
	}
	return words
}
