package prepare

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// controls validates what a request says of its ControlNets, with their pictures read, and finds their files.
func (t *Target) controls(r request.Request, errs *request.Errors) []Control {
	var out []Control
	for i, n := range r.ControlNets {
		at := func(key string) string { return fmt.Sprintf("controlnet[%d].%s", i, key) }
		c := Control{Net: NetOf(n), Path: n.Model, UnionType: n.UnionType}
		if err := c.Validate(); err != nil {
			for line := range strings.Lines(err.Error()) {
				key, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
				errs.Add(at(key), "%s", text)
			}
			continue
		}
		if !t.Fileless {
			var err error
			if c.Path, err = models.FindNet("controlnet", n.Model, t.Nets); err != nil {
				errs.AddFile(at("model"), "%v", err)
			} else if c.ID, err = identity.Of(c.Path); err != nil {
				errs.AddFile(at("model"), "%v", err)
			}
		}
		out = append(out, c)
	}
	return out
}

// NetOf fills in the defaults of a [[controlnet]] table.
func NetOf(n request.ControlNet) controlnet.Net {
	return controlnet.Net{Image: n.Image.Image, Weight: number(n.Weight, 1), Start: n.Start, End: cmp.Or(n.End, 1),
		Mode: controlnet.Mode(cmp.Or(n.ControlMode, string(controlnet.Balanced))), Resize: controlnet.ResizeMode(cmp.Or(n.ResizeMode,
			string(controlnet.Crop))),
		Preprocessor: n.Preprocessor, Options: n.PreprocessorOptions}
}
