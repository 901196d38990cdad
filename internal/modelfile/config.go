package modelfile

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/internal/fault"
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
	ImageEncoder TextEncoderConfig `json:"image_encoder,omitzero"` // it says the same of its kind
	ControlXS    ControlXSConfig   `json:"controlnet_xs,omitzero"`
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
	NormNumGroups int `json:"norm_num_groups,omitempty" range:"1 65536"`
	// HeadDim is the channels per attention head. diffusers' attention_head_dim holds, by an old
	// misnomer, the number of heads; the division is done here. MetadataKey may state head_dim itself.
	HeadDim    int `json:"head_dim,omitempty" range:"1 65536"`
	SampleSize int `json:"sample_size,omitempty" range:"1 65536"` // latent cells per side the model was trained at
	// TimeCondProjDim is the width of the guidance scale's embedding, of a UNet that has one (LCM). The weights tell it as well.
	TimeCondProjDim int `json:"time_cond_proj_dim,omitempty" range:"2 65536"`
}

// VAEConfig is the part of a VAE's config that its weights do not tell.
type VAEConfig struct {
	NormNumGroups int       `json:"norm_num_groups,omitempty" range:"1 65536"`
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
	NumTrainTimesteps   int      `json:"num_train_timesteps,omitempty" range:"1 16777216"`
	BetaStart           float64  `json:"beta_start,omitempty"`
	BetaEnd             float64  `json:"beta_end,omitempty"`
	BetaSchedule        string   `json:"beta_schedule,omitempty"`
	TimestepSpacing     string   `json:"timestep_spacing,omitempty"`
	StepsOffset         *int     `json:"steps_offset,omitempty" range:"0 16777216"`
	UseKarrasSigmas     *bool    `json:"use_karras_sigmas,omitempty"`
	SigmaMin            *float64 `json:"sigma_min,omitempty"` // of an EDM-style model
	SigmaMax            *float64 `json:"sigma_max,omitempty"`
	// EDM: the file carries markers of EDM's preconditioning (Playground v2.5, CosXL).
	EDM bool           `json:"-"`
	Raw map[string]any `json:"-"`
}

// TextEncoderConfig is the part of a text encoder's config that its weights do not tell.
type TextEncoderConfig struct {
	HiddenAct string `json:"hidden_act,omitempty"`               // "quick_gelu" or "gelu"
	HeadDim   int    `json:"head_dim,omitempty" range:"1 65536"` // hidden_size / num_attention_heads
}

// DefaultConfig holds the settings a model is meant to be run with.
type DefaultConfig struct {
	Width             int      `json:"width,omitempty" range:"8 65536"`
	Height            int      `json:"height,omitempty" range:"8 65536"`
	NumInferenceSteps int      `json:"num_inference_steps,omitempty" range:"1 10000"`
	GuidanceScale     *float64 `json:"guidance_scale,omitempty"`
}

// ReadConfig collects a Config from a model file or a diffusers folder.
//
// In a file, in this order: the metadata entry MetadataKey; for a lone UNet, VAE or text encoder the
// config.json beside it; marker tensors (v_pred, ztsnr, edm_mean and edm_std, edm_vpred.*); modelspec.* metadata. In a
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
func (f *File) config(parts []*part) (c Config, err error) {
	err = fault.Catch(func() {
		if text, ok := f.Metadata[MetadataKey]; ok {
			c.fromObject(fault.Value(parseObject([]byte(text), f.Path, "metadata "+MetadataKey)))
			c.Sources = append(c.Sources, "metadata "+MetadataKey)
		} else {
			c.fromNeighbour(f, parts)
		}
		c.fromMarkers(f)
		c.fromModelSpec(f)
	})
	return c, err
}

// fromObject reads the layout of MetadataKey.
func (c *Config) fromObject(o object) {
	for _, name := range []string{"unet", "vae", "scheduler", "text_encoder", "text_encoder_2", "image_encoder", "controlnet_xs",
		"default"} {
		c.readComponent(name, o.object(name))
	}
	c.readIndex(o)
}

func (c *Config) readIndex(o object) {
	o.into("force_zeros_for_empty_prompt", &c.ForceZerosForEmptyPrompt)
	o.into("requires_aesthetics_score", &c.RequiresAestheticsScore)
}

