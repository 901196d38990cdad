package command

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/service"
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
}

// Categories of flags in the help.
const (
	catPicture = "Picture"
	catImg2Img = "Image to image and inpainting"
	catHires   = "Second pass at a larger size"
	catReuse   = "Fewer evaluations of the UNet"
	catLoRA    = "Adapters (LoRA)"
	catControl = "ControlNets"
	catImage   = "Image prompts (IP-Adapter)"
	catRefiner = "Refiner and runs in parts"
	catModel   = "Model"
	catCompute = "Computing"
	catOutput  = "Output"
)

// groupNames are what --help=GROUP calls categories.
var groupNames = map[string]string{catImg2Img: "image", catHires: "hires", catReuse: "reuse", catLoRA: "lora", catControl: "control",
	catImage: "ip-adapter", catRefiner: "refiner"}

// settings lists every flag that overrides a run file: a key, with the prefix "model." where it is one of [model]; the flag's name behind
// "=" where that is not the key with dashes; a letter behind "/" for it; and "!" where a given 0 is a mistake, though a zero field means
// the default. They are in the order of the help, but for the files of [model] that withFiles adds.
var settings = withFiles(slices.Concat(
	group(catPicture, "prompt/p", "negative_prompt", "prompt_2", "negative_prompt_2", "prompt_syntax", "styles=style",
		"prompt_file", "model.wildcard_directories=wildcard-dir", "model.style_files=style-file", "seed/s", "num_images/n!", "width/W!",
		"height/H!", "num_inference_steps=steps!", "guidance_scale", "guidance_rescale", "guidance_start", "guidance_stop",
		"guidance.method=guidance-method", "pag.scale=pag-scale!", "seg.scale=seg-scale!",
		"region", "prompt_weight", "region_mode",
		"scheduler", "sigmas", "clip_skip", "rng", "seamless", "noise"),
	group(catImg2Img, "init_image=image/i", "mask_image=mask", "mask_channel!", "inpaint.blur=mask-blur!", "inpaint.invert=mask-invert",
		"inpaint.only_masked=only-masked", "inpaint.padding=mask-padding", "inpaint.fill=mask-fill", "inpaint.soft=mask-soft",
		"inpaint.paste_back=paste-back", "strength!", "outpaint.left=outpaint-left!",
		"outpaint.right=outpaint-right!", "outpaint.top=outpaint-top!", "outpaint.bottom=outpaint-bottom!", "outpaint.feather=outpaint-feather!"),
	group(catHires, "hires.scale=hires/hires-scale!", "hires.width=hires-width!", "hires.height=hires-height!",
		"hires.upscaler=hires-upscaler", "hires.strength=hires-strength!", "hires.steps=hires-steps!"),
	group(catHires, "tiled_diffusion.method=tiled-diffusion", "tiled_diffusion.tile_width=tile-width!",
		"tiled_diffusion.tile_height=tile-height!", "tiled_diffusion.overlap=tile-overlap!", "detail"),
	group(catReuse, "reuse.deepcache=deepcache", "reuse.deepcache_branch=deepcache-branch", "reuse.easycache=easycache",
		"reuse.ucache=ucache", "reuse.spectrum=spectrum", "reuse.tgate=tgate", "reuse.start=reuse-start", "reuse.stop=reuse-stop"),
	group(catLoRA, "lora", "model.lora_directories=lora-dir", "lora_stack.strict=lora-strict",
		"model.lora_cache.memory_limit_mb=lora-memory!"),
	group(catControl, "controlnet=control", "model.controlnet_directories=control-dir"),
	group(catImage, "ip_adapter", "model.image_encoder", "model.ip_adapter_directories=ip-adapter-dir"),
	group(catRefiner, "latents", "denoising_start", "denoising_end"),
	group(catRefiner, "model.refiner", "refiner_mode", "refiner_start", "refiner_strength!", "refiner_steps!", "aesthetic_score",
		"negative_aesthetic_score", "model.refiner_type", "model.refiner_on_demand"),
	group(catModel, "model.model/m", "model.model_directories=model-dir",
		"model.embeddings=embedding", "model.embedding_directories=embedding-directory", "model.fast_decode"),
	group(catCompute, "model.precision", "model.type", "model.unet_type", "model.text_type", "model.vae_type", "model.vae_tiling",
		"model.vae_tile_size!", "model.vae_tile_overlap!", "model.vae_slicing", "model.device", "model.text_device", "model.vae_device",
		"model.threads/t", "model.flash_attention", "model.convolution", "model.memory.memory_limit=memory-limit",
		"model.memory.reserve=memory-reserve", "model.memory.strategy=memory-strategy", "model.memory.attention_slicing=attention-slicing",
		"max_batch=batch!", "guidance_batch"),
	group(catOutput, "output/o", "save_latents", "quality!", "metadata"),
))

