package command

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// a1111Parameters writes a picture's settings in the form that AUTOMATIC1111's web UI puts into its
// PNG files and that many viewers read: the prompt, the negative prompt, then "Key: value" pairs.
func a1111Parameters(m manifest) string {
	var b strings.Builder
	b.WriteString(m.Prompt)
	for _, l := range m.LoRAs { // there adapters are part of the prompt
		if !strings.Contains(m.Prompt+m.NegativePrompt+m.Prompt2+m.NegativePrompt2, "<lora:"+l.Name) {
			b.WriteString(" " + loraTag(l))
		}
	}
	if m.NegativePrompt != "" {
		b.WriteString("\nNegative prompt: " + m.NegativePrompt)
	}
	var pairs []string
	add := func(on bool, more ...string) {
		if on {
			pairs = append(pairs, more...)
		}
	}
	sampler, schedule := a1111Sampler(m.Scheduler, m.Sigmas)
	add(true, fmt.Sprintf("Steps: %d", m.Steps), "Sampler: "+quote(sampler))
	add(schedule != "", "Schedule type: "+schedule)
	add(true, "CFG scale: "+number(m.GuidanceScale), fmt.Sprintf("Seed: %d", m.Seed), fmt.Sprintf("Size: %dx%d", m.Width, m.Height))
	add(m.Model.SHA256 != "", "Model hash: "+short(m.Model.SHA256))
	add(true, "Model: "+quote(m.Model.Name))
	for _, f := range m.Files {
		add(f.Role == "vae", "VAE hash: "+short(f.SHA256), "VAE: "+quote(f.Name))
	}
	add(m.Strength > 0, "Denoising strength: "+number(m.Strength))
	add(true, maskPairs(m.Inpaint)...)
	add(true, hiresPairs(m)...)
	add(m.Seamless != "", "Tiling: "+m.Seamless)
	add(m.ClipSkip > 0, fmt.Sprintf("Clip skip: %d", m.ClipSkip+2)) // there the last layer is 1, SDXL's is 2
	add(m.GuidanceRescale > 0, "CFG Rescale phi: "+number(m.GuidanceRescale))
	add(true, guidancePairs(m.Guidance)...)
	hashes := loraHashes(m.LoRAs)
	add(hashes != "", "Lora hashes: "+strconv.Quote(hashes))
	add(true, "RNG: "+strings.ToUpper(m.RNG), "Version: "+quote(name+" "+m.Release))
	return b.String() + "\n" + strings.Join(pairs, ", ")
}

// guidancePairs tells how the halves of guidance were combined. The web UI has no names for it.
func guidancePairs(g *request.Guidance) (pairs []string) {
	if g == nil || g.Method == "" {
		return nil
	}
	pairs = append(pairs, "Guidance: "+g.Method)
	if g.Momentum != 0 {
		pairs = append(pairs, "Guidance momentum: "+number(g.Momentum))
	}
	if g.NormThreshold != nil {
		pairs = append(pairs, "Guidance norm threshold: "+number(*g.NormThreshold))
	}
	if g.Eta != nil {
		pairs = append(pairs, "Guidance eta: "+number(*g.Eta))
	}
	if g.ZeroInitSteps != nil {
		pairs = append(pairs, fmt.Sprintf("Guidance zero init steps: %d", *g.ZeroInitSteps))
	}
	return pairs
}

// maskPairs tells how a masked part was repainted. What the web UI does not say is its default.
func maskPairs(i *request.Inpaint) (pairs []string) {
	if i == nil {
		return nil
	}
	if i.Blur > 0 {
		pairs = append(pairs, "Mask blur: "+number(i.Blur))
	}
	if i.OnlyMasked {
		pairs = append(pairs, "Inpaint area: Only masked", fmt.Sprintf("Masked area padding: %d", *i.Padding))
	}
	if i.Fill != request.FillOriginal {
		pairs = append(pairs, "Masked content: "+strings.ReplaceAll(i.Fill, "_", " "))
	}
	if i.Invert {
		pairs = append(pairs, "Mask mode: Inpaint not masked")
	}
	if i.Soft {
		pairs = append(pairs, "Differential diffusion: True")
	}
	return pairs
}

