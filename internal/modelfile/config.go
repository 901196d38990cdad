package modelfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MetadataKey is the metadata entry of a safetensors or GGUF file that carries a Config as one JSON
// object with diffusers' key names; see ReadConfig.
const MetadataKey = "daguerre.config"

// Config is what weights do not tell. Zero values and nil mean "not stated": the user of a Config puts
// SDXL's own value there.
type Config struct {
	UNet         UNetConfig        `json:"unet,omitzero"`
	VAE          VAEConfig         `json:"vae,omitzero"`
	Scheduler    SchedulerConfig   `json:"scheduler,omitzero"`
	TextEncoder  TextEncoderConfig `json:"text_encoder,omitzero"`
	TextEncoder2 TextEncoderConfig `json:"text_encoder_2,omitzero"`
	Default      DefaultConfig     `json:"default,omitzero"`
	// ForceZerosForEmptyPrompt: an empty negative prompt is conditioned on zeros, not on its encoding.
	ForceZerosForEmptyPrompt *bool `json:"force_zeros_for_empty_prompt,omitempty"`
	// RequiresAestheticsScore is true in a refiner's model_index.json.
	RequiresAestheticsScore *bool `json:"requires_aesthetics_score,omitempty"`
	// Sources lists where values were found, in order of precedence.
	Sources []string `json:"sources,omitempty"`
}

// UNetConfig is the part of a UNet's config that its weights do not tell.
type UNetConfig struct {
	NormNumGroups int `json:"norm_num_groups,omitempty"`
	// HeadDim is the channels per attention head. diffusers' attention_head_dim holds, by an old
	// misnomer, the number of heads; the division is done here. MetadataKey may state head_dim itself.
	HeadDim    int `json:"head_dim,omitempty"`
	SampleSize int `json:"sample_size,omitempty"` // latent cells per side the model was trained at
}

// VAEConfig is the part of a VAE's config that its weights do not tell.
type VAEConfig struct {
	NormNumGroups int       `json:"norm_num_groups,omitempty"`
	ScalingFactor float64   `json:"scaling_factor,omitempty"`
	ShiftFactor   float64   `json:"shift_factor,omitempty"`
	ForceUpcast   *bool     `json:"force_upcast,omitempty"` // F16 overflows in it
	LatentsMean   []float64 `json:"latents_mean,omitempty"` // per latent channel
	LatentsStd    []float64 `json:"latents_std,omitempty"`
}

// SchedulerConfig holds what the UNet was trained with. Raw has every key, for packages that know more.
type SchedulerConfig struct {
	ClassName           string   `json:"_class_name,omitempty"`
	PredictionType      string   `json:"prediction_type,omitempty"` // "epsilon", "v_prediction" or "sample"
	RescaleBetasZeroSNR *bool    `json:"rescale_betas_zero_snr,omitempty"`
	NumTrainTimesteps   int      `json:"num_train_timesteps,omitempty"`
	BetaStart           float64  `json:"beta_start,omitempty"`
	BetaEnd             float64  `json:"beta_end,omitempty"`
	BetaSchedule        string   `json:"beta_schedule,omitempty"`
	TimestepSpacing     string   `json:"timestep_spacing,omitempty"`
	StepsOffset         *int     `json:"steps_offset,omitempty"`
	UseKarrasSigmas     *bool    `json:"use_karras_sigmas,omitempty"`
	SigmaMin            *float64 `json:"sigma_min,omitempty"` // of an EDM-style model
	SigmaMax            *float64 `json:"sigma_max,omitempty"`
	// EDM: the file carries the edm_vpred marker (CosXL): sigmas and preconditioning as in EDM.
	EDM bool           `json:"edm,omitempty"`
	Raw map[string]any `json:"-"`
}

// TextEncoderConfig is the part of a text encoder's config that its weights do not tell.
type TextEncoderConfig struct {
	HiddenAct string `json:"hidden_act,omitempty"` // "quick_gelu" or "gelu"
	HeadDim   int    `json:"head_dim,omitempty"`   // hidden_size / num_attention_heads
}

