package pipeline

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// NanoModel as Config.Model is the demo model embedded in models/nano.
const NanoModel = prepare.Embedded

// VAEPolicy says how pictures go through the VAE: by tiles, how many at a time.
type VAEPolicy = vae.Policy

// Config says which weights to open and how. Only Model is needed; the zero value of every other
// field is the best default. It is plain data: a backend or a logger is given to Open as an option.
type Config struct {
	// Each file is a path, or the name of a model that was fetched (docs/models-by-name.md). Nothing is downloaded.
	Model        string // checkpoint file, diffusers folder, or NanoModel
	UNet         string // files that replace single components of Model
	TextEncoder  string
	TextEncoder2 string
	VAE          string
	Refiner      string // SDXL refiner, or another SDXL base checkpoint, that continues or repaints what Model made; "": none

	TAESD      string // tiny autoencoder for previews; "": none
	FastDecode bool   // decode pictures with it too, instead of the VAE

	Upscaler string // ESRGAN model for the second pass of hires; opened when first used; "": none

	// Library is the file of libdaguerre to load, or a folder that holds one; nothing else is tried then. "": the one that $DAGUERRE_LIBRARY
	// names; else the best that lies beside the program, in the user's data folder or in the system's folders (docs/install.md). A process
	// has one library: another one is refused later. With WithBackend none is loaded.
	Library string

	Device     string // "" or "auto": the best one; "cpu", "vulkan:0", "cuda:0". For several, see Batcher
	TextDevice string // "": as Device
	VAEDevice  string // "": as Device

	Precision backend.Precision // "": backend.PrecisionAuto
	Type      backend.Type      // of the UNet's and the text encoders' weights in memory; "": backend.TypeAuto
	UNetType  backend.Type      // "": as Type
	TextType  backend.Type      // "": as Type
	VAEType   backend.Type      // "": backend.TypeAuto, since VAEs suffer from quantization

	RefinerType     backend.Type // of the refiner's UNet; "": as UNetType
	RefinerOnDemand bool         // open the refiner for the jobs that use it only, instead of keeping it in memory

	VAEPolicy VAEPolicy // tiles and slices; its Validate is part of Open's checks

	// Memory is how much may be taken, and how; its zero value fits the run into what is free.
	Memory request.Memory

	Threads        int    // CPU threads; 0: all physical cores
	FlashAttention string // "", "auto", "on", "off"
	Convolution    string // of GPUs: "", "auto", "im2col", "direct"

	Embeddings           []string // textual-inversion files; the word is the file's name without extension
	EmbeddingDirectories []string // folders whose files are loaded when a prompt names them

	WildcardDirectories []string // folders of text files, for __name__ in prompts
	StyleFiles          []string // files of styles, in the form of A1111's styles.csv

	TextCache int64 // bytes of encoded texts that are kept between calls; 0: 64 MiB, some hundred prompts; negative: none

	WeightCache int64 // bytes of converted weights that are kept in the user's cache folder; 0: 16 GiB; negative: none

	ControlNetDirectories []string // folders in which ControlNets are looked up by name
	ImageEncoder          string   // CLIP's image encoder, for IP-Adapters that name none
	IPAdapterDirectories  []string // folders in which IP-Adapters and image encoders are looked up by name
	ControlNetMemory      int64    // bytes of weights that ControlNets may hold; 0: 8 GiB, three of SDXL's at F16

	ModelDirectories []string // folders in which Model, VAE and the other files are looked up by name

	LoRADirectories []string         // folders in which adapters are looked up by name
	LoRACache       lora.CacheConfig // of the adapters that stay in memory
}

// ConfigOf turns the [model] table of a run file into a Config.
func ConfigOf(m request.Model) Config {
	return Config{
		Model: m.Model, UNet: m.UNet, TextEncoder: m.TextEncoder, TextEncoder2: m.TextEncoder2, VAE: m.VAE,
		Upscaler: m.Upscaler, TAESD: m.TAESD, FastDecode: m.FastDecode != nil && *m.FastDecode,
		Device: m.Device, TextDevice: m.TextDevice, VAEDevice: m.VAEDevice,
		Precision: backend.Precision(m.Precision), Type: backend.Type(m.Type), UNetType: backend.Type(m.UNetType),
		TextType: backend.Type(m.TextType), VAEType: backend.Type(m.VAEType),
		Refiner: m.Refiner, RefinerType: backend.Type(m.RefinerType), RefinerOnDemand: m.RefinerOnDemand != nil && *m.RefinerOnDemand,
		VAEPolicy: VAEPolicy{Tiling: vae.Switch(m.VAETiling), TileSize: m.VAETileSize, Overlap: m.VAETileOverlap,
			Slicing: vae.Switch(m.VAESlicing)},
		Memory:  m.Memory,
		Threads: m.Threads, FlashAttention: m.FlashAttention, Convolution: m.Convolution,
		Embeddings: m.Embeddings, EmbeddingDirectories: m.EmbeddingDirectories, TextCache: int64(m.TextCacheMB) << 20,
		WeightCache:         int64(m.WeightCacheMB) << 20,
		WildcardDirectories: m.WildcardDirectories, StyleFiles: m.StyleFiles,
		ImageEncoder: m.ImageEncoder, IPAdapterDirectories: m.IPAdapterDirectories,
		ControlNetDirectories: m.ControlNetDirectories, ControlNetMemory: int64(m.ControlNetCacheMB) << 20,
		LoRADirectories: m.LoRADirectories, LoRACache: m.LoRACache, ModelDirectories: m.ModelDirectories,
	}
}