// hiresPairs tells of a second pass. There its steps are those that are done, here those of its whole schedule.
func hiresPairs(m manifest) []string {
	h := m.Hires
	if h == nil {
		return nil
	}
	upscaler := map[string]string{request.UpscaleLatent: "Latent", request.UpscaleLatentNearest: "Latent (nearest)",
		request.UpscalePicture: "Lanczos", request.UpscaleModel: h.Model}[h.Upscaler]
	pairs := []string{"Hires resize: " + quote(fmt.Sprintf("%dx%d", h.Width, h.Height)), fmt.Sprintf("Hires steps: %d",
		int(float64(h.Steps)*h.Strength)), "Hires upscaler: " + quote(upscaler)}
	if m.Strength == 0 {
		pairs = append([]string{"Denoising strength: " + number(h.Strength)}, pairs...)
	}
	return pairs
}

// loraTag writes an adapter as a tag of a prompt: one weight, or the text encoders' and the UNet's.
func loraTag(l pipeline.LoRAInfo) string {
	if l.UNetWeight == l.TextEncoderWeight {
		return fmt.Sprintf("<lora:%s:%s>", l.Name, number(l.UNetWeight))
	}
	return fmt.Sprintf("<lora:%s:%s:%s>", l.Name, number(l.TextEncoderWeight), number(l.UNetWeight))
}

// loraHashes lists the adapters by name and hash: twelve digits of the sum of a safetensors file's data, or of the whole file.
func loraHashes(loras []pipeline.LoRAInfo) string {
	var list []string
	for _, l := range loras {
		hash := l.AutoV3
		if hash == "" && l.SHA256 != "" {
			hash = l.SHA256[:12]
		}
		if hash != "" {
			list = append(list, l.Name+": "+hash)
		}
	}
	return strings.Join(list, ", ")
}

// a1111Schedules are AUTOMATIC1111's names of schedules, and ours for the same.
var a1111Schedules = []string{"Karras", "Exponential", "Beta", "lu", "SGM Uniform", "linspace"}

// a1111Sampler returns AUTOMATIC1111's names of the sampler and the schedule. A request with these names asks for the same options.
func a1111Sampler(s pipeline.SchedulerInfo, sigmas string) (sampler, schedule string) {
	sampler = strings.TrimSuffix(s.Name, "Scheduler")
	info, err := scheduler.Describe(s.Name)
	_, config, configErr := scheduler.ConfigFromMap(s.Options)
	if err != nil || configErr != nil {
		return sampler, ""
	}
	has := func(options scheduler.Config) bool { return reflect.DeepEqual(config.With(options), config) }
	if len(info.Aliases) > 0 {
		sampler = info.Aliases[0]
	}
	for _, name := range info.Presets {
		// Names with an underscore belong to other programs.
		if _, options, err := scheduler.Resolve(name); err == nil && !strings.Contains(name, "_") && has(options) {
			sampler = name
			break
		}
	}
	if spacing, err := scheduler.ResolveSpacing(sigmas); err == nil && spacing.Schedule == scheduler.ScheduleAYS {
		return sampler, "Align Your Steps"
	} else if err == nil && spacing.Schedule != "" {
		return sampler, sigmas
	}
	for _, word := range a1111Schedules {
		if spacing, err := scheduler.ResolveSpacing(word); err == nil && has(spacing.Options) {
			return sampler, word
		}
	}
	return sampler, ""
}

// number writes a number with as many digits as it takes.
func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// short is the web UI's short form of a hash.
func short(sha256 string) string { return sha256[:min(10, len(sha256))] }

// quote writes a value in quotes where it would break the list of pairs.
func quote(s string) string {
	if strings.ContainsAny(s, ",:\n\"") {
		return strconv.Quote(s)
	}
	return s
}
