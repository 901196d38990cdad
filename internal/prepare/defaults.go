package prepare

import (
	"cmp"
	"math/rand/v2"

	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/rng"
)

// fillDefaults replaces zero values by what they stand for.
func (t *Target) fillDefaults(r *request.Request) {
	s := &t.Settings
	width, height := s.Width, s.Height
	if img := r.InitImage.Image; img != nil && !r.OnlyMasked() {
		unit := s.Downscale
		width, height = max(img.Bounds().Dx()/unit*unit, unit), max(img.Bounds().Dy()/unit*unit, unit)
		width, height = width+r.Outpaint.Left+r.Outpaint.Right, height+r.Outpaint.Top+r.Outpaint.Bottom
	}
	r.Width, r.Height = cmp.Or(r.Width, width), cmp.Or(r.Height, height)
	r.NumImages = max(r.NumImages, 1)
	if r.Seed < 0 {
		r.Seed = int64(rand.Uint32()) // torch's CPU generator uses 32 bits of a seed
	}
	r.RNG = cmp.Or(r.RNG, string(rng.CPU))
	r.NumInferenceSteps = cmp.Or(r.NumInferenceSteps, s.Steps)
	if r.Guidance.Method == request.GuidanceCFGPlusPlus {
		r.GuidanceScale = cmp.Or(r.GuidanceScale, request.DefaultPlusPlusGuidance)
	}
	r.GuidanceScale = cmp.Or(r.GuidanceScale, s.Guidance)
	r.Guidance, r.PAG, r.SEG = r.Guidance.Filled(), r.PAG.Filled(), r.SEG.Filled()
	r.Scheduler = cmp.Or(r.Scheduler, s.SchedulerName)
	if (!r.InitImage.IsZero() || !r.Latents.IsZero()) && r.DenoisingStart == 0 {
		strength := request.DefaultStrength
		if r.Paints() {
			strength = request.DefaultInpaintStrength
		}
		r.Strength = cmp.Or(r.Strength, strength)
	}
	if !r.MaskImage.IsZero() && !r.Outpaint.On() {
		r.Inpaint = r.Inpaint.Filled()
	}
	if t.Refiner {
		fillRefiner(r)
	}
	t.fillHires(r)
	t.fillTiles(r)
	r.Reuse = r.Reuse.Filled()
	r.ForceZerosForEmptyPrompt = cmp.Or(r.ForceZerosForEmptyPrompt, new(s.ForceZeros))
	r.PromptSyntax = cmp.Or(r.PromptSyntax, request.SyntaxA1111)
	fillSizes(r)
	r.MaxBatch = cmp.Or(r.MaxBatch, autoBatch(largestPass(r)))
	r.GuidanceBatch = cmp.Or(r.GuidanceBatch, request.GuidanceAuto)
	if len(r.Regions) > 0 {
		r.RegionMode = cmp.Or(r.RegionMode, request.RegionLatent)
	}
	r.Seamless = cmp.Or(r.Seamless, request.SeamlessNone)
	r.Quality = cmp.Or(r.Quality, request.DefaultQuality)
	r.Metadata = cmp.Or(r.Metadata, new(true))
}

// fillRefiner replaces the zero values of what concerns the refiner.
func fillRefiner(r *request.Request) {
	r.RefinerMode = cmp.Or(r.RefinerMode, request.RefinerEnsemble)
	switch r.RefinerMode {
	case request.RefinerEnsemble:
		r.RefinerStart = cmp.Or(r.RefinerStart, request.DefaultRefinerStart)
	case request.RefinerImg2Img:
		r.RefinerStrength = cmp.Or(r.RefinerStrength, request.DefaultRefinerStrength)
	default:
		return
	}
	r.RefinerSteps = cmp.Or(r.RefinerSteps, r.NumInferenceSteps)
	r.AestheticScore = cmp.Or(r.AestheticScore, request.DefaultAestheticScore)
	r.NegativeAestheticScore = cmp.Or(r.NegativeAestheticScore, request.DefaultNegativeAesthetic)
}

// fillHires replaces the zero values of a second pass.
func (t *Target) fillHires(r *request.Request) {
	h := &r.Hires
	if !h.On() {
		return
	}
	h.Width, h.Height = h.Size(r.Width, r.Height, t.Settings.Downscale)
	way := request.UpscaleLatent
	if t.Upscaler {
		way = request.UpscaleModel
	}
	h.Upscaler = cmp.Or(h.Upscaler, way)
	h.Strength = cmp.Or(h.Strength, request.DefaultHiresStrength)
	h.Steps = cmp.Or(h.Steps, r.NumInferenceSteps)
}

// fillSizes fills in the size conditioning. The sizes of the negative half stay as they are: they depend on what was given and on the
// model, and request.Request.NegativeSizes resolves them.
func fillSizes(r *request.Request) {
	size := request.Size{Height: r.Height, Width: r.Width}
	r.OriginalSize = cmp.Or(r.OriginalSize, size)
	r.TargetSize = cmp.Or(r.TargetSize, size)
}