// DefaultConfig holds the settings a model is meant to be run with.
type DefaultConfig struct {
	Width             int      `json:"width,omitempty"`
	Height            int      `json:"height,omitempty"`
	NumInferenceSteps int      `json:"num_inference_steps,omitempty"`
	GuidanceScale     *float64 `json:"guidance_scale,omitempty"`
}

// ReadConfig collects a Config from a model file or a diffusers folder.
//
// In a file, in this order: the metadata entry MetadataKey; for a lone UNet, VAE or text encoder the
// config.json beside it; the marker tensors v_pred, ztsnr and edm_vpred; modelspec.* metadata. In a
// folder: model_index.json and each component's config. Unknown keys are ignored, since these files are
// other programs'; a value of the wrong type or range is an ErrConfig that names the key.
func ReadConfig(path string) (Config, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		folder, err := FolderFiles(path)
		if err != nil {
			return Config{}, err
		}
		return folder.config()
	}
	s, err := openSource(path)
	if err != nil {
		return Config{}, err
	}
	defer s.close()
	return s.config()
}

// config is what an open file of these parts states.
func (f *File) config(parts []*part) (Config, error) {
	var c Config
	if text, ok := f.Metadata[MetadataKey]; ok {
		o, err := parseObject([]byte(text), f.Path, "metadata "+MetadataKey)
		if err != nil {
			return Config{}, err
		}
		if err := c.fromObject(o); err != nil {
			return Config{}, err
		}
		c.Sources = append(c.Sources, "metadata "+MetadataKey)
	} else if err := c.fromNeighbour(f, parts); err != nil {
		return Config{}, err
	}
	if err := c.fromMarkers(f); err != nil {
		return Config{}, err
	}
	return c, c.fromModelSpec(f)
}

// fromObject reads the layout of MetadataKey.
func (c *Config) fromObject(o object) error {
	for _, name := range []string{"unet", "vae", "scheduler", "text_encoder", "text_encoder_2", "default"} {
		part, err := o.object(name)
		if err != nil {
			return err
		}
		if err := c.readComponent(name, part); err != nil {
			return err
		}
	}
	return c.readIndex(o)
}

func (c *Config) readIndex(o object) error {
	return errors.Join(o.boolean("force_zeros_for_empty_prompt", &c.ForceZerosForEmptyPrompt),
		o.boolean("requires_aesthetics_score", &c.RequiresAestheticsScore))
}

func (c *Config) readUNet(o object) error {
	err := errors.Join(o.integer("norm_num_groups", 1, 1<<16, &c.UNet.NormNumGroups),
		o.integer("sample_size", 1, 1<<16, &c.UNet.SampleSize))
	if err != nil {
		return err
	}
	if o.has("head_dim") {
		return o.integer("head_dim", 1, 1<<16, &c.UNet.HeadDim)
	}
	c.UNet.HeadDim, err = unetHeadDim(o)
	return err
}

// unetHeadDim divides block_out_channels by the number of heads, for the levels with attention.
func unetHeadDim(o object) (int, error) {
	channels, err := o.integers("block_out_channels")
	if err != nil || len(channels) == 0 {
		return 0, err
	}
	key := "num_attention_heads"
	heads, err := o.integers(key)
	if err == nil && len(heads) == 0 {
		key = "attention_head_dim"
		heads, err = o.integers(key)
	}
	if err != nil || len(heads) == 0 {
		return 0, err
	}
	blocks, err := o.strings("down_block_types")
	if err != nil {
		return 0, err
	}
	dim := 0
	for i, ch := range channels {
		if len(blocks) == len(channels) && !strings.Contains(blocks[i], "Attn") {
			continue
		}
		n := heads[0]
		if len(heads) > 1 {
			if len(heads) != len(channels) {
				return 0, o.bad(key, "%d numbers for %d levels", len(heads), len(channels))
			}
			n = heads[i]
		}
		if n <= 0 || ch <= 0 || ch%n != 0 {
			return 0, o.bad(key, "%d heads do not divide %d channels", n, ch)
		}
		if dim != 0 && dim != ch/n {
			return 0, o.bad(key, "heads of %d and of %d channels: one size for all levels is supported", dim, ch/n)
		}
		dim = ch / n
	}
	return dim, nil
}

