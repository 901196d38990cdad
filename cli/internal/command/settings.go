package command

import (
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// setting connects a flag with a field of a run file. Its help text and default are the key's.
type setting struct {
	key      string // "guidance_scale"; of [model] with the prefix "model."
	flag     string // "" for the key with dashes
	aliases  []string
	doc      string // instead of the key's
	positive bool   // a given 0 is a mistake, though a zero field means the default
	category string
	field    func(*request.Model, *request.Request) any // pointer to the field
}

// Categories of flags in the help.
const (
	catPicture = "Picture"
	catImg2Img = "Image to image and inpainting"
	catHires   = "Second pass at a larger size"
	catLoRA    = "Adapters (LoRA)"
	catRefiner = "Refiner and runs in parts"
	catModel   = "Model"
	catCompute = "Computing"
	catOutput  = "Output"
)

// settings lists every flag that overrides a run file, in the order of the help.
var settings = []setting{
	{key: "prompt", aliases: []string{"p"}, category: catPicture, field: job(func(r *request.Request) any { return &r.Prompt })},
	{key: "negative_prompt", category: catPicture, field: job(func(r *request.Request) any { return &r.NegativePrompt })},
	{key: "prompt_2", category: catPicture, field: job(func(r *request.Request) any { return &r.Prompt2 })},
	{key: "negative_prompt_2", category: catPicture, field: job(func(r *request.Request) any { return &r.NegativePrompt2 })},
	{key: "prompt_syntax", category: catPicture, field: job(func(r *request.Request) any { return &r.PromptSyntax })},
	{key: "seed", aliases: []string{"s"}, category: catPicture, field: job(func(r *request.Request) any { return &r.Seed })},
	{key: "num_images", aliases: []string{"n"}, positive: true, category: catPicture,
		field: job(func(r *request.Request) any { return &r.NumImages })},
	{key: "width", aliases: []string{"W"}, positive: true, category: catPicture, field: job(func(r *request.Request) any { return &r.Width })},
	{key: "height", aliases: []string{"H"}, positive: true, category: catPicture,
		field: job(func(r *request.Request) any { return &r.Height })},
	{key: "num_inference_steps", flag: "steps", positive: true, category: catPicture,
		field: job(func(r *request.Request) any { return &r.NumInferenceSteps })},
	{key: "guidance_scale", category: catPicture, field: job(func(r *request.Request) any { return &r.GuidanceScale })},
	{key: "guidance_rescale", category: catPicture, field: job(func(r *request.Request) any { return &r.GuidanceRescale })},
	{key: "scheduler", category: catPicture, field: job(func(r *request.Request) any { return &r.Scheduler })},
	{key: "sigmas", category: catPicture, field: job(func(r *request.Request) any { return &r.Sigmas })},
	{key: "clip_skip", category: catPicture, field: job(func(r *request.Request) any { return &r.ClipSkip })},
	{key: "rng", category: catPicture, field: job(func(r *request.Request) any { return &r.RNG })},
	{key: "seamless", category: catPicture, field: job(func(r *request.Request) any { return &r.Seamless })},
	{key: "noise", category: catPicture, field: job(func(r *request.Request) any { return &r.Noise })},
	{key: "init_image", flag: "image", aliases: []string{"i"}, category: catImg2Img,
		field: job(func(r *request.Request) any { return &r.InitImage })},
	{key: "mask_image", flag: "mask", category: catImg2Img, field: job(func(r *request.Request) any { return &r.MaskImage })},
	{key: "strength", positive: true, category: catImg2Img, field: job(func(r *request.Request) any { return &r.Strength })},
	{key: "outpaint.left", flag: "outpaint-left", positive: true, category: catImg2Img,
		field: job(func(r *request.Request) any { return &r.Outpaint.Left })},
	{key: "outpaint.right", flag: "outpaint-right", positive: true, category: catImg2Img,
		field: job(func(r *request.Request) any { return &r.Outpaint.Right })},
	{key: "outpaint.top", flag: "outpaint-top", positive: true, category: catImg2Img,
		field: job(func(r *request.Request) any { return &r.Outpaint.Top })},
	{key: "outpaint.bottom", flag: "outpaint-bottom", positive: true, category: catImg2Img,
		field: job(func(r *request.Request) any { return &r.Outpaint.Bottom })},
	{key: "outpaint.feather", flag: "outpaint-feather", positive: true, category: catImg2Img,
		field: job(func(r *request.Request) any { return &r.Outpaint.Feather })},
	{key: "hires.scale", flag: "hires-scale", positive: true, category: catHires,
		field: job(func(r *request.Request) any { return &r.Hires.Scale })},
	{key: "hires.width", flag: "hires-width", positive: true, category: catHires,
		field: job(func(r *request.Request) any { return &r.Hires.Width })},
	{key: "hires.height", flag: "hires-height", positive: true, category: catHires,
		field: job(func(r *request.Request) any { return &r.Hires.Height })},
	{key: "hires.upscaler", flag: "hires-upscaler", category: catHires, field: job(func(r *request.Request) any { return &r.Hires.Upscaler })},
	{key: "hires.strength", flag: "hires-strength", positive: true, category: catHires,
		field: job(func(r *request.Request) any { return &r.Hires.Strength })},
	{key: "hires.steps", flag: "hires-steps", positive: true, category: catHires,
		field: job(func(r *request.Request) any { return &r.Hires.Steps })},
	{key: "lora", doc: "adapter as NAME, NAME:WEIGHT or NAME:TEXT_ENCODER_WEIGHT:UNET_WEIGHT, a name or a path", category: catLoRA,
		field: job(func(r *request.Request) any { return &r.LoRAs })},
	{key: "model.lora_directories", flag: "lora-dir", category: catLoRA,
		field: model(func(m *request.Model) any { return &m.LoRADirectories })},
	{key: "lora_stack.strict", flag: "lora-strict", category: catLoRA,
		field: job(func(r *request.Request) any { return &r.LoRAStack.Strict })},
	{key: "model.lora_cache.memory_limit_mb", flag: "lora-memory", positive: true, category: catLoRA,
		field: model(func(m *request.Model) any { return &m.LoRACache.MemoryLimitMB })},
	{key: "latents", category: catRefiner, field: job(func(r *request.Request) any { return &r.Latents })},
	{key: "denoising_start", category: catRefiner, field: job(func(r *request.Request) any { return &r.DenoisingStart })},
	{key: "denoising_end", category: catRefiner, field: job(func(r *request.Request) any { return &r.DenoisingEnd })},
	{key: "model.taesd", category: catModel, field: model(func(m *request.Model) any { return &m.TAESD })},
	{key: "model.fast_decode", category: catModel, field: model(func(m *request.Model) any { return &m.FastDecode })},
	{key: "model.upscaler", category: catModel, field: model(func(m *request.Model) any { return &m.Upscaler })},
	{key: "model.refiner", category: catRefiner, field: model(func(m *request.Model) any { return &m.Refiner })},
	{key: "refiner_mode", category: catRefiner, field: job(func(r *request.Request) any { return &r.RefinerMode })},
	{key: "refiner_start", category: catRefiner, field: job(func(r *request.Request) any { return &r.RefinerStart })},
	{key: "refiner_strength", positive: true, category: catRefiner, field: job(func(r *request.Request) any { return &r.RefinerStrength })},
	{key: "refiner_steps", positive: true, category: catRefiner, field: job(func(r *request.Request) any { return &r.RefinerSteps })},
	{key: "aesthetic_score", category: catRefiner, field: job(func(r *request.Request) any { return &r.AestheticScore })},
	{key: "negative_aesthetic_score", category: catRefiner, field: job(func(r *request.Request) any { return &r.NegativeAestheticScore })},
	{key: "model.refiner_type", category: catRefiner, field: model(func(m *request.Model) any { return &m.RefinerType })},
	{key: "model.refiner_on_demand", category: catRefiner, field: model(func(m *request.Model) any { return &m.RefinerOnDemand })},
	{key: "model.model", aliases: []string{"m"}, category: catModel, field: model(func(m *request.Model) any { return &m.Model })},
	{key: "model.unet", category: catModel, field: model(func(m *request.Model) any { return &m.UNet })},
	{key: "model.text_encoder", category: catModel, field: model(func(m *request.Model) any { return &m.TextEncoder })},
	{key: "model.text_encoder_2", category: catModel, field: model(func(m *request.Model) any { return &m.TextEncoder2 })},
	{key: "model.vae", category: catModel, field: model(func(m *request.Model) any { return &m.VAE })},
	{key: "model.embeddings", flag: "embedding", category: catModel, field: model(func(m *request.Model) any { return &m.Embeddings })},
	{key: "model.embedding_directories", flag: "embedding-directory", category: catModel,
		field: model(func(m *request.Model) any { return &m.EmbeddingDirectories })},
	{key: "model.precision", category: catCompute, field: model(func(m *request.Model) any { return &m.Precision })},
	{key: "model.type", category: catCompute, field: model(func(m *request.Model) any { return &m.Type })},
	{key: "model.unet_type", category: catCompute, field: model(func(m *request.Model) any { return &m.UNetType })},
	{key: "model.text_type", category: catCompute, field: model(func(m *request.Model) any { return &m.TextType })},
	{key: "model.vae_type", category: catCompute, field: model(func(m *request.Model) any { return &m.VAEType })},
	{key: "model.vae_tiling", category: catCompute, field: model(func(m *request.Model) any { return &m.VAETiling })},
	{key: "model.vae_tile_size", category: catCompute, positive: true, field: model(func(m *request.Model) any { return &m.VAETileSize })},
	{key: "model.vae_tile_overlap", category: catCompute, positive: true,
		field: model(func(m *request.Model) any { return &m.VAETileOverlap })},
	{key: "model.vae_slicing", category: catCompute, field: model(func(m *request.Model) any { return &m.VAESlicing })},
	{key: "model.device", category: catCompute, field: model(func(m *request.Model) any { return &m.Device })},
	{key: "model.text_device", category: catCompute, field: model(func(m *request.Model) any { return &m.TextDevice })},
	{key: "model.vae_device", category: catCompute, field: model(func(m *request.Model) any { return &m.VAEDevice })},
	{key: "model.threads", aliases: []string{"t"}, category: catCompute, field: model(func(m *request.Model) any { return &m.Threads })},
	{key: "model.flash_attention", category: catCompute, field: model(func(m *request.Model) any { return &m.FlashAttention })},
	{key: "model.memory.memory_limit", flag: "memory-limit", category: catCompute,
		field: model(func(m *request.Model) any { return &m.Memory.MemoryLimit })},
	{key: "model.memory.reserve", flag: "memory-reserve", category: catCompute,
		field: model(func(m *request.Model) any { return &m.Memory.Reserve })},
	{key: "model.memory.strategy", flag: "memory-strategy", category: catCompute,
		field: model(func(m *request.Model) any { return &m.Memory.Strategy })},
	{key: "model.memory.attention_slicing", flag: "attention-slicing", category: catCompute,
		field: model(func(m *request.Model) any { return &m.Memory.AttentionSlicing })},
	{key: "max_batch", flag: "batch", positive: true, category: catCompute, field: job(func(r *request.Request) any { return &r.MaxBatch })},
	{key: "guidance_batch", category: catCompute, field: job(func(r *request.Request) any { return &r.GuidanceBatch })},
	{key: "output", aliases: []string{"o"}, category: catOutput, field: job(func(r *request.Request) any { return &r.Output })},
	{key: "save_latents", category: catOutput, field: job(func(r *request.Request) any { return &r.SaveLatents })},
	{key: "quality", doc: "of JPEG files, 1 to 100; PNG and WebP are lossless", positive: true, category: catOutput,
		field: job(func(r *request.Request) any { return &r.Quality })},
	{key: "metadata", category: catOutput, field: job(func(r *request.Request) any { return &r.Metadata })},
}

// fileOnly lists the keys that have no flag: tables and pairs.
var fileOnly = []string{
	"outpaint", "hires", "force_zeros_for_empty_prompt", "scheduler_options", "original_size", "crops_coords_top_left", "target_size",
	"negative_original_size", "negative_crops_coords_top_left", "negative_target_size",
	"lora.name", "lora.path", "lora.weight", "lora.scaling_factor", "lora.enabled", "lora.unet_weight", "lora.text_encoder_weight",
	"lora.block_weights",
	"controlnet", "controlnet.model", "controlnet.image", "controlnet.weight", "controlnet.start", "controlnet.end", "controlnet.control_mode",
	"controlnet.resize_mode", "controlnet.preprocessor", "controlnet.preprocessor_options", "controlnet.union_type",
	"model.text_cache_mb", "model.controlnet_directories", "model.controlnet_cache_mb", "model.memory", "model.memory.max_batch",
	"lora.start", "lora.end", "lora_stack", "lora_stack.max_adapters", "lora_stack.global_weight", "lora_stack.global_scaling_factor",
	"model.lora_cache", "model.lora_cache.cache_size", "model.lora_cache.cache_cleanup_threshold", "model.lora_cache.idle_seconds",
}

func job(f func(*request.Request) any) func(*request.Model, *request.Request) any {
	return func(_ *request.Model, r *request.Request) any { return f(r) }
}

func model(f func(*request.Model) any) func(*request.Model, *request.Request) any {
	return func(m *request.Model, _ *request.Request) any { return f(m) }
}

// names returns the flag's name, and its aliases: among them the key's own spelling.
func (s setting) names() (string, []string) {
	key := s.key[strings.LastIndexByte(s.key, '.')+1:]
	dashed := strings.ReplaceAll(key, "_", "-")
	_, isList := s.field(&request.Model{}, &request.Request{}).(*[]string)
	inner := strings.Count(strings.TrimPrefix(s.key, "model."), ".") > 0 // the key alone does not say whose it is
	switch {
	case s.flag == "" || s.flag == dashed:
		return dashed, s.aliases
	case inner:
		return s.flag, s.aliases
	case isList: // a repeated flag is in the singular, and the plural would double the help's width
		return s.flag, s.aliases
	}
	return s.flag, append([]string{dashed}, s.aliases...)
}

// settingFlags builds the flags of settings.
func settingFlags() []cli.Flag {
	docs := map[string]request.Key{}
	for _, k := range request.Keys() {
		id := k.Name
		if k.Table != "" {
			id = k.Table + "." + k.Name
		}
		docs[id] = k
	}
	flags := make([]cli.Flag, 0, len(settings))
	for _, s := range settings {
		flags = append(flags, s.cliFlag(docs[s.key]))
	}
	return flags
}

func (s setting) cliFlag(k request.Key) cli.Flag {
	n, aliases := s.names()
	def := k.Default
	if s.doc != "" {
		k.Doc = s.doc
	}
	switch s.field(&request.Model{}, &request.Request{}).(type) {
	case *int, *int64:
		return &cli.Int64Flag{Name: n, Aliases: aliases, Usage: k.Doc, DefaultText: def, Category: s.category}
	case *float64:
		return &cli.Float64Flag{Name: n, Aliases: aliases, Usage: k.Doc, DefaultText: def, Category: s.category}
	case *bool, **bool:
		return &cli.BoolFlag{Name: n, Aliases: aliases, Usage: k.Doc + " (--" + n + "=false turns it off)", DefaultText: def,
			Category: s.category}
	case *[]string, *[]request.LoRA:
		return &cli.StringSliceFlag{Name: n, Aliases: aliases, Usage: k.Doc + " (may be repeated)", DefaultText: def, Category: s.category}
	}
	return &cli.StringFlag{Name: n, Aliases: aliases, Usage: k.Doc, DefaultText: def, Category: s.category}
}

// override puts the flags that were given over a run's model and over every job of it.
func override(c *cli.Context, run *request.Run) error {
	for _, s := range settings {
		n, _ := s.names()
		if !c.IsSet(n) {
			continue
		}
		for i := range run.Jobs {
			if err := s.set(c, n, s.field(&run.Model, &run.Jobs[i])); err != nil {
				return err
			}
		}
	}
	return nil
}

// set stores the flag's value in the field p points to.
func (s setting) set(c *cli.Context, n string, p any) error {
	zero := false
	switch p := p.(type) {
	case *string:
		*p = c.String(n)
	case *int:
		v := c.Int64(n)
		if v != int64(int32(v)) {
			return usagef(c.Command.HelpName, "--%s %s is far out of range", n, strconv.FormatInt(v, 10))
		}
		*p, zero = int(v), v == 0
	case *int64:
		*p = c.Int64(n)
	case *float64:
		*p = c.Float64(n)
		zero = *p == 0
		if zero && s.key == "guidance_scale" {
			*p = request.NoGuidance // a zero field would mean the default
		}
	case *bool:
		*p = c.Bool(n)
	case **bool:
		v := c.Bool(n)
		*p = &v
	case *[]lora.Adapter:
		list, err := addLoRAs(*p, c.StringSlice(n))
		if err != nil {
			return usagef(c.Command.HelpName, "--%s %v", n, err)
		}
		*p = list
	case *[]string:
		*p = c.StringSlice(n)
	case *request.Picture:
		*p = request.Picture{Path: c.String(n)}
	case *request.Array:
		*p = request.Array{Path: c.String(n)}
	}
	if zero && s.positive {
		return usagef(c.Command.HelpName, "--%s is 0; it must be more", n)
	}
	return nil
}
