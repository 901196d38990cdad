package pipeline

import (
	"context"
	"slices"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Manifest says everything that is needed to make one picture again. Its JSON is written into PNG files.
type Manifest struct {
	Version         int               `json:"manifest_version"` // 1
	Prompt          string            `json:"prompt"`
	Prompt2         string            `json:"prompt_2,omitempty"`
	NegativePrompt  string            `json:"negative_prompt"`
	NegativePrompt2 string            `json:"negative_prompt_2,omitempty"`
	ForceZeros      bool              `json:"force_zeros_for_empty_prompt"`
	PromptSyntax    string            `json:"prompt_syntax,omitempty"` // if it is not A1111's
	Width           int               `json:"width"`
	Height          int               `json:"height"`
	Seed            int64             `json:"seed"`
	RNG             string            `json:"rng"`
	Steps           int               `json:"num_inference_steps"`
	GuidanceScale   float64           `json:"guidance_scale"`
	GuidanceRescale float64           `json:"guidance_rescale,omitempty"`
	Guidance        *request.Guidance `json:"guidance,omitempty"` // where it is not plain
	PAG             *request.PAG      `json:"pag,omitempty"`
	SEG             *request.SEG      `json:"seg,omitempty"`
	FreeU           *request.FreeU    `json:"freeu,omitempty"`
	GuidanceStart   float64           `json:"guidance_start,omitempty"`
	GuidanceStop    *float64          `json:"guidance_stop,omitempty"`
	ClipSkip        int               `json:"clip_skip,omitempty"`
	Scheduler       SchedulerInfo     `json:"scheduler"`
	Sigmas          string            `json:"sigmas,omitempty"`
	OriginalSize    [2]int            `json:"original_size"`
	Crop            [2]int            `json:"crops_coords_top_left"`
	TargetSize      [2]int            `json:"target_size"`
	NegativeSizes   [3][2]int         `json:"negative_sizes"` // original, crop, target
	InitImage       string            `json:"init_image,omitempty"`
	MaskImage       string            `json:"mask_image,omitempty"`
	MaskChannel     string            `json:"mask_channel,omitempty"`
	Strength        float64           `json:"strength,omitempty"`
	Noise           string            `json:"noise,omitempty"`
	Latents         string            `json:"latents,omitempty"`
	DenoisingStart  float64           `json:"denoising_start,omitempty"`
	DenoisingEnd    float64           `json:"denoising_end,omitempty"`

	// Asked is what the prompts above were made of, where styles were added, or wildcards and variants were drawn by the seed.
	Asked *manifestPrompts `json:"asked,omitempty"`

	Refiner  *ManifestRefiner        `json:"refiner,omitempty"`
	Seamless string                  `json:"seamless,omitempty"`
	Hires    *ManifestHires          `json:"hires,omitempty"`
	Inpaint  *request.Inpaint        `json:"inpaint,omitempty"` // where there is a mask
	Outpaint *request.Outpaint       `json:"outpaint,omitempty"`
	Reuse    *request.Reuse          `json:"reuse,omitempty"`
	Tiles    *request.TiledDiffusion `json:"tiled_diffusion,omitempty"`

	ControlNets []ManifestControl `json:"controlnets,omitempty"`

	IPAdapters []manifestIPAdapter `json:"ip_adapters,omitempty"`

	Regions      []manifestRegion `json:"region,omitempty"`
	Details      []manifestDetail `json:"detail,omitempty"`
	Found        []prepare.Found  `json:"found,omitempty"` // by the detectors of details
	PromptWeight float64          `json:"prompt_weight,omitempty"`
	RegionMode   string           `json:"region_mode,omitempty"`

	LoRAs []LoRAInfo `json:"loras,omitempty"`

	Files  []manifestFile  `json:"request_files,omitempty"` // of weights that the request names or takes part of
	Inputs []manifestInput `json:"inputs,omitempty"`        // pictures and arrays of the request

	// Memory says in words how the run was made to fit, where not all weights were simply resident.
	Memory string `json:"memory,omitempty"`
	// Warnings are what was done otherwise than one may expect, in words: of opening the model, of the request and of making its pictures.
	Warnings []string      `json:"warnings,omitempty"`
	Model    ManifestModel `json:"model"`
}

// manifestPrompts are prompts as they were asked for.
type manifestPrompts struct {
	Prompt          string   `json:"prompt"`
	Prompt2         string   `json:"prompt_2,omitempty"`
	NegativePrompt  string   `json:"negative_prompt,omitempty"`
	NegativePrompt2 string   `json:"negative_prompt_2,omitempty"`
	Styles          []string `json:"styles,omitempty"`
	Regions         []string `json:"regions,omitempty"` // their prompts
}

// made puts the prompts that a picture was made with into the place of those that were asked for.
func (m *Manifest) made(img Image, q *request.Request, known []LoRAInfo) {
	if img.prep == nil {
		return
	}
	m.Asked = &manifestPrompts{q.Prompt, q.Prompt2, q.NegativePrompt, q.NegativePrompt2, q.Styles, nil}
	d := img.prep.Drawn
	for i, g := range q.Regions {
		m.Asked.Regions = append(m.Asked.Regions, g.Prompt)
		m.Regions[i].Prompt = d.Regions()[i]
	}
	m.Prompt, m.Prompt2, m.NegativePrompt, m.NegativePrompt2 = d.Prompt, d.Prompt2, d.NegativePrompt, d.NegativePrompt2
	m.LoRAs = describeLoRAs(img.prep)
	for i := range m.LoRAs {
		for _, k := range known {
			if k.file == m.LoRAs[i].file {
				m.LoRAs[i].SHA256, m.LoRAs[i].AutoV3 = k.SHA256, k.AutoV3
			}
		}
	}
}

// ManifestRefiner says which refiner took part and how; see the fields of request.Request.
type ManifestRefiner struct {
	Name                   string  `json:"name"` // of its file or folder
	Source                 *Source `json:"source,omitempty"`
	Mode                   string  `json:"mode"`
	Start                  float64 `json:"start,omitempty"`
	Strength               float64 `json:"strength,omitempty"`
	Steps                  int     `json:"num_inference_steps"`
	AestheticScore         float64 `json:"aesthetic_score"`
	NegativeAestheticScore float64 `json:"negative_aesthetic_score"`
}

// ManifestHires says how the second pass was done; see request.Hires. The manifest's own size is the first pass's.
type ManifestHires struct {
	Width    int     `json:"width"`
	Height   int     `json:"height"`
	Upscaler string  `json:"upscaler"`
	Model    string  `json:"model,omitempty"`  // the upscaler's name
	Source   *Source `json:"source,omitempty"` // the upscaler's
	Strength float64 `json:"strength"`
	Steps    int     `json:"num_inference_steps"`
}

// ManifestControl says how one ControlNet took part; see request.ControlNet.
type ManifestControl struct {
	Name         string         `json:"name"` // of its file or folder
	Source       *Source        `json:"source,omitempty"`
	Image        string         `json:"image"`
	Weight       float64        `json:"weight"`
	Start        float64        `json:"start"`
	End          float64        `json:"end"`
	Mode         string         `json:"control_mode"`
	Resize       string         `json:"resize_mode"`
	Preprocessor string         `json:"preprocessor,omitempty"`
	Options      map[string]any `json:"preprocessor_options,omitempty"`
	UnionType    string         `json:"union_type,omitempty"`
	UnionJoined  bool           `json:"union_joined,omitempty"`
}

// manifestControls describes a request's ControlNets with their defaults.
func manifestControls(nets []request.ControlNet, sources []*Source) []ManifestControl {
	var out []ManifestControl
	for i, n := range nets {
		spec := prepare.NetOf(n)
		out = append(out, ManifestControl{Name: ModelName(n.Model), Image: inputName(n.Image.Path, !n.Image.IsZero()), Weight: spec.Weight,
			Start: spec.Start, End: spec.End, Mode: string(spec.Mode), Resize: string(spec.Resize), Preprocessor: n.Preprocessor,
			Options: n.PreprocessorOptions, UnionType: n.UnionType, UnionJoined: n.UnionJoined})
		if i < len(sources) {
			out[i].Source = sources[i]
		}
	}
	return out
}

// ManifestModel says which weights made a picture and how they were held.
type ManifestModel struct {
	Name         string            `json:"name"` // of the file or folder, without its path and extension
	Source       *Source           `json:"source,omitempty"`
	Kind         backend.Kind      `json:"kind"`
	SHA256       string            `json:"sha256,omitempty"`
	UNet         string            `json:"unet,omitempty"` // names of the files that replace components
	TextEncoder  string            `json:"text_encoder,omitempty"`
	TextEncoder2 string            `json:"text_encoder_2,omitempty"`
	VAE          string            `json:"vae,omitempty"`
	Precision    backend.Precision `json:"precision"`
	UNetType     backend.Type      `json:"unet_type"`
	Device       string            `json:"device"`
	Choices      string            `json:"choices,omitempty"` // ways of computing that were measured on the device, in words
	Settings     map[string]any    `json:"settings"`          // other keys of [model] that can change a picture; null: not known
}

// Manifest describes one of the result's pictures. It leaves the model's hash empty unless ModelHash
// was called before, since computing it may take long.
func (r *Result) Manifest(img Image) Manifest {
	q := r.Request
	original, crop, target := q.NegativeSizes(false)
	m := Manifest{Version: 1, Prompt: q.Prompt, Prompt2: q.Prompt2, NegativePrompt: q.NegativePrompt, NegativePrompt2: q.NegativePrompt2,
		ForceZeros: q.ForceZerosForEmptyPrompt != nil && *q.ForceZerosForEmptyPrompt, Width: q.Width, Height: q.Height,
		Seed: img.Seed, RNG: q.RNG, Steps: q.NumInferenceSteps, GuidanceScale: q.GuidanceScale, GuidanceRescale: q.GuidanceRescale,
		GuidanceStart: q.GuidanceStart, GuidanceStop: q.GuidanceStop,
		ClipSkip: q.ClipSkip, Scheduler: r.Scheduler, OriginalSize: sizePair(q.OriginalSize), Crop: pointPair(q.CropsCoordsTopLeft),
		TargetSize:    sizePair(q.TargetSize),
		NegativeSizes: [3][2]int{sizePair(original), pointPair(crop), sizePair(target)},
		Sigmas:        q.Sigmas, MaskChannel: q.MaskChannel,
		InitImage: inputName(q.InitImage.Path, !q.InitImage.IsZero()), MaskImage: inputName(q.MaskImage.Path, !q.MaskImage.IsZero()),
		Strength: q.Strength, Noise: inputName(q.Noise.Path, !q.Noise.IsZero()),
		ControlNets: manifestControls(q.ControlNets, r.nets), IPAdapters: r.manifestIPAdapters(),
		Details: manifestDetails(&q), Found: img.found, Regions: manifestRegions(&q), PromptWeight: q.PromptWeight,
		RegionMode: q.RegionMode,
		Latents:    inputName(q.Latents.Path, !q.Latents.IsZero()), DenoisingStart: q.DenoisingStart, DenoisingEnd: q.DenoisingEnd,
		LoRAs: slices.Clone(r.LoRAs), Files: slices.Clone(r.files), Warnings: r.warnings(),
		Model: ManifestModel{Kind: r.Model.Kind, Precision: r.Model.Precision}}
	m.made(img, &q, r.LoRAs)
	if q.PromptSyntax != request.SyntaxA1111 {
		m.PromptSyntax = q.PromptSyntax
	}
	if h := q.Hires; h.On() {
		m.Hires = &ManifestHires{Width: h.Width, Height: h.Height, Upscaler: h.Upscaler, Strength: h.Strength, Steps: h.Steps}
		if r.model != nil && h.Upscaler == request.UpscaleModel {
			m.Hires.Model, m.Hires.Source = ModelName(r.model.config.Upscaler), SourceOf(r.model.config.Upscaler)
		}
	}
	if q.Guidance != (request.Guidance{}) {
		m.Guidance = &q.Guidance
	}
	if q.PAG.On() {
		m.PAG = &q.PAG
	}
	if q.SEG.On() {
		m.SEG = &q.SEG
	}
	if q.FreeU.On() {
		m.FreeU = &q.FreeU
	}
	if q.Seamless != request.SeamlessNone {
		m.Seamless = q.Seamless
	}
	if q.Inpaint != (request.Inpaint{}) {
		m.Inpaint = &q.Inpaint
	}
	if q.Outpaint.On() {
		m.Outpaint = &q.Outpaint
	}
	if q.TiledDiffusion.On() {
		m.Tiles = &q.TiledDiffusion
	}
	if q.Reuse.Way() != "" {
		m.Reuse = &q.Reuse
	}
	for _, c := range r.Model.Components {
		if c.Name == "unet" {
			m.Model.UNetType, m.Model.Device = c.Type, c.Device
		}
	}
	if s := img.strategy; s != (memory.Strategy{}) && s != (memory.Strategy{Name: memory.Resident}) {
		m.Memory = s.String()
	}
	if r.inputs != nil {
		m.Inputs = r.inputs()
	}
	if r.model != nil {
		c := r.model.config
		m.Model.Settings = c.settings(img.strategy)
		m.Model.Name, m.Model.Source = ModelName(c.Model), SourceOf(c.Model)
		m.Model.UNet, m.Model.TextEncoder, m.Model.TextEncoder2, m.Model.VAE = ModelName(c.UNet), ModelName(c.TextEncoder),
			ModelName(c.TextEncoder2), ModelName(c.VAE)
		if c.Refiner != "" && q.RefinerMode != request.RefinerNone {
			m.Refiner = &ManifestRefiner{Name: ModelName(c.Refiner), Source: SourceOf(c.Refiner), Mode: q.RefinerMode,
				Start: q.RefinerStart, Strength: q.RefinerStrength,
				Steps: q.RefinerSteps, AestheticScore: q.AestheticScore, NegativeAestheticScore: q.NegativeAestheticScore}
		}
		m.Model.Choices = r.model.choices.String()
		r.model.hash.mu.Lock()
		m.Model.SHA256 = r.model.hash.sum
		r.model.hash.mu.Unlock()
	}
	return m
}

// ModelHash is Pipeline.ModelHash for the pipeline that made the result; it may be called after Close.
func (r *Result) ModelHash(ctx context.Context) (string, error) {
	if r.model == nil {
		return "", ErrNoHash
	}
	return r.model.ModelHash(ctx)
}

func sizePair(s request.Size) [2]int   { return [2]int{s.Height, s.Width} }
func pointPair(p request.Point) [2]int { return [2]int{p.Top, p.Left} }
