package scheduler

import (
	"fmt"
	"slices"
)

// algorithm describes one scheduler class: what it is called, which options it has, and how to
// begin a run. Descriptions are constants; every scheduler file has one.
type algorithm struct {
	name    string // diffusers class name
	summary string // one line for listings
	// order is the number of timesteps that one step takes in the list of timesteps, as diffusers'
	// attribute of that name.
	order int
	// defaults sets every option that the scheduler has and that has a default; optional names
	// those that it has but are normally not set.
	defaults Config
	optional []string
	values   map[string][]string // allowed words by option
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
	start      func(s *sched, o *RunOptions) (*plan, solver, error)
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

// idle are options of flow-matching models that files of SDXL models carry at values at which they do nothing, whatever
// the scheduler.
var idle = map[string]any{"use_flow_sigmas": false, "flow_shift": 1.0}

// has tells whether the algorithm has an option.
func (a *algorithm) has(name string) bool {
	return a.defaults.value(name) != nil || slices.Contains(a.optional, name)
}

// options returns the names of the options the algorithm has, in the order of Config.
func (a *algorithm) options() []string {
	var names []string
	for _, o := range optionList {
		if a.has(o.name) {
			names = append(names, o.name)
		}
	}
	return names
}

// build makes a scheduler from a config. In strict mode, an option that the scheduler does not
// have, or a config that it cannot run without a fallback, is an error.
func (a *algorithm) build(cfg Config, strict bool) (*sched, error) {
	cfg = cfg.Clone()
	s := &sched{algo: a, strict: strict}
	for _, name := range cfg.set() {
		if a.has(name) {
			continue
		}
		if idle[name] == cfg.value(name) {
			cfg.clear(name)
			continue
		}
		if strict {
			return nil, a.bad(name, fmt.Sprintf("set to %v", cfg.value(name)), "this scheduler has no such option: leave it out")
		}
		s.notes = append(s.notes, fmt.Sprintf("%s has no option %s: %v is ignored", a.name, name, cfg.value(name)))
		cfg.clear(name)
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
	if err := a.validate(&s.cfg); err != nil {
		return nil, err
	}
	if a.untrained {
		s.tables = &tables{}
		return s, nil
	}
	t, err := newTables(&s.cfg, a.floorZeroSNR)
	if err != nil {
		return nil, err
	}
	s.tables = t
	return s, nil
}

// finalSigma returns the level after the last step: 0, or that of training timestep 0.
func (s *sched) finalSigma() float64 {
	if s.cfg.FinalSigmasType == "sigma_min" {
		return float64(s.sigmas[0])
	}
	return 0
}

// commonValues returns the words that most schedulers allow, with those of more added or replaced.
func commonValues(more map[string][]string) map[string][]string {
	m := map[string][]string{
		"beta_schedule":     {"linear", "scaled_linear", "squaredcos_cap_v2"},
		"prediction_type":   {"epsilon", "v_prediction", "sample"},
		"timestep_spacing":  {"linspace", "leading", "trailing"},
		"final_sigmas_type": {"zero", "sigma_min"},
	}
	for k, v := range more {
		m[k] = v
	}
	return m
}

// flowValues is commonValues for schedulers that flow-matching models can be used with too.
func flowValues(more map[string][]string) map[string][]string {
	m := commonValues(more)
	m["prediction_type"] = append(m["prediction_type"], "flow_prediction")
	return m
}
