package prepare

import (
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// splitSampler takes apart the name of a sampler with CFG++: a scheduler, and a way to guide.
func splitSampler(r *request.Request, at func(string) string, errs *request.Errors) {
	plain, ok := scheduler.CutCFGPlusPlus(r.Scheduler)
	if !ok {
		return
	}
	if m := r.Guidance.Method; m != "" && m != request.GuidanceCFGPlusPlus {
		errs.Add(at("guidance.method"), "is %s, and the scheduler %s means cfg_plus_plus; leave one of them out", m, r.Scheduler)
	}
	r.Scheduler, r.Guidance.Method = plain, request.GuidanceCFGPlusPlus
}

// checkGuidance refuses ways to guide that this model or the scheduler cannot do.
func (t *Target) checkGuidance(r request.Request, errs *request.Errors) {
	method := r.Guidance.Method
	if method == "" || method == request.GuidanceCFG {
		return
	}
	switch {
	case t.Info.UNet.GuidanceDim > 0:
		errs.Add("guidance.method", "%s needs a negative half, and this UNet has none: it gets guidance_scale as an input (LCM); leave it out",
			method)
	case !r.Guided():
		errs.Add("guidance.method", "%s needs guidance; raise guidance_scale above 1, or leave it out", method)
	}
}

// checkPlusPlus refuses CFG++ with schedulers whose steps cannot be made so. name is the scheduler's.
func checkPlusPlus(r *request.Request, run scheduler.Run, name string) error {
	if r.Guidance.Method != request.GuidanceCFGPlusPlus || scheduler.CanCFGPlusPlus(run) {
		return nil
	}
	return request.Errors{{Path: "guidance.method", Message: fmt.Sprintf(
		"is cfg_plus_plus, which %s does not offer; use EulerDiscrete without s_churn, EulerAncestralDiscrete or DDIM", name)}}
}

// checkRegions refuses regions beside what has one prediction for the whole picture, or another picture than that of the request.
func checkRegions(r *request.Request) error {
	const apart = "there is no one prediction to perturb"
	var errs request.Errors
	if len(r.Regions) == 0 {
		return nil
	}
	for _, x := range []struct {
		key, why string
		on       bool
	}{
		{"pag", apart, r.PAG.On() && !r.Attends()},
		{"seg", apart, r.SEG.On() && !r.Attends()},
		{"reuse.tgate", "it goes on without the texts of regions, but in region_mode attention", r.Reuse.TGate > 0 && !r.Attends()},
		{"inpaint.only_masked", "only a part of the picture is painted then, and boxes and masks are of the whole", r.OnlyMasked()},
	} {
		if x.on {
			errs.Add(x.key, "cannot be used with regions: %s; leave one of them out", x.why)
		}
	}
	return errs.Err()
}

// checkChanges refuses AND and [reuse] beside what changes a prediction inside the UNet.
func checkChanges(r *request.Request, parts int) error {
	var errs request.Errors
	for _, x := range []struct {
		key       string
		on, alone bool // alone: of one prediction
	}{{"pag", r.PAG.On(), true}, {"seg", r.SEG.On(), true}, {"freeu", r.FreeU.On(), false}} {
		if x.on && x.alone && parts > 1 && len(r.Regions) == 0 {
			errs.Add(x.key, "cannot be used with AND in prompt: there is no one prediction to perturb; leave one of them out")
		}
		if way := r.Reuse.Way(); x.on && way != "" {
			errs.Add(x.key, "cannot be used with reuse.%s; leave one of them out", way)
		}
	}
	return errs.Err()
}
