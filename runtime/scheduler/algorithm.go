package scheduler

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
)

// description is what schedulers.json says of one scheduler class: its names and its options.
type description struct {
	Name    string   // diffusers class name
	Summary string   // one line for listings
	Also    []string // names in other programs for this class, with no option changed
	Presets []preset // names in other programs for this class with options set
	Cousins []string // samplers of other programs that diffusers does not have; this class is the closest
	Needs   Needs
	// Order is the number of timesteps that one step takes in the list of timesteps, as diffusers'
	// attribute of that name. 0 means 1.
	Order int
	// Defaults sets every option of the scheduler that has a default, over the sets that From names. Optional names its options that are
	// normally not set, besides trained_betas.
	From     []string
	Defaults Config
	Optional []string
	Values   map[string][]string // allowed words by option, where they are not the common ones
	Ranges   map[string]numRange // where narrower than the common ones

	FloorZeroSNR  bool `json:"floor_zero_snr"` // see newTables
	WideTimesteps bool `json:"wide_timesteps"` // fractional timesteps are kept in float64
	KeepsCosine   bool `json:"keeps_cosine"`   // with squaredcos_cap_v2, timesteps of replaced noise levels are not rounded
	FlowFromOne   bool `json:"flow_from_one"`  // levels of use_flow_sigmas begin at 1, and may be spaced as Karras' are
	Untrained     bool // no training schedule, hence no tables and no limit on steps
	// Timesteps and Sigmas tell which of RunOptions' it takes.
	Timesteps, Sigmas bool
}

// preset are names that stand for a class with options.
type preset struct {
	Names   []string
	Options Config
}

// method is the code in a scheduler's own file: how a run begins, and rules that schedulers.json cannot describe.
type method struct {
	check    func(a *algorithm, c *Config) error
	fallback func(c *Config) []string // changes what cannot run and says so
	// continuous: timesteps are not in units of training timesteps, so that DenoisingStart and
	// DenoisingEnd have no meaning.
	continuous func(c *Config) bool
	start      starter
}

// starter begins a run: it computes the whole schedule and makes the solver.
type starter func(s *sched, o *RunOptions) (*plan, solver, error)

// always is the continuous of schedulers whose timesteps are never training timesteps.
func always(*Config) bool { return true }

// algorithm is one scheduler class.
type algorithm struct {
	*description
	method
}

//go:embed *.json
var files embed.FS

// embedded decodes a file of this package.
func embedded[T any](name string) (v T) {
	_ = optionIndex // which decoding a Config needs
	data, err := files.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		panic("scheduler: embedded " + name + ": " + err.Error())
	}
	return v
}

// catalogue is schedulers.json.
type catalogue struct {
	Words  map[string][]string // that most schedulers allow, by option
	Ranges map[string]numRange // of numeric options
	// Spacings are the scheduler names of AUTOMATIC1111 ("schedule type"), ComfyUI and stable-diffusion.cpp. "sgm_uniform"
	// and "simple" are what diffusers' documentation gives for them.
	Spacings []struct {
		Words []string
		Spacing
	}
	SDXL       Config
	Sets       map[string]Config // defaults that schedulers have in common
	Schedulers []*description    // in the order of listings
}

var described = func() catalogue {
	all := embedded[catalogue]("schedulers.json")
	for _, d := range all.Schedulers {
		var base Config
		for _, set := range d.From {
			base = base.With(all.Sets[set])
		}
		d.Defaults = base.With(d.Defaults)
	}
	return all
}()

// sched is every Scheduler: an algorithm, its resolved options and the tables made of them.
type sched struct {
	algo   *algorithm
	cfg    Config
	notes  []string
	strict bool
	*tables
}

func (s *sched) Name() string    { return s.algo.Name }
func (s *sched) Config() Config  { return s.cfg.Clone() }
func (s *sched) Notes() []string { return slices.Clone(s.notes) }

// idle are options of flow-matching models. Files of SDXL models have them too, with values that do
// nothing in any scheduler.
var idle = map[string]any{"use_flow_sigmas": false, "flow_shift": 1.0}

// has tells whether the algorithm has an option.
func (d *description) has(name string) bool {
	return d.Defaults.value(name) != nil || slices.Contains(d.Optional, name) || name == "trained_betas" && !d.Untrained
}

// options returns the names of the options the algorithm has, in the order of Config.
func (d *description) options() []string {
	return slices.DeleteFunc(OptionNames(), func(name string) bool { return !d.has(name) })
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
			s.notes = append(s.notes, fmt.Sprintf("%s has no option %s: %v is ignored", a.Name, name, value))
		}
		cfg.field(name).SetZero()
	}
	s.cfg = a.Defaults.With(cfg)
	if n := len(s.cfg.TrainedBetas); n > 0 {
		if cfg.NumTrainTimesteps != nil && *cfg.NumTrainTimesteps != n {
			return nil, a.bad("trained_betas", fmt.Sprintf("a list of %d", n),
				fmt.Sprintf("num_train_timesteps is %d: give as many, or leave num_train_timesteps out", *cfg.NumTrainTimesteps))
		}
		s.cfg.NumTrainTimesteps = new(n)
	}
	if a.fallback != nil {
		s.notes = append(s.notes, a.fallback(&s.cfg)...)
	}
	err := a.refuse(strict, s.notes)
	if err == nil {
		err = a.validate(&s.cfg)
	}
	if err == nil && !a.Untrained {
		s.tables, err = newTables(&s.cfg, a.FloorZeroSNR)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// refuse makes an error of the fallbacks that were taken, in strict mode.
func (a *algorithm) refuse(strict bool, taken []string) error {
	if !strict || len(taken) == 0 {
		return nil
	}
	return fmt.Errorf("scheduler: %s: in strict mode no fallback is taken: %s", a.Name, taken[0])
}

// words returns the words that an option allows; nil for one that takes no word.
func (d *description) words(option string) []string {
	words, own := d.Values[option]
	if own {
		return words
	}
	words = slices.Clip(described.Words[option])
	if option == "prediction_type" && d.has("use_flow_sigmas") {
		words = append(words, "flow_prediction")
	}
	return words
}
