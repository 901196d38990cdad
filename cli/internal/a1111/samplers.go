package a1111

import (
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/recall"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// samplers are A1111's samplers that there are here, in its order.
var samplers = []string{"DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 3M SDE", "Euler a", "Euler", "LMS", "Heun",
	"DPM2", "DPM2 a", "DDIM", "DDIM CFG++", "PLMS", "UniPC", "LCM"}

// schedule is one of A1111's schedule types.
type schedule struct{ name, label string }

// schedules are those of A1111 that there are here.
var schedules = []schedule{{"automatic", "Automatic"}, {"uniform", "Uniform"}, {"karras", "Karras"}, {"exponential", "Exponential"},
	{"sgm_uniform", "SGM Uniform"}, {"align_your_steps", "Align Your Steps"}, {"simple", "Simple"}, {"normal", "Normal"}, {"beta", "Beta"}}

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
	if schedule := recall.AutomaticSchedule(name); schedule != "" && (said == "" || strings.EqualFold(said, "automatic")) {
		a.run["scheduler"] = schedule
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
