package modelfile

import (
	"encoding/json"
	"maps"
	"math"
	"slices"

	"github.com/daguerre-go/daguerre/internal/fault"
)

// The tensors that trainers and ComfyUI put beside a UNet to say how it was trained. v_pred and ztsnr have no elements.
const (
	markerV        = "v_pred"
	markerZeroSNR  = "ztsnr"
	markerMean     = "edm_mean"            // Playground v2.5: the latents' mean and deviation, one number for each channel
	markerStd      = "edm_std"             //
	markerSigmaMax = "edm_vpred.sigma_max" // CosXL: the ends of its noise levels
	markerSigmaMin = "edm_vpred.sigma_min"
)

func isMarker(name string) bool {
	return slices.Contains([]string{markerV, markerZeroSNR, markerMean, markerStd, markerSigmaMax, markerSigmaMin}, name)
}

// playgroundScaling is what diffusers and ComfyUI take for the scaling factor of a file with edm_mean and edm_std.
const playgroundScaling = 0.5

// The schedules of models with EDM's preconditioning, in diffusers' terms: Playground v2.5's own scheduler_config.json, and what CosXL's
// cosine-continuous EDM with v-prediction is in diffusers. A marker's number takes the place of one of these.
var (
	playgroundSchedule = map[string]any{"_class_name": "EDMDPMSolverMultistepScheduler", "prediction_type": "epsilon",
		"sigma_data": json.Number("0.5"), "sigma_min": json.Number("0.002"), "sigma_max": json.Number("80"), "rho": json.Number("7")}
	cosXLSchedule = map[string]any{"_class_name": "EDMEulerScheduler", "prediction_type": "v_prediction",
		"sigma_data": json.Number("1"), "sigma_min": json.Number("0.002"), "sigma_max": json.Number("120"), "sigma_schedule": "exponential"}
)

// fromMarkers reads the marker tensors. Settings that are stated elsewhere stay.
func (c *Config) fromMarkers(f *File) {
	s := &c.Scheduler
	found := true
	switch {
	case f.has(markerMean) || f.has(markerStd):
		c.playground(f)
	case f.has(markerSigmaMax) || f.has(markerSigmaMin):
		c.cosXL(f)
	case f.has(markerV):
		if s.PredictionType == "" {
			s.PredictionType = "v_prediction"
		}
	default:
		found = false
	}
	if zero := f.has(markerZeroSNR); zero {
		found = true
		if s.RescaleBetasZeroSNR == nil {
			s.RescaleBetasZeroSNR = &zero
		}
	}
	if found {
		c.Sources = append(c.Sources, "marker tensors")
	}
}

// playground reads the settings of latents and noise levels from Playground v2.5's markers, as diffusers' from_single_file does.
func (c *Config) playground(f *File) {
	mean, std := f.numbers(markerMean), f.numbers(markerStd)
	if len(mean) != len(std) {
		panic(withPath(f.Path, fail(ErrConfig, tensorField(markerStd), "", "%d numbers, but %s has %d", len(std), markerMean, len(mean))))
	}
	for _, x := range std {
		if x <= 0 {
			panic(withPath(f.Path, fail(ErrConfig, tensorField(markerStd), "", "%v is not positive", x)))
		}
	}
	if len(c.VAE.LatentsMean) == 0 {
		c.VAE.LatentsMean, c.VAE.LatentsStd = mean, std
	}
	if c.VAE.ScalingFactor == 0 {
		c.VAE.ScalingFactor = playgroundScaling
	}
	c.Scheduler.preconditioned(playgroundSchedule)
}

// cosXL reads the noise levels of a model that has EDM's preconditioning and predicts v.
func (c *Config) cosXL(f *File) {
	s := &c.Scheduler
	for name, to := range map[string]**float64{markerSigmaMax: &s.SigmaMax, markerSigmaMin: &s.SigmaMin} {
		if x := f.scalar(name); *to == nil {
			*to = x
		}
	}
	s.preconditioned(cosXLSchedule)
}

// preconditioned sets a schedule with EDM's preconditioning, if no scheduler is stated.
func (s *SchedulerConfig) preconditioned(schedule map[string]any) {
	s.EDM = true
	if s.ClassName != "" {
		return
	}
	raw := maps.Clone(schedule)
	for key, x := range map[string]*float64{"sigma_min": s.SigmaMin, "sigma_max": s.SigmaMax} {
		if x != nil {
			raw[key] = json.Number(fault.Value(json.Marshal(*x)))
		}
	}
	maps.Copy(raw, s.Raw)
	s.Raw = raw
	object{field: "marker tensors", values: raw}.fill(s)
}

// numbers reads a small tensor of finite numbers.
func (f *File) numbers(name string) []float64 {
	bad := func(format string, args ...any) {
		panic(withPath(f.Path, fail(ErrConfig, tensorField(name), "", format, args...)))
	}
	t, ok := f.Tensor(name)
	if !ok {
		bad("missing, and its companion is there: both describe the latents")
	}
	if n := t.Elements(); n < 1 || n > 64 {
		bad("shape %s where a number for each latent channel is needed", shapeString(t.Shape))
	}
	var out []float64
	for _, x := range fault.Value(f.ReadFloat32(name)) {
		if x-x != 0 {
			bad("%v is not finite", x)
		}
		out = append(out, float64(x))
	}
	return out
}

// scalar reads a tensor of one positive element; nil if there is no tensor of that name.
func (f *File) scalar(name string) *float64 {
	t, ok := f.Tensor(name)
	if !ok {
		return nil
	}
	bad := func(format string, args ...any) {
		panic(withPath(f.Path, fail(ErrConfig, tensorField(name), "", format, args...)))
	}
	if t.Elements() != 1 {
		bad("shape %s where one number is needed", shapeString(t.Shape))
	}
	x := float64(fault.Value(f.ReadFloat32(name))[0])
	if math.IsNaN(x) || math.IsInf(x, 0) || x <= 0 {
		bad("%v is not a positive number", x)
	}
	return &x
}
