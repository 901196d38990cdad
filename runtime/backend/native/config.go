package native

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// modelParams translates a configuration. Whether its devices exist is checked elsewhere.
func modelParams(cfg backend.ModelConfig) (bindings.ModelParams, error) {
	if err := checkFiles(cfg.Files); err != nil {
		return bindings.ModelParams{}, err
	}
	config, err := modelConfig(cfg.Hyper)
	if err != nil {
		return bindings.ModelParams{}, err
	}
	p := bindings.ModelParams{
		Config: config,
		Device: deviceName(cfg.Device), DeviceText: deviceName(cfg.TextDevice), DeviceVAE: deviceName(cfg.VAEDevice),
	}
	if p.Precision, err = precisions.toABI(OpOpen, "precision", cfg.Precision); err != nil {
		return p, err
	}
	if p.TypeUNet, err = types.toABI(OpOpen, "unet type", cfg.UNetType); err != nil {
		return p, err
	}
	if p.TypeText, err = types.toABI(OpOpen, "text type", cfg.TextType); err != nil {
		return p, err
	}
	if p.TypeVAE, err = types.toABI(OpOpen, "vae type", cfg.VAEType); err != nil {
		return p, err
	}
	if p.FlashAttention, err = flashes.toABI(OpOpen, "flash attention", cfg.FlashAttention); err != nil {
		return p, err
	}
	if p.Components, err = componentBits(cfg.Components); err != nil {
		return p, err
	}
	if p.Threads, err = small("threads", cfg.Threads); err != nil {
		return p, err
	}
	return p, memoryParams(cfg, &p)
}

// slicedScores is how many bytes of scores attention in slices keeps: few slices for pictures of 1024 px, some MiB of memory.
const slicedScores = 64 << 20

// memoryParams translates what a configuration says of memory.
func memoryParams(cfg backend.ModelConfig, p *bindings.ModelParams) (err error) {
	for _, r := range []struct {
		field string
		value backend.Residency
		to    *bindings.Residency
	}{
		{"text residency", cfg.TextResidency, &p.ResidencyText},
		{"unet residency", cfg.UNetResidency, &p.ResidencyUNet},
		{"vae residency", cfg.VAEResidency, &p.ResidencyVAE},
	} {
		if *r.to, err = residencies.toABI(OpOpen, r.field, r.value); err != nil {
			return err
		}
	}
	if cfg.StreamBytes < 0 {
		return invalid(OpOpen, "stream_bytes", "%d is negative", cfg.StreamBytes)
	}
	p.StreamBytes = cfg.StreamBytes
	if cfg.AttentionSlicing {
		p.AttentionBytes = slicedScores
	}
	return nil
}

// componentBits translates names of components.
func componentBits(names []string) (bindings.Component, error) {
	var bits bindings.Component
	for _, name := range names {
		i := slices.Index(componentNames[:], name)
		if i < 0 {
			return 0, invalid(OpOpen, "components", "%q is unknown; known are %s", name, strings.Join(componentNames[:], ", "))
		}
		bits |= 1 << i
	}
	return bits, nil
}

// deviceName leaves "auto" out: an absent name means the best device, or for the text encoders and
// the VAE the UNet's.
func deviceName(name string) string {
	if name == "auto" {
		return ""
	}
	return name
}

// checkFiles refuses files that no model consists of.
func checkFiles(f backend.Files) error {
	given, alone := 0, 0
	for _, file := range []struct {
		field, path string
		alone       int
	}{
		{"model", f.Model, 0}, {"unet", f.UNet, 0}, {"text_encoder", f.TextEncoder, 0}, {"text_encoder_2", f.TextEncoder2, 0}, {"vae", f.VAE, 0},
		{"controlnet", f.ControlNet, 1}, {"taesd", f.TAESD, 1}, {"upscaler", f.Upscaler, 1},
	} {
		if strings.ContainsRune(file.path, 0) {
			return invalid(OpOpen, file.field, "the path %q contains a NUL byte", file.path)
		}
		if file.path != "" {
			given, alone = given+1, alone+file.alone
		}
	}
	if given > 1 && alone > 0 {
		return invalid(OpOpen, "files", "a ControlNet, a TAESD and an upscaler are each a model of their own; open them one by one")
	}
	if given == 0 {
		return invalid(OpOpen, "files", "no file is given; name a checkpoint or a diffusers folder as the model")
	}
	return nil
}

func modelConfig(h backend.Hyper) (*bindings.ModelConfig, error) {
	c := bindings.NewModelConfig()
	for _, n := range []struct {
		field string
		value int
		to    *int32
	}{
		{"unet norm_num_groups", h.UNetNormNumGroups, &c.UNetNormNumGroups},
		{"vae norm_num_groups", h.VAENormNumGroups, &c.VAENormNumGroups},
		{"unet attention_head_dim", h.UNetAttentionHeadDim, &c.UNetAttentionHeadDim},
		{"text head dim", h.TextHeadDim, &c.TextHeadDim},
	} {
		value, err := small(n.field, n.value)
		if err != nil {
			return nil, err
		}
		*n.to = value
	}
	var err error
	if c.TextEncoderQuickGELU, err = activations.toABI(OpOpen, "text_encoder hidden_act", h.TextEncoderAct); err != nil {
		return nil, err
	}
	c.TextEncoder2QuickGELU, err = activations.toABI(OpOpen, "text_encoder_2 hidden_act", h.TextEncoder2Act)
	return c, err
}

// small refuses numbers that are negative or do not fit the ABI's int32.
func small(field string, n int) (int32, error) {
	if n < 0 || n > math.MaxInt32 {
		return 0, invalid(OpOpen, field, "%d is not in 0..%d", n, math.MaxInt32)
	}
	return int32(n), nil
}

// checkDevices refuses device names that the library does not list, naming those it does.
func (b *Backend) checkDevices(ctx context.Context, cfg backend.ModelConfig) error {
	var known []string
	for _, want := range []struct{ field, id string }{
		{"device", cfg.Device}, {"text device", cfg.TextDevice}, {"vae device", cfg.VAEDevice},
	} {
		if deviceName(want.id) == "" {
			continue
		}
		if known == nil {
			devices, err := b.Devices(ctx)
			if err != nil {
				return err
			}
			for _, d := range devices {
				known = append(known, d.ID)
			}
		}
		if !contains(known, want.id) {
			return status(OpOpen, bindings.CodeDevice, "%s: %q is not here; the %s library lists %s, and auto takes the best",
				want.field, want.id, b.lib.Variant(), strings.Join(known, ", "))
		}
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}
