package prepare

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// controls validates what a request says of its ControlNets, with their pictures read, and finds their files.
func (t *Target) controls(r request.Request, errs *request.Errors) []Control {
	var out []Control
	for i, n := range r.ControlNets {
		at := func(key string) string { return fmt.Sprintf("controlnet[%d].%s", i, key) }
		c := Control{Net: NetOf(n), Path: n.Model, UnionType: n.UnionType, Joined: n.UnionJoined}
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
	if len(out) == len(r.ControlNets) { // else their numbers differ
		t.checkJoined(out, errs)
		t.checkXS(out, r, errs)
	}
	return out
}

// checkJoined finds pictures of a Union net that cannot be seen in one evaluation.
func (t *Target) checkJoined(controls []Control, errs *request.Errors) {
	for i, c := range controls {
		if !c.Joined {
			continue
		}
		key := fmt.Sprintf("controlnet[%d].union_joined", i)
		if r, err := modelfile.Inspect(c.Path); !t.Fileless && err == nil && (r.Dims.ControlNet == nil || r.Dims.ControlNet.Types == 0) {
			errs.Add(key, "is given, and the net is no Union net; leave it out")
			continue
		}
		first := slices.IndexFunc(controls, c.joins)
		if first == i && !slices.ContainsFunc(controls[i+1:], c.joins) {
			errs.Add(key, "is given for one picture only; a second [[controlnet]] table of this file has to say so too")
		} else if lead := controls[first]; lead.Start != c.Start || lead.End != c.End || lead.Mode != c.Mode {
			errs.Add(key, "joins this with controlnet[%d], and their start, end or control_mode differ; give both the same", first)
		}
	}
}

// joins reports whether another picture goes into the same evaluation.
func (c *Control) joins(other Control) bool { return c.Joined && other.Joined && c.Path == other.Path }

// Together lists the numbers of the controls that control i is evaluated with, itself too. It is empty where the first of them has done
// that.
func Together(controls []Control, i int) (list []int) {
	for k, other := range controls {
		if k == i || controls[i].joins(other) {
			list = append(list, k)
		}
	}
	if list[0] < i {
		return nil
	}
	return list
}

// NetOf fills in the defaults of a [[controlnet]] table.
func NetOf(n request.ControlNet) controlnet.Net {
	return controlnet.Net{Image: n.Image.Image, Weight: number(n.Weight, 1), Start: n.Start, End: cmp.Or(n.End, 1),
		Mode: controlnet.Mode(cmp.Or(n.ControlMode, string(controlnet.Balanced))), Resize: controlnet.ResizeMode(cmp.Or(n.ResizeMode,
			string(controlnet.Crop))),
		Preprocessor: n.Preprocessor, Options: n.PreprocessorOptions}
}