// model is the inverse of ConfigOf, so that one place checks the values.
func (cfg Config) model() request.Model {
	return request.Model{
		Model: cfg.Model, UNet: cfg.UNet, TextEncoder: cfg.TextEncoder, TextEncoder2: cfg.TextEncoder2, VAE: cfg.VAE,
		Upscaler: cfg.Upscaler, TAESD: cfg.TAESD, FastDecode: &cfg.FastDecode,
		Device: cfg.Device, TextDevice: cfg.TextDevice, VAEDevice: cfg.VAEDevice,
		Precision: string(cfg.Precision), Type: string(cfg.Type), UNetType: string(cfg.UNetType),
		TextType: string(cfg.TextType), VAEType: string(cfg.VAEType),
		Refiner: cfg.Refiner, RefinerType: string(cfg.RefinerType), RefinerOnDemand: &cfg.RefinerOnDemand,
		VAETiling: string(cfg.VAEPolicy.Tiling), VAETileSize: cfg.VAEPolicy.TileSize, VAETileOverlap: cfg.VAEPolicy.Overlap,
		VAESlicing: string(cfg.VAEPolicy.Slicing), Memory: cfg.Memory,
		Threads: cfg.Threads, FlashAttention: cfg.FlashAttention, Convolution: cfg.Convolution,
		Embeddings: cfg.Embeddings, EmbeddingDirectories: cfg.EmbeddingDirectories, TextCacheMB: int(cfg.TextCache >> 20),
		WeightCacheMB:       int(cfg.WeightCache >> 20),
		WildcardDirectories: cfg.WildcardDirectories, StyleFiles: cfg.StyleFiles,
		ImageEncoder: cfg.ImageEncoder, IPAdapterDirectories: cfg.IPAdapterDirectories,
		ControlNetDirectories: cfg.ControlNetDirectories, ControlNetCacheMB: int(cfg.ControlNetMemory >> 20),
		LoRADirectories: cfg.LoRADirectories, LoRACache: cfg.LoRACache, ModelDirectories: cfg.ModelDirectories,
	}
}

// check validates the values. Errors are request.Errors, with the paths of a run file.
func (cfg Config) check() error {
	if strings.Contains(cfg.Device, ",") {
		return request.Errors{{Path: "model.device", Message: fmt.Sprintf("is %.60q; a pipeline computes on one device. Open one for each, "+
			"and share the pictures with a Batcher. The commands generate, serve and worker do so", cfg.Device)}}
	}
	return request.Run{Model: cfg.model(), Jobs: []request.Request{{Prompt: request.NoPrompt}}}.Validate()
}

// sources says which models are opened, and how. model and refiner are the files of the two.
func (cfg Config) sources(model, refinerFile string) models.Sources {
	unet, text := cmp.Or(cfg.UNetType, cfg.Type, backend.TypeAuto), cmp.Or(cfg.TextType, cfg.Type, backend.TypeAuto)
	base := backend.ModelConfig{
		Files:  backend.Files{Model: model, UNet: cfg.UNet, TextEncoder: cfg.TextEncoder, TextEncoder2: cfg.TextEncoder2, VAE: cfg.VAE},
		Device: cfg.Device, TextDevice: cfg.TextDevice, VAEDevice: cfg.VAEDevice, Precision: cmp.Or(cfg.Precision, backend.PrecisionAuto),
		UNetType: unet, TextType: text, VAEType: cmp.Or(cfg.VAEType, backend.TypeAuto), Threads: cfg.Threads, FlashAttention: cfg.FlashAttention,
		Convolution: cfg.Convolution,
	}
	refiner := base
	refiner.Files, refiner.VAEType = backend.Files{Model: refinerFile}, backend.TypeAuto
	refiner.UNetType = cmp.Or(cfg.RefinerType, unet)
	refiner.Components = []string{memory.TextEncoder, memory.TextEncoder2, memory.UNet} // the base's VAE decodes
	small := backend.ModelConfig{Device: cfg.Device, Precision: cfg.Precision, Threads: cfg.Threads, FlashAttention: cfg.FlashAttention,
		Convolution: cfg.Convolution}
	taesd, upscaler := small, small
	taesd.Files.TAESD, taesd.VAEDevice = cfg.TAESD, cfg.VAEDevice
	shown := small
	shown.TextDevice, shown.TextType, shown.UNetType = cfg.TextDevice, text, unet
	upscaler.Files.Upscaler, upscaler.Device, upscaler.FlashAttention = cfg.Upscaler, cmp.Or(cfg.VAEDevice, cfg.Device), ""
	return models.Sources{Base: base, Refiner: refiner, RefinerOnDemand: cfg.RefinerOnDemand, TAESD: taesd, Upscaler: upscaler, Control: small,
		Picture: shown, ControlBytes: cfg.ControlNetMemory}
}
