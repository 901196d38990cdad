package prepare

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// leastDistilled is the weight from which an adapter makes a model one of few steps.
const leastDistilled = 0.5

// withDistilled is the target whose defaults are those of a distilled adapter among a request's; without one it is the target itself.
// who is the adapter, "" for the model.
func (t *Target) withDistilled(s Adapters) (with *Target, who string) {
	for _, a := range s.Enabled() {
		filled := a.Filled()
		if *filled.UNetWeight**filled.ScalingFactor < leastDistilled {
			continue
		}
		path := s.Path(a)
		if d, ok := scheduler.FindDistilled(true, append(models.NamesOf(path, nil), a.Label())...); ok && path != "" {
			copied := *t
			copied.Settings.AdoptDistilled(d)
			return &copied, a.Label()
		}
	}
	return t, ""
}

// distilledNote says which defaults of a request are those of a distilled model or adapter. who is the adapter, "" for the model.
func (t *Target) distilledNote(r request.Request, who string) string {
	s := &t.Settings
	d := s.Distilled
	if d.Method == "" {
		return ""
	}
	var set []string
	if r.Scheduler == "" {
		set = append(set, "scheduler is "+strings.TrimSuffix(s.SchedulerName, "Scheduler"))
	}
	if r.NumInferenceSteps == 0 {
		set = append(set, fmt.Sprintf("num_inference_steps is %d", s.Steps))
	}
	if r.GuidanceScale == 0 && r.Guidance.Method != request.GuidanceCFGPlusPlus {
		set = append(set, fmt.Sprintf("guidance_scale is %v", s.Guidance))
	}
	if len(set) == 0 {
		return ""
	}
	text := strings.Join(set, ", ")
	if last := len(set) - 1; last > 0 {
		text = strings.Join(set[:last], ", ") + " and " + set[last]
	}
	return fmt.Sprintf("%s is %s, as its name says: %s unless you say otherwise (%s)", subject(who), d.Title, text, d.Card)
}

func subject(who string) string {
	if who == "" {
		return "the model"
	}
	return fmt.Sprintf("the LoRA %q", who)
}

// mostGuidance is how much guidance a model bears that was distilled to need none.
const mostGuidance = 2.5

// distilledDoubts names settings that do not suit a distilled model or adapter. Defaults must be filled in.
func (t *Target) distilledDoubts(r *request.Request, who string) (out []string) {
	d := t.Settings.Distilled
	if d.Method == "" {
		return nil
	}
	say := func(format string, args ...any) {
		out = append(out, fmt.Sprintf(format, args...))
	}
	if d.Doubt != "" {
		say("%s is %s: %s (%s)", subject(who), d.Title, d.Doubt, d.Card)
	}
	usual := max(d.Guidance[0], request.NoGuidance)
	if limit := max(d.Guidance[1], mostGuidance); r.GuidanceScale > limit {
		say("guidance_scale is %v, and %s is %s, which needs little or none: colours become glaring; use %v (%s)", r.GuidanceScale, subject(who),
			d.Title, usual, d.Card)
	}
	if d.Guidance[0] > request.NoGuidance && !r.Guided() {
		say("guidance_scale is %v, and %s is a %s that keeps guidance; use %v to %v (%s)", r.GuidanceScale, subject(who), d.Title, d.Guidance[0],
			d.Guidance[1], d.Card)
	}
	if r.NumInferenceSteps > d.MostSteps {
		say("num_inference_steps is %d, and %s is %s for %d: more than %d make no better picture (%s)", r.NumInferenceSteps, subject(who),
			d.Title, d.Steps, d.MostSteps, d.Card)
	}
	if class, _, err := scheduler.Resolve(r.Scheduler); d.Needs && err == nil && class != d.Scheduler {
		say("the scheduler is %s, and %s is %s, which only %s fits (%s)", strings.TrimSuffix(class, "Scheduler"), subject(who), d.Title,
			strings.TrimSuffix(d.Scheduler, "Scheduler"), d.Card)
	}
	return out
}