func (c *Config) readVAE(o object) error {
	v := &c.VAE
	err := errors.Join(
		o.integer("norm_num_groups", 1, 1<<16, &v.NormNumGroups),
		o.number("scaling_factor", &v.ScalingFactor), o.number("shift_factor", &v.ShiftFactor),
		o.boolean("force_upcast", &v.ForceUpcast),
		o.numbers("latents_mean", &v.LatentsMean), o.numbers("latents_std", &v.LatentsStd))
	if err != nil {
		return err
	}
	if o.has("scaling_factor") && !(v.ScalingFactor > 0) {
		return o.bad("scaling_factor", "%v is not positive", v.ScalingFactor)
	}
	if len(v.LatentsMean) != len(v.LatentsStd) {
		return o.bad("latents_std", "%d numbers, but latents_mean has %d", len(v.LatentsStd), len(v.LatentsMean))
	}
	for _, s := range v.LatentsStd {
		if !(s > 0) {
			return o.bad("latents_std", "%v is not positive", s)
		}
	}
	return nil
}

func (c *Config) readScheduler(o object) error {
	s := &c.Scheduler
	s.Raw = o.values
	var sigmaMin, sigmaMax float64
	var offset int
	err := errors.Join(
		o.text("_class_name", &s.ClassName), o.text("prediction_type", &s.PredictionType),
		o.boolean("rescale_betas_zero_snr", &s.RescaleBetasZeroSNR),
		o.integer("num_train_timesteps", 1, 1<<24, &s.NumTrainTimesteps),
		o.number("beta_start", &s.BetaStart), o.number("beta_end", &s.BetaEnd),
		o.text("beta_schedule", &s.BetaSchedule), o.text("timestep_spacing", &s.TimestepSpacing),
		o.integer("steps_offset", 0, 1<<24, &offset), o.boolean("use_karras_sigmas", &s.UseKarrasSigmas),
		o.number("sigma_min", &sigmaMin), o.number("sigma_max", &sigmaMax))
	if err != nil {
		return err
	}
	if o.has("steps_offset") {
		s.StepsOffset = &offset
	}
	if o.has("sigma_min") {
		s.SigmaMin = &sigmaMin
	}
	if o.has("sigma_max") {
		s.SigmaMax = &sigmaMax
	}
	switch s.PredictionType {
	case "", "epsilon", "v_prediction", "sample":
		return nil
	}
	return o.bad("prediction_type", "%s; known are epsilon, v_prediction and sample", quoteName(s.PredictionType))
}

func readTextEncoder(o object, t *TextEncoderConfig) error {
	var width, heads int
	err := errors.Join(o.text("hidden_act", &t.HiddenAct),
		o.integer("hidden_size", 1, 1<<20, &width), o.integer("num_attention_heads", 1, 1<<16, &heads))
	if err != nil {
		return err
	}
	switch t.HiddenAct {
	case "", "quick_gelu", "gelu":
	default:
		return o.bad("hidden_act", "%s; known are quick_gelu and gelu", quoteName(t.HiddenAct))
	}
	if width > 0 && heads > 0 {
		if width%heads != 0 {
			return o.bad("num_attention_heads", "%d heads do not divide hidden_size %d", heads, width)
		}
		t.HeadDim = width / heads
	}
	return o.integer("head_dim", 1, 1<<16, &t.HeadDim)
}

func (c *Config) readDefault(o object) error {
	d := &c.Default
	var guidance float64
	err := errors.Join(o.integer("width", 8, 1<<16, &d.Width), o.integer("height", 8, 1<<16, &d.Height),
		o.integer("num_inference_steps", 1, 10_000, &d.NumInferenceSteps), o.number("guidance_scale", &guidance))
	if err == nil && o.has("guidance_scale") {
		d.GuidanceScale = &guidance
	}
	return err
}

