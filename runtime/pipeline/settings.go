package pipeline

import (
	"cmp"
	"fmt"
	"log/slog"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// DefaultScalingFactor is vae/config.json's scaling_factor of SDXL: that of a VAE whose file states none.
const DefaultScalingFactor = 0.13025

const sdxlScalingFactor = DefaultScalingFactor

// sdxlSampleSize is unet/config.json's sample_size of SDXL base, in latent cells.
const sdxlSampleSize = 128

// settings is what a model wants done around its weights, as its files tell, with SDXL's values
// for what they do not.
type settings struct {
	scalingFactor           float64
	latentsMean, latentsStd []float64 // per latent channel; nil: none
	schedulerName           string
	scheduler               scheduler.Config
	forceZeros              bool
	sampleSize              int // latent cells
	width, height           int // 0: sampleSize
	steps                   int
	guidance                float64
	downscale               int // pixels per latent cell
}

func sdxlSettings() settings {
	return settings{scalingFactor: sdxlScalingFactor, schedulerName: request.DefaultScheduler, scheduler: scheduler.SDXLDefaults(),
		forceZeros: true, sampleSize: sdxlSampleSize, steps: request.DefaultNumInferenceSteps, guidance: request.DefaultGuidanceScale, downscale: 8}
}

// adoptUNet takes over what goes with the UNet: the schedule it was trained on and how it likes to be run.
func (s *settings) adoptUNet(c modelfile.Config, log *slog.Logger) error {
	set(&s.sampleSize, c.UNet.SampleSize)
	set(&s.width, c.Default.Width)
	set(&s.height, c.Default.Height)
	set(&s.steps, c.Default.NumInferenceSteps)
	if g := c.Default.GuidanceScale; g != nil {
		s.guidance = max(*g, request.NoGuidance)
	}
	if c.ForceZerosForEmptyPrompt != nil {
		s.forceZeros = *c.ForceZerosForEmptyPrompt
	}
	return s.adoptScheduler(c.Scheduler, log)
}

// adoptScheduler takes over the options of the file's scheduler. Its class is taken where it is known; options
// of other programs that are not are left out with a warning, except those that change what the UNet's output means.
func (s *settings) adoptScheduler(c modelfile.SchedulerConfig, log *slog.Logger) error {
	if c.EDM {
		return fmt.Errorf("%w: the model carries the marker edm_vpred (CosXL), whose preconditioning is not offered", ErrUnsupportedModel)
	}
	if class, options, err := scheduler.ConfigFromMap(c.Raw); err == nil {
		s.scheduler = s.scheduler.With(options)
		if _, _, err := scheduler.Resolve(class); class != "" && err == nil {
			s.schedulerName = class
		} else if class != "" {
			log.Warn("the model's scheduler is not known; its options are used with another", "class", class, "instead", s.schedulerName)
		}
	} else {
		log.Warn("the model's scheduler options are not all understood; only the essential ones are used", "error", err)
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
	s.scheduler = s.scheduler.With(over)
	return nil
}

// adoptVAE takes over the scaling of latents. A VAE's file that states none is taken to have the latent
// space of the one it replaces.
func (s *settings) adoptVAE(c modelfile.VAEConfig) {
	set(&s.scalingFactor, c.ScalingFactor)
	if len(c.LatentsMean) > 0 && len(c.LatentsMean) == len(c.LatentsStd) {
		s.latentsMean, s.latentsStd = c.LatentsMean, c.LatentsStd
	}
}

// adopt takes over what only the open model tells: marker tensors and dimensions.
func (s *settings) adopt(info backend.ModelInfo) {
	if info.VPrediction && (s.scheduler.PredictionType == "" || s.scheduler.PredictionType == "epsilon") {
		s.scheduler.PredictionType = "v_prediction"
	}
	if info.ZeroTerminalSNR && s.scheduler.RescaleBetasZeroSNR == nil {
		s.scheduler.RescaleBetasZeroSNR = new(true)
	}
	if len(s.latentsMean) != info.VAE.LatentChannels {
		s.latentsMean, s.latentsStd = nil, nil
	}
	set(&s.downscale, info.VAE.Downscale)
	set(&s.width, cmp.Or(s.width, s.sampleSize*s.downscale))
	set(&s.height, cmp.Or(s.height, s.sampleSize*s.downscale))
}

// scaleLatents turns one image's latents, [C, cells], from the VAE's range into the UNet's, in place:
// (x - mean) * scaling_factor / std, as diffusers' img2img pipeline does.
func (s *settings) scaleLatents(latents []float32, channels int) {
	cells := len(latents) / channels
	for i, v := range latents {
		if s.latentsMean != nil {
			c := i / cells
			v = float32(v-float32(s.latentsMean[c])) * float32(s.scalingFactor) / float32(s.latentsStd[c])
		} else {
			v *= float32(s.scalingFactor)
		}
		latents[i] = v
	}
}

// unscaleLatents is the inverse of scaleLatents.
func (s *settings) unscaleLatents(latents []float32, channels int) {
	cells := len(latents) / channels
	for i, v := range latents {
		if s.latentsMean != nil {
			c := i / cells
			v = float32(v*float32(s.latentsStd[c])/float32(s.scalingFactor)) + float32(s.latentsMean[c])
		} else {
			v /= float32(s.scalingFactor)
		}
		latents[i] = v
	}
}
