package memory

import "slices"

// The stages of a run, in their order.
const (
	StageLoad    = "load"
	StageText    = "text"
	StageImage   = "image" // pictures for IP-Adapters
	StageControl = "control"
	StageEncode  = "encode"
	StageDenoise = "denoise"
	StageRefine  = "refine"
	StageUpscale = "upscale"
	StageDecode  = "decode"
)

var stages = []string{StageLoad, StageText, StageImage, StageControl, StageEncode, StageDenoise, StageRefine, StageUpscale, StageDecode}

// use is one line of the table of residency: the stages that compute with a component of an owner. ControlNets go with the model.
type use struct {
	owner     string
	component string
	stages    []string
}

// uses is the table of residency. The estimate adds up by it, and what holds the weights frees by it. Whatever is not in it belongs to the
// TAESD, which is small and always in memory.
var uses = []use{
	{OwnerModel, TextEncoder, []string{StageText}},
	{OwnerModel, TextEncoder2, []string{StageText}},
	{OwnerModel, ImageEncoder, []string{StageImage}},
	{OwnerModel, IPAdapter, []string{StageImage}},
	{OwnerModel, ControlNet, []string{StageControl, StageDenoise}},
	{OwnerModel, VAEEncoder, []string{StageEncode, StageUpscale}},
	{OwnerModel, UNet, []string{StageDenoise}},
	{OwnerModel, VAEDecoder, []string{StageUpscale, StageDecode}},
	{OwnerRefiner, TextEncoder, []string{StageText, StageRefine}}, // StageRefine where the refiner was not open before
	{OwnerRefiner, TextEncoder2, []string{StageText, StageRefine}},
	{OwnerRefiner, UNet, []string{StageRefine}},
	{OwnerUpscaler, Upscaler, []string{StageUpscale}},
	{OwnerModel, Detector, []string{StageDecode}},
}

// usedIn lists the stages that compute with a component.
func usedIn(owner, component string) []string {
	if owner != OwnerRefiner && owner != OwnerUpscaler {
		owner = OwnerModel
	}
	for _, u := range uses {
		if u.component == component && u.owner == owner {
			return u.stages
		}
	}
	return nil
}

// isNet reports whether a component is opened by the jobs that use it.
func isNet(component string) bool {
	return component == ControlNet || component == ImageEncoder || component == IPAdapter || component == Detector
}

// Staged reports whether one component at a time is in memory.
func (s Strategy) Staged() bool { return s.Name == Stage || s.Name == Stream || s.Name == Mmap }

// stays reports whether a component stays in memory once it was loaded.
func (s Strategy) stays(owner, component string) bool {
	return owner == OwnerTAESD || owner == OwnerUpscaler || s.Name == Resident || s.Name == "" || s.Name == Release &&
		(component == UNet || component == ControlNet)
}

// Keeps reports whether a component of an owner may be in memory during a stage. Where it may not, it is freed when the stage begins.
func (s Strategy) Keeps(owner, component, stage string) bool {
	return s.stays(owner, component) || slices.Contains(usedIn(owner, component), stage)
}

// uses reports whether a job computes with a part.
func (j Job) uses(p Part) bool {
	switch {
	case p.Owner == OwnerRefiner:
		return j.Refine
	case p.Owner == OwnerUpscaler:
		return j.Upscale != [2]int{}
	case p.Owner == OwnerModel && p.Component == VAEDecoder:
		return !j.FastDecode || j.Enlarge
	}
	return true
}

// comesAgain reports whether a stage of a job comes after stages that are behind it in their order: with every batch, or for a second pass.
func (j Job) comesAgain(stage string, batch int) bool {
	return j.Second && stage == StageDenoise || j.Images+j.Shared > batch && slices.Index(stages, stage) >= slices.Index(stages, StageDenoise)
}

// present reports whether a part is in memory during a stage of a job, whose pictures are made batch by batch.
func (s Strategy) present(p Part, stage string, j Job, batch int) bool {
	if p.Owner == OwnerTAESD {
		return true
	}
	stays := s.stays(p.Owner, p.Component)
	opened := p.Open || !isNet(p.Component) && p.Owner != OwnerUpscaler && !p.OnDemand // before the job
	if !j.uses(p) || stays && opened {
		return stays && opened
	}
	at := usedIn(p.Owner, p.Component)
	if p.Owner == OwnerRefiner && p.Component != UNet { // its texts are read with the base's where it is open by then, else in its own stage
		if p.OnDemand || s.Staged() {
			at = at[1:]
		} else {
			at = at[:1]
		}
	}
	loaded := slices.Index(stages, stage) > slices.Index(stages, at[0]) || j.comesAgain(stage, batch)
	return slices.Contains(at, stage) || stays && loaded
}