// fromMarkers reads the tensors that trainers add as flags, where the prediction type is not stated.
func (c *Config) fromMarkers(f *File) error {
	s := &c.Scheduler
	_, v := f.Tensor("v_pred")
	_, zero := f.Tensor("ztsnr")
	_, edm := f.Tensor("edm_vpred.sigma_max")
	if (v || edm) && s.PredictionType == "" {
		s.PredictionType = "v_prediction"
	}
	if zero && s.RescaleBetasZeroSNR == nil {
		yes := true
		s.RescaleBetasZeroSNR = &yes
	}
	if edm {
		s.EDM = true
		for name, to := range map[string]**float64{"edm_vpred.sigma_max": &s.SigmaMax, "edm_vpred.sigma_min": &s.SigmaMin} {
			x, ok, err := f.scalar(name)
			if err != nil {
				return err
			}
			if ok && *to == nil {
				*to = &x
			}
		}
	}
	if v || zero || edm {
		c.Sources = append(c.Sources, "marker tensors")
	}
	return nil
}

// scalar reads a tensor of one element.
func (f *File) scalar(name string) (float64, bool, error) {
	t, ok := f.Tensor(name)
	if !ok {
		return 0, false, nil
	}
	if t.Elements() != 1 {
		return 0, false, &Error{Kind: ErrConfig, Path: f.Path, Field: tensorField(name), Found: "shape " + shapeString(t.Shape) + " where one number is needed"}
	}
	v, err := f.ReadFloat32(name)
	if err != nil {
		return 0, false, err
	}
	x := float64(v[0])
	if math.IsNaN(x) || math.IsInf(x, 0) || x <= 0 {
		return 0, false, &Error{Kind: ErrConfig, Path: f.Path, Field: tensorField(name), Found: fmt.Sprintf("%v is not a positive number", x)}
	}
	return x, true, nil
}

// fromModelSpec reads https://github.com/Stability-AI/ModelSpec metadata, the least trusted source.
func (c *Config) fromModelSpec(f *File) error {
	used := false
	if p := f.Metadata["modelspec.prediction_type"]; p != "" && c.Scheduler.PredictionType == "" {
		switch strings.ToLower(p) {
		case "v", "v_prediction", "v-prediction":
			c.Scheduler.PredictionType, used = "v_prediction", true
		case "epsilon", "eps":
			c.Scheduler.PredictionType, used = "epsilon", true
		}
	}
	if r := f.Metadata["modelspec.resolution"]; r != "" && c.Default.Width == 0 && c.Default.Height == 0 {
		ws, hs, _ := strings.Cut(strings.ToLower(r), "x")
		w, err1 := strconv.Atoi(ws)
		h, err2 := strconv.Atoi(hs)
		if err1 == nil && err2 == nil && w >= 8 && h >= 8 && w <= 1<<16 && h <= 1<<16 {
			c.Default.Width, c.Default.Height, used = w, h, true
		}
	}
	if used {
		c.Sources = append(c.Sources, "modelspec metadata")
	}
	return nil
}

// fromNeighbour reads the config.json beside a lone component, if it is of that component.
func (c *Config) fromNeighbour(f *File, parts []*part) error {
	path := filepath.Join(filepath.Dir(f.Path), "config.json")
	if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() {
		return nil
	}
	if len(parts) != 1 {
		return nil
	}
	found := parts[0].component
	o, err := readObject(path)
	if err != nil {
		return err
	}
	component := o.component()
	if component == "" || component != found && !(isTextEncoder(component) && isTextEncoder(found)) {
		return nil
	}
	if err := c.readComponent(found, o); err != nil {
		return err
	}
	c.Sources = append(c.Sources, path)
	return nil
}

func (c *Config) readComponent(name string, o object) error {
	switch name {
	case "unet", "controlnet":
		return c.readUNet(o)
	case "vae":
		return c.readVAE(o)
	case "text_encoder":
		return readTextEncoder(o, &c.TextEncoder)
	case "text_encoder_2":
		return readTextEncoder(o, &c.TextEncoder2)
	case "scheduler":
		return c.readScheduler(o)
	case "default":
		return c.readDefault(o)
	}
	return nil
}

// MarshalMetadata returns the JSON object for MetadataKey.
func (c Config) MarshalMetadata() (string, error) {
	c.Sources = nil
	b, err := json.Marshal(c)
	return string(b), err
}
