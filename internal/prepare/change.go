package prepare

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// changeOf is what a request changes inside the base's UNet. Of rows it says only whether there are perturbed ones: 1 or 0 for a picture.
func changeOf(r *request.Request, blocks []string, errs *request.Errors) (c backend.UNetChange) {
	if r.PAG.On() {
		c.IdentityRows, c.IdentityLayers = 1, layers("pag", r.PAG.AppliedLayers, blocks, errs)
	}
	if r.SEG.On() {
		c.BlurredRows, c.BlurredLayers, c.BlurSigma = 1, layers("seg", r.SEG.AppliedLayers, blocks, errs), r.SEG.BlurSigma
	}
	if f := r.FreeU; f.On() {
		c.FreeU = [4]float64{*f.S1, *f.S2, *f.B1, *f.B2}
	}
	return c
}

// layers finds the blocks that patterns name, as diffusers' pag_applied_layers does: each is a regular expression that fits a part of the
// name of a self-attention, "mid_block.attentions.0.transformer_blocks.0.attn1". Without blocks nothing is known of the model.
func layers(table string, patterns, blocks []string, errs *request.Errors) string {
	var found []string
	for i, pattern := range patterns {
		key := fmt.Sprintf("%s.applied_layers[%d]", table, i)
		re, err := regexp.Compile(pattern)
		if err != nil {
			errs.Add(key, "%q is no pattern: %v; write a part of a layer's name, such as mid or up_blocks.0", pattern, err)
			continue
		}
		before := len(found)
		for _, b := range blocks {
			if re.MatchString(b + ".attn1") {
				found = append(found, b)
			}
		}
		if len(found) == before && len(blocks) > 0 {
			errs.Add(key, "%q fits no self-attention of this model; there are %s", pattern, places(blocks))
		}
	}
	slices.Sort(found)
	return strings.Join(slices.Compact(found), "\n")
}

// places names the parts of a UNet that have attentions.
func places(blocks []string) string {
	var out []string
	for _, b := range blocks {
		place, _, _ := strings.Cut(b, ".transformer_blocks")
		if !slices.Contains(out, place) {
			out = append(out, place)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