// withFiles adds the other texts of [model]. They name files, and each has a flag of its own name.
func withFiles(list []setting) []setting {
	for _, k := range request.Keys() {
		key := "model." + k.Name
		if k.Table == "model" && k.Type == "string" && !slices.ContainsFunc(list, func(s setting) bool { return s.key == key }) {
			list = append(list, setting{key: key, category: catModel})
		}
	}
	return list
}

// ownDocs are the help texts of flags that say something else than their keys.
var ownDocs = map[string]string{
	"lora": "adapter as NAME, NAME:WEIGHT or NAME:TEXT_ENCODER_WEIGHT:UNET_WEIGHT, a name or a path",
	"controlnet": "ControlNet as `NET=PICTURE`, NET=PICTURE:WEIGHT, or with more keys of [[controlnet]] behind commas: " +
		"NET=PICTURE:0.8,preprocessor=canny,end=0.5",
	"ip_adapter": "IP-Adapter as `FILE=PICTURE`, FILE=PICTURE:WEIGHT, or with more keys of [[ip_adapter]] behind commas: " +
		"FILE=PICTURE:0.6,end=0.5",
	"region": "part of the picture with a prompt of its own, as `BOX=PROMPT` or MASK=PROMPT, with a weight behind a colon: " +
		"0,0,0.5,1=a cat (the left half), mask.png:0.8=a dog",
	"detail": "part of the finished picture that is painted again, as `BOX`, BOX=PROMPT, MASK, MASK=PROMPT, DETECTOR or " +
		"DETECTOR=PROMPT, with a strength behind a colon: 0.4,0.1,0.6,0.3=a smiling face, or face_yolov8n.safetensors:0.4=a smiling face",
	"output": "file to write: .png, .jpg or .webp; a folder with a slash at its end; - is standard output; see daguerre generate " +
		"--help=output-names",
	"prompt":  "what the picture shows; A1111 weights such as (word:1.2) and [word], BREAK, and any length; @FILE reads it from a file",
	"quality": "of JPEG files, 1 to 100; PNG and WebP are lossless",
}

// group reads the settings of a category.
func group(category string, specs ...string) (list []setting) {
	for _, spec := range specs {
		s := setting{category: category}
		spec, s.positive = strings.CutSuffix(spec, "!")
		spec, alias, ok := strings.Cut(spec, "/")
		if ok {
			s.aliases = []string{alias}
		}
		s.key, s.flag, _ = strings.Cut(spec, "=")
		s.doc = ownDocs[s.key]
		list = append(list, s)
	}
	return list
}

// field returns a pointer to what the setting sets: the field with its key.
func (s setting) field(m *request.Model, r *request.Request) any {
	at := reflect.ValueOf(r).Elem()
	key, ofModel := strings.CutPrefix(s.key, "model.")
	if ofModel {
		at = reflect.ValueOf(m).Elem()
	}
	for part := range strings.SplitSeq(key, ".") {
		i := slices.IndexFunc(reflect.VisibleFields(at.Type()), func(f reflect.StructField) bool { return f.Tag.Get("key") == part })
		at = at.Field(i)
	}
	return at.Addr().Interface()
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
		k := docs[s.key]
		n, aliases := s.names()
		kind, def := "string", k.Default
		doc := withFlags(cmp.Or(s.doc, k.Doc))
		if def = withFlags(def); s.key == "output" {
			def = service.DefaultOutput
		}
		switch s.field(&request.Model{}, &request.Request{}).(type) {
		case *int, **int, *int64:
			kind = "int64"
		case *float64:
			kind = "float"
		case *bool, **bool:
			kind, doc, def = "bool", doc+" (--"+n+"=false turns it off)", cmp.Or(def, "false")
		case *[]string, *[]lora.Adapter, *[]request.ControlNet, *[]request.IPAdapter, *[]request.Region, *[]request.Detail:
			kind, doc = "strings", doc+" (may be repeated)"
		}
		flags = append(flags, newFlag(kind, s.category, doc, def, "", n, aliases...))
	}
	return flags
}

