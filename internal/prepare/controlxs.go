package prepare

import (
	"fmt"
	"slices"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// checkXS finds the ControlNet-XS among a request's nets, and refuses what goes with none.
func (t *Target) checkXS(controls []Control, r request.Request, errs *request.Errors) {
	if t.Fileless {
		return
	}
	first := -1
	for i := range controls {
		c := &controls[i]
		report, err := modelfile.Inspect(c.Path)
		if err != nil || report.Dims.ControlNet == nil || report.Dims.ControlNet.XS == nil {
			continue
		}
		c.XS = true
		at := func(key string) string { return fmt.Sprintf("controlnet[%d].%s", i, key) }
		if why := unfit(report.Dims.ControlNet.XS, t.Info.UNet); why != "" {
			errs.AddFile(at("model"), "%s is a ControlNet-XS for %s; use one for this model", c.Path, why)
		}
		if first >= 0 {
			errs.Add(at("model"), "is a ControlNet-XS, as controlnet[%d] is; only one can run inside the UNet. Use one of them, or another kind of "+
				"net", first)
		} else {
			first = i
		}
		if c.Mode != controlnet.Balanced {
			errs.Add(at("control_mode"), "is %s, and a ControlNet-XS acts inside the UNet, on all rows alike; leave it out", c.Mode)
		}
		if c.UnionType != "" {
			errs.Add(at("union_type"), "is given, and the net is no Union net; leave it out")
		}
		if r.Reuse.TGate > 0 {
			errs.Add("reuse.tgate", "is given, and controlnet[%d] is a ControlNet-XS, which reads the text in every step; use deepcache or "+
				"easycache", i)
		}
	}
}

// unfit says what UNet a net is for, if it is not for this one; "" if it is.
func unfit(x *modelfile.ControlXSDims, u backend.UNetInfo) string {
	switch {
	case len(u.Channels) == 0: // not known yet
	case !slices.Equal(x.Base, u.Channels) || !slices.Equal(x.Resnets, u.Resnets):
		return fmt.Sprintf("a UNet with levels of %v channels with %v resnets, and the model's has %v with %v", x.Base, x.Resnets, u.Channels,
			u.Resnets)
	case x.ContextDim > 0 && x.ContextDim != u.ContextDim:
		return fmt.Sprintf("texts of %d values a token, and the model's have %d", x.ContextDim, u.ContextDim)
	case x.InChannels != u.OutChannels:
		return fmt.Sprintf("latents of %d channels, and the model's have %d", x.InChannels, u.OutChannels)
	case x.LearnsTime && u.GuidanceDim > 0:
		return "UNets without an embedding of the guidance scale, since it has a time embedding of its own, and the model's has one"
	}
	return ""
}
