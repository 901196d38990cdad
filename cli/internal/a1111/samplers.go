package a1111

import (
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// sampler is one of A1111's samplers.
type sampler struct {
	name     string
	schedule string // that Automatic means; "": the sampler's own
}

// samplers are A1111's samplers that there are here, in its order.
var samplers = []sampler{{"DPM++ 2M", "karras"}, {"DPM++ SDE", "karras"}, {"DPM++ 2M SDE", "exponential"},
	{"DPM++ 2M SDE Heun", "exponential"}, {"DPM++ 3M SDE", "exponential"}, {"Euler a", ""}, {"Euler", ""}, {"LMS", ""}, {"Heun", ""},
	{"DPM2", "karras"}, {"DPM2 a", "karras"}, {"DDIM", ""}, {"DDIM CFG++", ""}, {"PLMS", ""}, {"UniPC", ""}, {"LCM", ""}}

// schedule is one of A1111's schedule types.
type schedule struct{ name, label string }

// schedules are those of A1111 that there are here.
var schedules = []schedule{{"automatic", "Automatic"}, {"uniform", "Uniform"}, {"karras", "Karras"}, {"exponential", "Exponential"},
	{"sgm_uniform", "SGM Uniform"}, {"align_your_steps", "Align Your Steps"}, {"simple", "Simple"}, {"normal", "Normal"}, {"beta", "Beta"}}

// find finds a sampler by A1111's name of it.
func find(name string) (sampler, bool) {
	i := slices.IndexFunc(samplers, func(s sampler) bool { return strings.EqualFold(s.name, name) })
	if i < 0 {
		return sampler{}, false
	}
	return samplers[i], true
}

// setSampler gives the run's sampler the schedule that A1111 would: Automatic stands for one of the sampler's own.
func (a *asked) setSampler() {
	name, _ := a.run["sampler_name"].(string)
	if name == "" {
		name, _ = a.run["sampler_index"].(string)
		delete(a.run, "sampler_index")
		delete(a.run, "sampler_name")
		if name != "" {
			a.run["sampler_name"] = name
		}
	}
	said, _ := a.run["scheduler"].(string)
	if said == "" {
		delete(a.run, "scheduler")
	}
	if s, ok := find(name); ok && s.schedule != "" && (said == "" || strings.EqualFold(said, "automatic")) {
		a.run["scheduler"] = s.schedule
	}
	a.setEta(name)
}

// setEta leaves eta to schedulers that have it. A1111 sends it to all; 1 is what ancestral samplers do anyway.
func (a *asked) setEta(name string) {
	eta, given := a.run["eta"]
	if !given {
		return
	}
	info, err := scheduler.Describe(name)
	if err != nil || slices.Contains(info.Options, "eta") {
		return // an unknown sampler is an error of its own
	}
	delete(a.run, "eta")
	if n, ok := number(eta); ok && n != 1 && strings.Contains(info.Name, "Ancestral") {
		a.warn("eta is %v and was left out: %s has an eta of 1 here", eta, name)
	}
}
