package scheduler

import (
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/words"
)

// methods has what each class of schedulers.json does. A new one has a file of its own and an entry here and there.
var methods = map[string]method{
	"EulerDiscreteScheduler":          eulerDiscrete,
	"EulerAncestralDiscreteScheduler": eulerAncestralDiscrete,
	"HeunDiscreteScheduler":           heunDiscrete,
	"DPMSolverMultistepScheduler":     dpmSolverMultistep,
	"DPMSolverSinglestepScheduler":    dpmSolverSinglestep,
	"DPMSolverSDEScheduler":           dpmSolverSDE,
	"UniPCMultistepScheduler":         uniPCMultistep,
	"DEISMultistepScheduler":          deisMultistep,
	"SASolverScheduler":               saSolver,
	"KDPM2DiscreteScheduler":          kdpm2Discrete,
	"KDPM2AncestralDiscreteScheduler": kdpm2AncestralDiscrete,
	"LMSDiscreteScheduler":            lmsDiscrete,
	"DDIMScheduler":                   ddim,
	"DDPMScheduler":                   ddpm,
	"PNDMScheduler":                   pndm,
	"IPNDMScheduler":                  ipndm,
	"LCMScheduler":                    lcm,
	"TCDScheduler":                    tcd,
	"EDMEulerScheduler":               edmEuler,
	"EDMDPMSolverMultistepScheduler":  edmDPMSolverMultistep,
}

// algorithms lists every scheduler, in the order of listings.
var algorithms = column(described.Schedulers, func(d *description) *algorithm { return &algorithm{d, methods[d.Name]} })

// Info describes a scheduler for listings.
type Info struct {
	Name       string              `json:"name"`        // diffusers class name
	Summary    string              `json:"summary"`     // one line
	Aliases    []string            `json:"aliases"`     // other names that mean exactly this scheduler, with no option changed
	Presets    []string            `json:"presets"`     // other names that mean this scheduler with options set
	Options    []string            `json:"options"`     // names of its options
	Defaults   Config              `json:"defaults"`    // their defaults
	Order      int                 `json:"order"`       // entries of the timestep list that a step takes
	Timesteps  bool                `json:"timesteps"`   // takes custom timesteps
	Sigmas     bool                `json:"sigmas"`      // takes custom sigmas
	WordValues map[string][]string `json:"word_values"` // allowed words by option
	Needs      Needs               `json:"-"`           // kind of model without which it makes no right pictures
}

// New makes a scheduler from any of its names (see [Resolve]) and options. Options set by the name ("... Karras")
// win over cfg. What the scheduler cannot use is reported by its Notes; [NewStrict] refuses it instead.
func New(name string, cfg Config) (Scheduler, error) { return build(name, cfg, false) }

// NewStrict is New, but an option that the scheduler does not have, or a config that would need a
// fallback, is an error.
func NewStrict(name string, cfg Config) (Scheduler, error) { return build(name, cfg, true) }

func build(name string, cfg Config, strict bool) (Scheduler, error) {
	a, preset, err := resolve(name)
	if err != nil {
		return nil, err
	}
	s, err := a.build(cfg.With(preset), strict)
	if err != nil {
		return nil, err
	}
	for _, o := range preset.set() {
		// A model's file states defaults; only what says something else than the default is worth a word.
		was, is := cfg.value(o), preset.value(o)
		if was != nil && was != is && was != a.Defaults.value(o) {
			s.notes = append(s.notes, fmt.Sprintf("the name %q sets %s to %v: %v is not used", words.Clip(name), o, is, was))
		}
	}
	return s, nil
}

// FromJSON makes the scheduler that a diffusers scheduler_config.json describes; its "_class_name" says
// which.
func FromJSON(data []byte) (Scheduler, error) {
	class, cfg, err := ParseConfig(data)
	if err != nil {
		return nil, err
	}
	if class == "" {
		return nil, &OptionError{Option: "_class_name", Found: "missing",
			Want: `it must name the scheduler, for example "EulerDiscreteScheduler"`}
	}
	return New(class, cfg)
}

// Names returns the class names of all schedulers.
func Names() []string { return column(algorithms, func(a *algorithm) string { return a.Name }) }

