package contract

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// FlashAttention, Activations and Convolution list what these fields of a configuration may be, beside nothing.
var (
	FlashAttention = []string{"auto", "off", "on"}
	Activations    = []string{"quick_gelu", "gelu"}
	Convolution    = []string{"auto", "im2col", "direct"}
)

// Config checks the names and numbers of a configuration. Its files and devices are the backend's to check.
func Config(cfg backend.ModelConfig) error {
	if cfg.StreamBytes < 0 {
		return Invalid("stream_bytes", "%d is negative", cfg.StreamBytes)
	}
	for _, name := range cfg.Components {
		if err := oneOf("components", name, Components); err != nil {
			return err
		}
	}
	return cmp.Or(
		OneOf("precision", cfg.Precision, backend.Precisions),
		OneOf("unet type", cfg.UNetType, backend.Types),
		OneOf("text type", cfg.TextType, backend.Types),
		OneOf("vae type", cfg.VAEType, backend.Types),
		OneOf("text residency", cfg.TextResidency, backend.Residencies),
		OneOf("unet residency", cfg.UNetResidency, backend.Residencies),
		OneOf("vae residency", cfg.VAEResidency, backend.Residencies),
		OneOf("flash attention", cfg.FlashAttention, FlashAttention),
		OneOf("convolution", cfg.Convolution, Convolution),
		OneOf("text_encoder hidden_act", cfg.Hyper.TextEncoderAct, Activations),
		OneOf("text_encoder_2 hidden_act", cfg.Hyper.TextEncoder2Act, Activations),
		small("unet norm_num_groups", cfg.Hyper.UNetNormNumGroups),
		small("vae norm_num_groups", cfg.Hyper.VAENormNumGroups),
		small("unet attention_head_dim", cfg.Hyper.UNetAttentionHeadDim),
		small("text head dim", cfg.Hyper.TextHeadDim),
		small("threads", cfg.Threads),
	)
}

// OneOf refuses a name that is not among those known. No name at all means the default.
func OneOf[T ~string](field string, name T, known []T) error {
	if name == "" {
		return nil
	}
	return oneOf(field, name, known)
}

func oneOf[T ~string](field string, name T, known []T) error {
	if slices.Contains(known, name) {
		return nil
	}
	list := make([]string, len(known))
	for i, k := range known {
		list[i] = string(k)
	}
	return Invalid(field, "%q is unknown; known are %s", name, strings.Join(list, ", "))
}

// small refuses numbers that are negative or do not fit 32 bits.
func small(field string, n int) error {
	if n < 0 || n > math.MaxInt32 {
		return Invalid(field, "%d is not in 0..%d", n, math.MaxInt32)
	}
	return nil
}
