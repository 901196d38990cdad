package models

import (
	"errors"
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
)

// notCheckpoints are the kinds of file that are no checkpoint, with where they belong.
var notCheckpoints = map[modelfile.Kind]string{
	modelfile.KindLoRA:             "a LoRA, which goes on top of a model",
	modelfile.KindControlNet:       "a ControlNet, which goes beside a model",
	modelfile.KindT2IAdapter:       "a T2I-Adapter, which goes beside a model as a ControlNet does",
	modelfile.KindControlNetXS:     "a ControlNet-XS, which goes beside a model as a ControlNet does",
	modelfile.KindTAESD:            "a TAESD, which takes a VAE's place in previews; name it as taesd",
	modelfile.KindUpscaler:         "an upscaler",
	modelfile.KindTextualInversion: "a textual inversion; name it in embeddings",
	modelfile.KindImageEncoder:     "CLIP's image encoder, which goes with an IP-Adapter; name it as image_encoder",
	modelfile.KindIPAdapter:        "an IP-Adapter, which goes beside a model",
	modelfile.KindDetector:         "a detector, which finds the parts that are painted again; name it as detector in a [[detail]] table",
}

// CheckWholeVAE is CheckRole of a VAE that is to encode pictures as well.
func CheckWholeVAE(path string) error {
	if err := CheckRole("vae", path); err != nil {
		return err
	}
	r, err := modelfile.Inspect(path)
	if v := r.Dims.VAE; err == nil && v != nil && len(v.EncoderChannels) == 0 {
		err = fmt.Errorf("vae: %s: %w: it holds no encoder, which pictures go through; give one with both halves", path, ErrUnsupported)
	}
	return err
}

// CheckRole reads a file's header. It refuses a file that is damaged, and one that does not hold what its role takes. role is
// "model", "refiner", "vae", "unet", "text_encoder", "text_encoder_2", "controlnet", "taesd", "upscaler", "image_encoder",
// "ip_adapter" or "detector".
func CheckRole(role, path string) error {
	if err := checkPlaced(role, path); err != nil {
		if errors.Is(err, ErrUnsupported) {
			err = fmt.Errorf("%s: %w", role, err)
		}
		return err
	}
	return nil
}

// checkPlaced is CheckRole for a file whose place in a request the caller names: the error does not say the role.
func checkPlaced(role, path string) error {
	r, err := modelfile.Inspect(path)
	if err != nil {
		return err
	}
	if err := mismatch(role, r); err != nil || role != "detector" {
		return err
	}
	return checkBins(path)
}

// checkReport is CheckRole for a file whose header was read.
func checkReport(role string, r modelfile.Report) error {
	if err := mismatch(role, r); err != nil {
		return fmt.Errorf("%s: %w", role, err)
	}
	return nil
}

// mismatch says why a file does not fit a role.
func mismatch(role string, r modelfile.Report) error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", r.Path, ErrUnsupported, fmt.Sprintf(format, args...))
	}
	if what, ok := notCheckpoints[r.Kind]; ok && !fits(role, r.Kind) {
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
	case "controlnet", "taesd", "upscaler", "image_encoder", "ip_adapter", "detector":
		if !fits(role, r.Kind) {
			return wrong("this is a file of kind %s; give %s", r.Kind, wantedFor(role))
		}
		if role == "taesd" && r.Dims.TAESD != nil && len(r.Dims.TAESD.DecoderBlocks) == 0 {
			return wrong("it holds no decoder, so it makes no pictures; give %s", wantedFor(role))
		}
	default:
		component := role
		if _, ok := r.Component(component); !ok && strings.HasPrefix(role, "text_encoder") {
			// alone, it may look like the other
			component = map[string]string{"text_encoder": "text_encoder_2", "text_encoder_2": "text_encoder"}[role]
		}
		if _, ok := r.Component(component); !ok {
			return wrong("this is a file of kind %s, which holds no %s; give %s", r.Kind, role, wantedFor(role))
		}
		if v := r.Dims.VAE; role == "vae" && v != nil && len(v.DecoderChannels) == 0 {
			return wrong("it holds no decoder, which is what makes pictures; give %s", wantedFor(role))
		}
	}
	return nil
}

// fits reports whether files of a kind are a role's own.
func fits(role string, kind modelfile.Kind) bool {
	return kind == modelfile.Kind(strings.ReplaceAll(role, "_", "-")) ||
		role == "controlnet" && (kind == modelfile.KindT2IAdapter || kind == modelfile.KindControlNetXS)
}

// wantedFor says what a role takes.
func wantedFor(role string) string {
	switch role {
	case "model":
		return "an SDXL base or inpainting checkpoint"
	case "refiner":
		return "an SDXL refiner, or another SDXL base checkpoint"
	case "controlnet":
		return "a ControlNet, a ControlNet-XS or a T2I-Adapter for SDXL"
	case "taesd":
		return "TAESD-XL"
	case "upscaler":
		return "an ESRGAN model"
	case "image_encoder":
		return "CLIP's image encoder, ViT-H or ViT-bigG"
	case "ip_adapter":
		return "an IP-Adapter for SDXL"
	case "detector":
		return "a detector of YOLOv8 in safetensors"
	}
	return "a file with the weights of the " + role + ", or a checkpoint"
}