// Describe returns what is known about a scheduler, by any of its names.
func Describe(name string) (Info, error) {
	a, _, err := resolve(name)
	if err != nil {
		return Info{}, err
	}
	info := Info{Name: a.Name, Summary: a.Summary, Aliases: slices.Clone(a.Also), Needs: a.Needs, Options: a.options(),
		Defaults: a.Defaults.Clone(), Order: max(a.Order, 1), Timesteps: a.Timesteps, Sigmas: a.Sigmas,
		WordValues: map[string][]string{}}
	for _, o := range info.Options {
		if words := a.words(o); words != nil {
			info.WordValues[o] = slices.Clone(words)
		}
	}
	for _, p := range a.Presets {
		info.Presets = append(info.Presets, p.Names...)
	}
	return info, nil
}

// NameError is a scheduler name that is not known.
type NameError struct {
	Name    string
	Nearest []string // known names like it, the most alike first
	Closest string   // for a sampler known elsewhere that diffusers does not have: the scheduler that comes closest
}

// Error names the candidates.
func (e *NameError) Error() string {
	if e.Closest != "" {
		return fmt.Sprintf("scheduler: the sampler %q has no counterpart in diffusers; the closest is %s, but its pictures differ",
			words.Clip(e.Name), e.Closest)
	}
	if len(e.Nearest) == 0 {
		return fmt.Sprintf("scheduler: unknown scheduler %q; known are %s", words.Clip(e.Name), strings.Join(Names(), ", "))
	}
	return fmt.Sprintf("scheduler: unknown scheduler %q; did you mean %s?", words.Clip(e.Name), strings.Join(e.Nearest, " or "))
}

// Resolve returns the class name that a name stands for, and the options that it sets. It accepts diffusers' class names, the same without
// "Scheduler", snake_case, and the sampler names of AUTOMATIC1111, ComfyUI and stable-diffusion.cpp. The name of a sigma spacing may follow
// ("Karras", "Exponential", "Beta", ...). Case, spaces, "_" and "-" do not matter.
func Resolve(name string) (class string, options Config, err error) {
	a, preset, err := resolve(name)
	if err != nil {
		return "", Config{}, err
	}
	return a.Name, preset.Clone(), nil
}

func resolve(name string) (*algorithm, Config, error) {
	key := words.Fold(name)
	if t, ok := nameTable[key]; ok {
		return t.algo, t.preset, nil
	}
	for _, sp := range described.Spacings {
		for _, word := range sp.Words {
			base, ok := strings.CutSuffix(key, words.Fold(word))
			if !ok || sp.Schedule != "" {
				continue
			}
			if t, ok := nameTable[base]; ok && t.algo.takes(sp.Options) {
				return t.algo, t.preset.With(sp.Options), nil
			}
		}
	}
	for _, a := range algorithms {
		if slices.ContainsFunc(a.Cousins, func(c string) bool { return words.Fold(c) == key }) {
			return nil, Config{}, &NameError{Name: name, Closest: a.Name}
		}
	}
	return nil, Config{}, &NameError{Name: name, Nearest: words.Near(name, allNames, 3)}
}

// takes tells whether the algorithm has every option that a preset sets.
func (a *algorithm) takes(preset Config) bool {
	return !slices.ContainsFunc(preset.set(), func(o string) bool { return !a.has(o) })
}

type nameTarget struct {
	algo   *algorithm
	preset Config
}

// nameTable maps every normalized name; allNames lists them as written, for suggestions.
var nameTable, allNames = func() (map[string]nameTarget, []string) {
	table, names := map[string]nameTarget{}, []string{}
	add := func(name string, t nameTarget) {
		key := words.Fold(name)
		if old, ok := table[key]; ok && old.algo != t.algo {
			panic("scheduler: the name " + name + " stands for two schedulers")
		}
		table[key] = t
		names = append(names, name)
	}
	for _, a := range algorithms {
		add(a.Name, nameTarget{algo: a})
		table[words.Fold(strings.TrimSuffix(a.Name, "Scheduler"))] = nameTarget{algo: a}
	}
	for _, a := range algorithms {
		for _, p := range append([]preset{{Names: a.Also}}, a.Presets...) {
			for _, n := range p.Names {
				add(n, nameTarget{a, p.Options})
			}
		}
	}
	return table, names
}()
