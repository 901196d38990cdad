package prepare

import (
	"fmt"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// doubts names settings of a request that this UNet does not use, or cannot do well. Defaults must be filled in.
func (t *Target) doubts(r *request.Request) (out []string) {
	if !t.Settings.EDM && models.NeedsEDM(r.Scheduler) {
		out = append(out, fmt.Sprintf("the scheduler %s %s, and the model's files do not say so", r.Scheduler, scheduler.NeedsEDM.Text()))
	}
	if t.Info.UNet.GuidanceDim == 0 {
		return out
	}
	const told = "this UNet gets guidance_scale as an input and has no negative half (LCM)"
	if info, err := scheduler.Describe(r.Scheduler); err == nil && info.Needs != scheduler.NeedsDistilled {
		out = append(out, fmt.Sprintf("this UNet is distilled for few steps of the scheduler LCM; %s may not fit it", r.Scheduler))
	}
	if !t.Refiner && (r.NegativePrompt != "" || r.NegativePrompt2 != "") {
		out = append(out, told+": the negative prompt does nothing")
	}
	if r.GuidanceRescale > 0 {
		out = append(out, told+": guidance_rescale does nothing")
	}
	return out
}