func (c *Config) readComponent(name string, o object) {
	if name == "controlnet" && isXSConfig(o) {
		name = "controlnet_xs"
	}
	switch name {
	case "controlnet_xs":
		c.ControlXS.read(o)
	case "unet", "controlnet":
		c.UNet.HeadDim = unetHeadDim(o)
		o.fill(&c.UNet)
	case "vae":
		c.VAE.read(o)
	case "text_encoder":
		c.TextEncoder.read(o)
	case "text_encoder_2":
		c.TextEncoder2.read(o)
	case "image_encoder":
		c.ImageEncoder.read(o)
	case "scheduler":
		s := &c.Scheduler
		s.Raw = maps.Clone(o.values)
		delete(s.Raw, "edm") // an earlier version's
		o.fill(s)
		if s.PredictionType != "" && !slices.Contains([]string{"epsilon", "v_prediction", "sample"}, s.PredictionType) {
			panic(o.bad("prediction_type", "%s; known are epsilon, v_prediction and sample", quoteName(s.PredictionType)))
		}
	case "default":
		o.fill(&c.Default)
	}
}

// unetHeadDim divides block_out_channels by the number of heads, for the levels with attention. It is 0 where they or head_dim itself say
// something else.
func unetHeadDim(o object) (dim int) {
	var channels, heads []int
	var blocks []string
	o.into("block_out_channels", &channels)
	key := "num_attention_heads"
	if o.into(key, &heads); len(heads) == 0 {
		key = "attention_head_dim"
		o.into(key, &heads)
	}
	if len(channels) == 0 || len(heads) == 0 || o.has("head_dim") {
		return 0
	}
	o.into("down_block_types", &blocks)
	for i, ch := range channels {
		if len(blocks) == len(channels) && !strings.Contains(blocks[i], "Attn") {
			continue
		}
		n := heads[0]
		if len(heads) > 1 {
			if len(heads) != len(channels) {
				panic(o.bad(key, "%d numbers for %d levels", len(heads), len(channels)))
			}
			n = heads[i]
		}
		if n <= 0 || ch <= 0 || ch%n != 0 {
			panic(o.bad(key, "%d heads do not divide %d channels", n, ch))
		}
		if dim != 0 && dim != ch/n {
			panic(o.bad(key, "heads of %d and of %d channels: one size for all levels is supported", dim, ch/n))
		}
		dim = ch / n
	}
	return dim
}

func (v *VAEConfig) read(o object) {
	o.fill(v)
	if o.has("scaling_factor") && !(v.ScalingFactor > 0) {
		panic(o.bad("scaling_factor", "%v is not positive", v.ScalingFactor))
	}
	if len(v.LatentsMean) != len(v.LatentsStd) {
		panic(o.bad("latents_std", "%d numbers, but latents_mean has %d", len(v.LatentsStd), len(v.LatentsMean)))
	}
	for _, s := range v.LatentsStd {
		if !(s > 0) {
			panic(o.bad("latents_std", "%v is not positive", s))
		}
	}
}

func (t *TextEncoderConfig) read(o object) {
	var width, heads int
	o.into("hidden_size", &width, 1, 1<<20)
	o.into("num_attention_heads", &heads, 1, 1<<16)
	if width > 0 && heads > 0 {
		if width%heads != 0 {
			panic(o.bad("num_attention_heads", "%d heads do not divide hidden_size %d", heads, width))
		}
		t.HeadDim = width / heads
	}
	o.fill(t)
	if t.HiddenAct != "" && t.HiddenAct != "quick_gelu" && t.HiddenAct != "gelu" {
		panic(o.bad("hidden_act", "%s; known are quick_gelu and gelu", quoteName(t.HiddenAct)))
	}
}

// fromModelSpec reads https://github.com/Stability-AI/ModelSpec metadata, the least trusted source.
func (c *Config) fromModelSpec(f *File) {
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
}

// fromNeighbour reads the config.json beside a lone component, if it is of that component.
func (c *Config) fromNeighbour(f *File, parts []*part) {
	path := filepath.Join(filepath.Dir(f.Path), "config.json")
	if st, err := os.Stat(path); err != nil || !st.Mode().IsRegular() || len(parts) != 1 {
		return
	}
	o, found := fault.Value(readObject(path)), parts[0].component
	if component := o.component(); component == found || isTextEncoder(component) && isTextEncoder(found) {
		c.readComponent(found, o)
		c.Sources = append(c.Sources, path)
	}
}

// MarshalMetadata returns the JSON object for MetadataKey, with all that the scheduler's configuration says.
func (c Config) MarshalMetadata() (string, error) {
	c.Sources = nil
	b, err := json.Marshal(c)
	if err != nil || len(c.Scheduler.Raw) == 0 {
		return string(b), err
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		return "", err
	}
	scheduler := maps.Clone(c.Scheduler.Raw)
	stated, _ := all["scheduler"].(map[string]any)
	maps.Copy(scheduler, stated)
	all["scheduler"] = scheduler
	b, err = json.Marshal(all)
	return string(b), err
}
