package prepare

import (
	"fmt"
	"math"
	"strings"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// farLarger is how many times the pixels of the model's own size a picture may have before it is said.
const farLarger = 2

// doubtsOfSize says that a photograph gives the picture a size that is far from the model's own.
func (t *Target) doubtsOfSize(r *request.Request) []string {
	own, now := t.Settings.Width*t.Settings.Height, r.Width*r.Height
	img := r.InitImage.Image
	if r.TiledDiffusion.On() || img == nil || own == 0 {
		return nil
	}
	if now <= farLarger*own || r.Width < img.Bounds().Dx()/t.Settings.Downscale*t.Settings.Downscale {
		return nil
	}
	share := math.Sqrt(float64(own) / float64(now))
	side := func(n int) int { return max(int(float64(n)*share)/64*64, 64) }
	return []string{fmt.Sprintf("init_image is %d x %d, and the model's own size is %d x %d: a picture of %.0f times as many pixels takes "+
		"long, and things in it may repeat; give width and height, such as %d and %d, or let the UNet work by tiles with tiled_diffusion",
		img.Bounds().Dx(), img.Bounds().Dy(), t.Settings.Width, t.Settings.Height, float64(now)/float64(own), side(r.Width),
		side(r.Height))}
}

// doubts names settings of a request that this UNet does not use, or cannot do well. Defaults must be filled in.
func (t *Target) doubts(p *Prepared) (out []string) {
	r := &p.Request
	out = append(out, t.doubtsOfSize(r)...)
	out = append(out, doubtsOfTiles(r)...)
	if !t.Settings.EDM && models.NeedsEDM(r.Scheduler) {
		out = append(out, fmt.Sprintf("the scheduler %s %s, and the model's files do not say so", r.Scheduler, scheduler.NeedsEDM.Text()))
	}
	if p.Alone && strings.TrimSpace(r.Prompt+r.Prompt2) != "" {
		out = append(out, "prompt counts nowhere, since regions cover the whole picture; give prompt_weight, such as 0.2, or leave prompt empty")
	}
	if i := r.Inpaint; i.Fill != "" && i.Fill != request.FillOriginal && r.Strength == 1 && !i.Soft {
		out = append(out, "inpaint.fill does nothing at strength 1, where painting begins with noise alone; lower strength, such as 0.95")
	}
	if r.Guidance.Method == request.GuidanceCFGPlusPlus && r.GuidanceScale > request.LargestPlusPlusGuidance {
		out = append(out, fmt.Sprintf("guidance_scale is %v, and CFG++ has scales from 0 to about 1; with more, colours become glaring",
			r.GuidanceScale))
	}
	if r.GuidanceInterval() && !r.Guided() {
		out = append(out, "guidance_start and guidance_stop do nothing without guidance; raise guidance_scale above 1")
	}
	if g := r.Reuse.TGate; g >= r.NumInferenceSteps {
		out = append(out, fmt.Sprintf("reuse.tgate is %d, and there are %d steps: it does nothing; lower it", g, r.NumInferenceSteps))
	}
	if g := r.Reuse.TGate; g > 0 && g < r.NumInferenceSteps && len(r.IPAdapters) > 0 {
		out = append(out, fmt.Sprintf("reuse.tgate keeps what the pictures of IP-Adapters add at step %d: their start and end count only "+
			"before it", g))
	}
	if t.Info.UNet.GuidanceDim == 0 {
		if !r.Guided() && !t.Refiner && (r.NegativePrompt != "" || r.NegativePrompt2 != "") {
			out = append(out, fmt.Sprintf("guidance_scale is %v, which is no guidance: the negative prompt does nothing", r.GuidanceScale))
		}
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
	if r.GuidanceInterval() {
		out = append(out, told+": guidance_start and guidance_stop do nothing")
	}
	return out
}
