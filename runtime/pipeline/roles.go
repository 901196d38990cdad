package pipeline

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// notCheckpoints are the kinds of file that hold weights of something else than a checkpoint's components, with where
// they belong.
var notCheckpoints = map[modelfile.Kind]string{
	modelfile.KindLoRA:             "a LoRA, which goes on top of a model",
	modelfile.KindControlNet:       "a ControlNet, which goes beside a model",
	modelfile.KindTAESD:            "a TAESD, which takes a VAE's place in previews; name it as taesd",
	modelfile.KindUpscaler:         "an upscaler",
	modelfile.KindTextualInversion: "a textual inversion; name it in embeddings",
}

// CheckRole is the check, from a file's header, that Open makes of each of its files: that a file is sound and of the kind its role takes. role is
// "model", "refiner", "vae", "unet", "text_encoder", "text_encoder_2", "controlnet", "taesd" or "upscaler".
func CheckRole(role, path string) error { return checkRole(role, path) }

// checkRole refuses a file that is sound but not what its place asks for, from its header, before a weight is read. role is
// "model", "refiner" or a component's name.
func checkRole(role, path string) error {
	r, err := modelfile.Inspect(path)
	if err != nil {
		return err
	}
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%s: %s: %w: %s", role, path, ErrUnsupportedModel, fmt.Sprintf(format, args...))
	}
	if what, ok := notCheckpoints[r.Kind]; ok && string(r.Kind) != role {
		return wrong("this is %s; give %s", what, wantedFor(role))
	}
	if r.Reason != "" {
		return wrong("%s", r.Reason)
	}
	switch role {
	case "model":
		if r.Kind == modelfile.KindSDXLRefiner {
			return wrong("this is an SDXL refiner, which finishes another model's latents; give %s, and this as refiner", wantedFor(role))
		}
	case "refiner":
		if r.UNetKind != modelfile.KindSDXLRefiner && r.UNetKind != modelfile.KindSDXLBase {
			return wrong("this is a file of kind %s; give %s", r.Kind, wantedFor(role))
		}
	case "controlnet", "taesd", "upscaler":
		if string(r.Kind) != role {
			return wrong("this is a file of kind %s; give %s", r.Kind, wantedFor(role))
		}
	default:
		component := role
		if _, ok := r.Component(component); !ok && strings.HasPrefix(role, "text_encoder") {
			component = map[string]string{"text_encoder": "text_encoder_2", "text_encoder_2": "text_encoder"}[role] // alone, it may look like the other
		}
		if _, ok := r.Component(component); !ok {
			return wrong("this is a file of kind %s, which holds no %s; give %s", r.Kind, role, wantedFor(role))
		}
	}
	return nil
}

// wantedFor says what a role takes.
func wantedFor(role string) string {
	switch role {
	case "model":
		return "an SDXL base or inpainting checkpoint"
	case "refiner":
		return "an SDXL refiner, or another SDXL base checkpoint"
	case "controlnet":
		return "a ControlNet for SDXL"
	case "taesd":
		return "TAESD-XL"
	case "upscaler":
		return "an ESRGAN model"
	}
	return "a file with the weights of the " + role + ", or a checkpoint"
}

// checkNetworks looks at the headers of the networks beside the model, so that a wrong one is told of before the model is loaded.
func checkNetworks(cfg Config, b backend.Backend) error {
	if fileless(b) {
		return nil
	}
	for _, f := range []struct{ role, path string }{{"taesd", cfg.TAESD}, {"upscaler", cfg.Upscaler}} {
		if f.path == "" {
			continue
		}
		if err := checkRole(f.role, f.path); err != nil {
			return err
		}
	}
	return nil
}
