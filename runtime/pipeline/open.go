package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// openPlan is everything that is known before the backend reads a weight.
type openPlan struct {
	model    backend.ModelConfig
	settings settings
	// forceZeros is what the files say of force_zeros_for_empty_prompt, if they do; settings has it with its default.
	forceZeros *bool
	paths      []string // the files and folders weights come from, Model first
}

// fileless reports whether a backend needs no model files, as backend/fake.
func fileless(b backend.Backend) bool {
	f, ok := b.(interface{ Fileless() bool })
	return ok && f.Fileless()
}

// planOpen validates cfg, reads the headers of its files and decides how to open them. role is cfg.Model's: "model" or "refiner".
func planOpen(ctx context.Context, role string, cfg Config, fileless bool, log *slog.Logger) (openPlan, error) {
	if fileless && cfg.Model == "" {
		cfg.Model = NanoModel
	}
	if err := checkConfig(cfg); err != nil {
		return openPlan{}, err
	}
	unetType, textType := cmp.Or(cfg.UNetType, cfg.Type), cmp.Or(cfg.TextType, cfg.Type)
	plan := openPlan{settings: sdxlSettings(), model: backend.ModelConfig{
		Files:  backend.Files{Model: cfg.Model, UNet: cfg.UNet, TextEncoder: cfg.TextEncoder, TextEncoder2: cfg.TextEncoder2, VAE: cfg.VAE},
		Device: cfg.Device, TextDevice: cfg.TextDevice, VAEDevice: cfg.VAEDevice,
		Precision: cmp.Or(cfg.Precision, backend.PrecisionAuto),
		UNetType:  cmp.Or(unetType, backend.TypeAuto), TextType: cmp.Or(textType, backend.TypeAuto), VAEType: cmp.Or(cfg.VAEType, backend.TypeAuto),
		Threads: cfg.Threads, FlashAttention: cfg.FlashAttention,
	}}
	if fileless {
		return plan, nil
	}
	if cfg.Model == NanoModel {
		path, err := nanoPath(ctx)
		if err != nil {
			return openPlan{}, fmt.Errorf("unpacking the embedded nano model: %w", err)
		}
		plan.model.Files.Model = path
	}
	err := plan.readFiles(role, log)
	return plan, err
}

// readFiles reads each file's header: hyperparameters and settings come from the model and from the files
// that replace its components.
func (plan *openPlan) readFiles(role string, log *slog.Logger) error {
	files := plan.model.Files
	for _, f := range []struct{ role, path string }{{role, files.Model}, {"unet", files.UNet},
		{"text_encoder", files.TextEncoder}, {"text_encoder_2", files.TextEncoder2}, {"vae", files.VAE}} {
		if f.path == "" {
			continue
		}
		plan.paths = append(plan.paths, f.path)
		if err := checkRole(f.role, f.path); err != nil {
			return err
		}
		config, err := modelfile.ReadConfig(f.path)
		if err != nil {
			return err
		}
		if err := plan.adopt(f.role, config, log); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return nil
}

// adopt takes over what the file of a role states. A component's file speaks for that component only.
func (plan *openPlan) adopt(role string, c modelfile.Config, log *slog.Logger) error {
	h, whole := &plan.model.Hyper, role == "model" || role == "refiner"
	if whole || role == "unet" {
		set(&h.UNetNormNumGroups, c.UNet.NormNumGroups)
		set(&h.UNetAttentionHeadDim, c.UNet.HeadDim)
		plan.forceZeros = cmp.Or(c.ForceZerosForEmptyPrompt, plan.forceZeros)
		if err := plan.settings.adoptUNet(c, log); err != nil {
			return err
		}
	}
	if whole || role == "text_encoder" {
		set(&h.TextHeadDim, c.TextEncoder.HeadDim)
		set(&h.TextEncoderAct, c.TextEncoder.HiddenAct)
	}
	if whole || role == "text_encoder_2" {
		second := c.TextEncoder2
		if !whole && second == (modelfile.TextEncoderConfig{}) {
			second = c.TextEncoder // a lone encoder's file does not know that it will be the second
		}
		set(&h.TextHeadDim, second.HeadDim)
		set(&h.TextEncoder2Act, second.HiddenAct)
	}
	if whole || role == "vae" {
		set(&h.VAENormNumGroups, c.VAE.NormNumGroups)
		plan.settings.adoptVAE(c.VAE)
	}
	return nil
}

// set overwrites dst where value states something.
func set[T comparable](dst *T, value T) {
	var zero T
	if value != zero {
		*dst = value
	}
}

// checkConfig validates cfg; the errors' paths are those of a run file.
func checkConfig(cfg Config) error {
	return request.Run{Model: cfg.model(), Jobs: []request.Request{{}}}.Validate()
}

// checkKind refuses models that cannot make a picture from a text by themselves.
func checkKind(info backend.ModelInfo) error {
	switch {
	case info.Kind == backend.KindSDXLBase || info.Kind == backend.KindSDXLInpaint:
	case info.Kind == backend.KindSDXLRefiner:
		return fmt.Errorf("%w: this is an SDXL refiner, which finishes another model's latents; give an SDXL base checkpoint as the model", ErrUnsupportedModel)
	default:
		return fmt.Errorf("%w: a model of kind %q makes no pictures; give an SDXL base or inpainting checkpoint as the model", ErrUnsupportedModel, info.Kind)
	}
	for _, c := range info.Components {
		if !c.Opened && c.Name != "vae_encoder" {
			return fmt.Errorf("%w: the files hold no %s; give one as %s", ErrUnsupportedModel, c.Name, componentKey(c.Name))
		}
	}
	u := info.UNet
	if u.SizeIDs != 6 || u.InChannels != 4 && u.InChannels != 9 || u.OutChannels != 4 {
		return fmt.Errorf("%w: its UNet has %d input channels, %d output channels and %d size ids; expected 4 or 9, 4 and 6",
			ErrUnsupportedModel, u.InChannels, u.OutChannels, u.SizeIDs)
	}
	if t := info.TextEncoder.Width + info.TextEncoder2.Width; t != u.ContextDim {
		return fmt.Errorf("%w: its text encoders are %d + %d wide, its UNet takes %d; they do not belong together",
			ErrUnsupportedModel, info.TextEncoder.Width, info.TextEncoder2.Width, u.ContextDim)
	}
	if info.TextEncoder2.ProjectionDim != u.PooledDim {
		return fmt.Errorf("%w: its second text encoder projects to %d, its UNet takes %d; they do not belong together",
			ErrUnsupportedModel, info.TextEncoder2.ProjectionDim, u.PooledDim)
	}
	return nil
}

// componentKey is the Config field, in a run file's spelling, that supplies a component.
func componentKey(name string) string {
	if name == "vae_decoder" {
		return "vae"
	}
	return name
}
