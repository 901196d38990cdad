package models

import (
	"cmp"
	"fmt"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// DefaultScalingFactor is scaling_factor of SDXL's vae/config.json. A VAE whose file states none gets it.
const DefaultScalingFactor = 0.13025

// The settings of latent-consistency/lcm-sdxl, from its model card.
const (
	lcmScheduler = "LCM"
	lcmSteps     = 4
	lcmGuidance  = 8
)

// sdxlSampleSize is unet/config.json's sample_size of SDXL base, in latent cells.
const sdxlSampleSize = 128

// Settings is how a model wants to be run, as its files say. What they do not say is SDXL's.
type Settings struct {
	ScalingFactor float64   // of latents
	LatentsMean   []float64 // for each latent channel; nil: none
	LatentsStd    []float64
	SchedulerName string
	Scheduler     scheduler.Config
	Prediction    string // that the UNet's file states; "": none
	EDM           bool   // the UNet has EDM's preconditioning: only schedulers made for it fit
	ForceZeros    bool   // an absent negative prompt is zeros
	SampleSize    int    // latent cells
	Width, Height int    // pixels; 0 before Adopt: those of SampleSize
	Steps         int
	Guidance      float64
	Downscale     int // pixels of a latent cell on each side

	Distilled scheduler.Distilled // what the names of the UNet's files say; no Method: nothing

	stated bool // the file of the UNet names SchedulerName
}

// SDXLSettings are those of SDXL base.
func SDXLSettings() Settings {
	return Settings{ScalingFactor: DefaultScalingFactor, SchedulerName: request.DefaultScheduler, Scheduler: scheduler.SDXLDefaults(),
		ForceZeros: true, SampleSize: sdxlSampleSize, Steps: request.DefaultNumInferenceSteps, Guidance: request.DefaultGuidanceScale,
		Downscale: 8}
}

// adoptUNet takes over what belongs to the UNet: its schedule, its size and its defaults. It returns a warning for the user, or "".
func (s *Settings) adoptUNet(c modelfile.Config) (warning string, err error) {
	set(&s.SampleSize, c.UNet.SampleSize)
	set(&s.Width, c.Default.Width)
	set(&s.Height, c.Default.Height)
	set(&s.Steps, c.Default.NumInferenceSteps)
	if g := c.Default.GuidanceScale; g != nil {
		s.Guidance = max(*g, request.NoGuidance)
	}
	if c.ForceZerosForEmptyPrompt != nil {
		s.ForceZeros = *c.ForceZerosForEmptyPrompt
	}
	return s.adoptScheduler(c.Scheduler)
}

// adoptScheduler takes over the file's scheduler. A class or options that are not known are left out with a warning. Options that
// change the meaning of the UNet's output are always taken.
func (s *Settings) adoptScheduler(c modelfile.SchedulerConfig) (warning string, err error) {
	if class, options, err := scheduler.ConfigFromMap(c.Raw); err == nil {
		s.Scheduler = s.Scheduler.With(options)
		if _, _, err := scheduler.Resolve(class); class != "" && err == nil {
			s.SchedulerName, s.stated = class, true
		} else if class != "" {
			warning = fmt.Sprintf("the model's scheduler, %s, is not known; its options are used with %s", words.Clip(class), s.SchedulerName)
		}
	} else {
		warning = fmt.Sprintf("the model's scheduler options are not all understood, and only the essential ones are used: %v", err)
	}
	over := scheduler.Config{PredictionType: c.PredictionType, RescaleBetasZeroSNR: c.RescaleBetasZeroSNR, BetaSchedule: c.BetaSchedule,
		TimestepSpacing: c.TimestepSpacing, StepsOffset: c.StepsOffset, UseKarrasSigmas: c.UseKarrasSigmas}
	if c.NumTrainTimesteps != 0 {
		over.NumTrainTimesteps = &c.NumTrainTimesteps
	}
	if c.BetaStart != 0 {
		over.BetaStart = &c.BetaStart
	}
	if c.BetaEnd != 0 {
		over.BetaEnd = &c.BetaEnd
	}
	s.Scheduler = s.Scheduler.With(over)
	set(&s.Prediction, c.PredictionType)
	if s.EDM = NeedsEDM(s.SchedulerName); c.EDM && !s.EDM {
		err = fmt.Errorf("%w: the file says that the model has EDM's preconditioning, and names no scheduler for it", ErrUnsupported)
	}
	return warning, err
}

// NeedsEDM reports whether a scheduler is made for models with EDM's preconditioning.
func NeedsEDM(name string) bool {
	info, err := scheduler.Describe(name)
	return err == nil && info.Needs == scheduler.NeedsEDM
}

// adoptVAE takes over the scaling of latents. A VAE whose file states none keeps that of the VAE it replaces.
func (s *Settings) adoptVAE(c modelfile.VAEConfig) {
	set(&s.ScalingFactor, c.ScalingFactor)
	if len(c.LatentsMean) > 0 && len(c.LatentsMean) == len(c.LatentsStd) {
		s.LatentsMean, s.LatentsStd = c.LatentsMean, c.LatentsStd
	}
}

// Adopt takes over what only the open model tells: marker tensors and dimensions.
func (s *Settings) Adopt(info backend.ModelInfo) {
	if info.VPrediction && (s.Scheduler.PredictionType == "" || s.Scheduler.PredictionType == "epsilon") {
		s.Scheduler.PredictionType = "v_prediction"
	}
	if info.ZeroTerminalSNR && s.Scheduler.RescaleBetasZeroSNR == nil {
		s.Scheduler.RescaleBetasZeroSNR = new(true)
	}
	if info.UNet.GuidanceDim > 0 {
		if s.Distilled.Method != "" { // the UNet itself says more than its name
			plain := SDXLSettings()
			s.Steps, s.Guidance, s.Distilled = plain.Steps, plain.Guidance, scheduler.Distilled{}
		}
		s.adoptLCM()
	}
	if len(s.LatentsMean) != info.VAE.LatentChannels {
		s.LatentsMean, s.LatentsStd = nil, nil
	}
	set(&s.Downscale, info.VAE.Downscale)
	set(&s.Width, cmp.Or(s.Width, s.SampleSize*s.Downscale))
	set(&s.Height, cmp.Or(s.Height, s.SampleSize*s.Downscale))
}

// adoptLCM sets LCM-SDXL's settings for a UNet that is told the guidance scale. Settings from its file stay.
func (s *Settings) adoptLCM() {
	if s.stated {
		return
	}
	s.SchedulerName, s.EDM = lcmScheduler, false
	if s.Steps == request.DefaultNumInferenceSteps {
		s.Steps = lcmSteps
	}
	if s.Guidance == request.DefaultGuidanceScale {
		s.Guidance = lcmGuidance
	}
}

// ScaleLatents turns one image's latents, [C, cells], from the VAE's range into the UNet's, in place:
// (x - mean) * scaling_factor / std, as diffusers' img2img pipeline does.
func (s *Settings) ScaleLatents(latents []float32, channels int) {
	cells := len(latents) / channels
	for i, v := range latents {
		if s.LatentsMean != nil {
			c := i / cells
			v = float32(v-float32(s.LatentsMean[c])) * float32(s.ScalingFactor) / float32(s.LatentsStd[c])
		} else {
			v *= float32(s.ScalingFactor)
		}
		latents[i] = v
	}
}

// UnscaleLatents is the inverse of ScaleLatents.
func (s *Settings) UnscaleLatents(latents []float32, channels int) {
	cells := len(latents) / channels
	for i, v := range latents {
		if s.LatentsMean != nil {
			c := i / cells
			v = float32(v*float32(s.LatentsStd[c])/float32(s.ScalingFactor)) + float32(s.LatentsMean[c])
		} else {
			v /= float32(s.ScalingFactor)
		}
		latents[i] = v
	}
}

// set overwrites dst where value states something.
func set[T comparable](dst *T, value T) {
	var zero T
	if value != zero {
		*dst = value
	}
}