// override puts the flags that were given over a run's model and over every job of it. flagsOnly: there is no run file, and what is missing
// is a flag.
func override(c *cli.Context, run *request.Run, flagsOnly bool, errs *request.Errors) {
	for _, s := range settings {
		n, _ := s.names()
		if flagsOnly {
			run.Typed(s.key, "--"+n)
		}
		if !c.IsSet(n) {
			continue
		}
		run.Typed(s.key, "--"+n)
		for i := range run.Jobs {
			job := &run.Jobs[i]
			s.set(c, n, s.field(&run.Model, job), errs)
			switch s.key {
			case "negative_prompt":
				job.SetNegativePrompt(job.NegativePrompt) // "" is an empty text, not none
			case "prompt":
				job.Prompt = cmp.Or(job.Prompt, request.NoPrompt)
			case "lora":
				typedLoRAs(run, job.LoRAs, c.StringSlice(n))
			case "controlnet":
				typedControls(run, job.ControlNets, c.StringSlice(n))
			case "region":
				for k, g := range c.StringSlice(n) {
					run.Typed("region["+strconv.Itoa(len(job.Regions)-len(c.StringSlice(n))+k)+"]", "--region "+g)
				}
			case "detail":
				for k, d := range c.StringSlice(n) {
					run.Typed("detail["+strconv.Itoa(len(job.Details)-len(c.StringSlice(n))+k)+"]", "--detail "+d)
				}
			case "ip_adapter":
				for k := range job.IPAdapters {
					run.Typed("ip_adapter["+strconv.Itoa(k)+"]", "--ip-adapter "+job.IPAdapters[k].Model)
				}
			}
		}
	}
}

// typedLoRAs tells which adapters flags have named.
func typedLoRAs(run *request.Run, list []lora.Adapter, flags []string) {
	run.Typed("lora", "--lora")
	for _, text := range flags {
		l, _ := parseLoRA(text) // addLoRAs has refused what it refuses
		for i, have := range list {
			if strings.EqualFold(have.Label(), l.Label()) {
				run.Typed("lora["+strconv.Itoa(i)+"]", "--lora "+text)
			}
		}
	}
}

// isIdle reports whether an empty value was given where there is none to take away, as "$PICTURE" is without such a variable. Only texts
// may be empty; that no model is given is told by others.
func (s setting) isIdle(c *cli.Context, n string, p any) bool {
	switch p := p.(type) {
	case *string:
		return *p == "" && c.String(n) == "" && s.key != "model.model" && !slices.Contains(promptFlags, s.key)
	case *request.Picture:
		return p.IsZero() && c.String(n) == ""
	case *request.Array:
		return p.IsZero() && c.String(n) == ""
	}
	return false
}

// set stores the flag's value in the field p points to.
func (s setting) set(c *cli.Context, n string, p any, errs *request.Errors) {
	zero := false
	if s.isIdle(c, n, p) {
		errs.Add("--"+n, "is empty; give a value, or leave the flag out")
		return
	}
	switch p := p.(type) {
	case *string:
		*p = s.textOf(c.String(n), n, errs)
	case *int:
		v := c.Int64(n)
		if v != int64(int32(v)) {
			errs.Add("--"+n, "is %s, which is far out of range", strconv.FormatInt(v, 10))
			return
		}
		*p, zero = int(v), v == 0
	case **int:
		v := int(c.Int64(n))
		*p = &v
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
			errs.Add("--"+n, "%v", err)
			return
		}
		*p = list
	case *[]request.IPAdapter:
		*p = addIPAdapters(*p, n, c.StringSlice(n), errs)
	case *[]request.Region:
		*p = addRegions(*p, n, c.StringSlice(n), errs)
	case *[]request.Detail:
		*p = addDetails(*p, n, c.StringSlice(n), errs)
	case *[]request.ControlNet:
		*p = addControls(*p, n, c.StringSlice(n), errs)
	case *[]string:
		*p = c.StringSlice(n)
	case *request.Picture:
		*p = request.Picture{Path: c.String(n)}
	case *request.Array:
		*p = request.Array{Path: c.String(n)}
	}
	if zero && s.positive {
		errs.Add("--"+n, "is 0; give more, or leave the flag out")
	}
}
