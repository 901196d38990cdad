package native

import (
	"fmt"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// pairs maps the names of package backend to the numbers of the ABI and back.
type pairs[G ~string, C ~int32] []struct {
	name  G
	value C
}

var (
	types = pairs[backend.Type, bindings.Type]{
		{backend.TypeAuto, bindings.TypeAuto},
		{backend.TypeF32, bindings.TypeF32},
		{backend.TypeF16, bindings.TypeF16},
		{backend.TypeBF16, bindings.TypeBF16},
		{backend.TypeQ8_0, bindings.TypeQ8_0},
		{backend.TypeQ4_0, bindings.TypeQ4_0},
		{backend.TypeQ4_1, bindings.TypeQ4_1},
		{backend.TypeQ5_0, bindings.TypeQ5_0},
		{backend.TypeQ5_1, bindings.TypeQ5_1},
		{backend.TypeQ2_K, bindings.TypeQ2_K},
		{backend.TypeQ3_K, bindings.TypeQ3_K},
		{backend.TypeQ4_K, bindings.TypeQ4_K},
		{backend.TypeQ5_K, bindings.TypeQ5_K},
		{backend.TypeQ6_K, bindings.TypeQ6_K},
		{backend.TypeIQ4_NL, bindings.TypeIQ4_NL},
	}
	precisions = pairs[backend.Precision, bindings.Precision]{
		{backend.PrecisionAuto, bindings.PrecisionAuto},
		{backend.PrecisionExact, bindings.PrecisionExact},
		{backend.PrecisionF32, bindings.PrecisionF32},
		{backend.PrecisionF16, bindings.PrecisionF16},
		{backend.PrecisionBF16, bindings.PrecisionBF16},
	}
	kinds = pairs[backend.Kind, bindings.Kind]{
		{backend.KindUnknown, bindings.KindUnknown},
		{backend.KindSDXLBase, bindings.KindSDXLBase},
		{backend.KindSDXLRefiner, bindings.KindSDXLRefiner},
		{backend.KindSDXLInpaint, bindings.KindSDXLInpaint},
		{backend.KindVAE, bindings.KindVAE},
		{backend.KindTextEncoder, bindings.KindTextEncoder},
		{backend.KindControlNet, bindings.KindControlNet},
		{backend.KindTAESD, bindings.KindTAESD},
		{backend.KindUpscaler, bindings.KindUpscaler},
	}
	deviceKinds = pairs[backend.DeviceKind, bindings.DeviceKind]{
		{backend.DeviceCPU, bindings.DeviceCPU},
		{backend.DeviceGPU, bindings.DeviceGPU},
		{backend.DeviceIGPU, bindings.DeviceIGPU},
		{backend.DeviceAccel, bindings.DeviceAccel},
	}
	flashes = pairs[string, bindings.Flash]{
		{"auto", bindings.FlashAuto},
		{"off", bindings.FlashOff},
		{"on", bindings.FlashOn},
	}
	residencies = pairs[backend.Residency, bindings.Residency]{
		{backend.ResidencyResident, bindings.ResidentAlways},
		{backend.ResidencyOnDemand, bindings.ResidentOnDemand},
		{backend.ResidencyStream, bindings.ResidentStream},
		{backend.ResidencyMmap, bindings.ResidentMmap},
	}
	// The empty name is each encoder's own default.
	activations = pairs[string, int32]{
		{"", bindings.ActivationDefault},
		{"quick_gelu", bindings.ActivationQuickGELU},
		{"gelu", bindings.ActivationGELU},
	}
	stages = map[backend.Stage]bindings.Stage{
		backend.StageText:      bindings.StageText,
		backend.StageText2:     bindings.StageText2,
		backend.StageUNet:      bindings.StageUNet,
		backend.StageVAEEncode: bindings.StageVAEEncode,
		backend.StageVAEDecode: bindings.StageVAEDecode,

		backend.StageControl:     bindings.StageControl,
		backend.StageControlHint: bindings.StageControlHint,
		backend.StageUpscale:     bindings.StageUpscale,

		backend.StageVAEDecodeMiddle: bindings.StageVAEDecodeMiddle,
		backend.StageVAEDecodeLevels: bindings.StageVAEDecodeLevels,
		backend.StageVAEEncodeLevels: bindings.StageVAEEncodeLevels,
		backend.StageVAEEncodeMiddle: bindings.StageVAEEncodeMiddle,
	}
	// componentNames are in the order of the ABI's bits.
	componentNames = [bindings.ComponentCount]string{
		"text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder", "controlnet", "upscaler",
	}
)

// sdxlComponents of the components are SDXL's own; the others are models by themselves.
const sdxlComponents = 5

// toABI returns the number of a name. The empty name is the first of the pairs: the zero value of a
// configuration means auto.
func (p pairs[G, C]) toABI(op Op, field string, name G) (C, error) {
	if name == "" {
		return p[0].value, nil
	}
	for _, pair := range p {
		if pair.name == name {
			return pair.value, nil
		}
	}
	known := ""
	for i, pair := range p {
		if i > 0 && known != "" {
			known += ", "
		}
		known += string(pair.name)
	}
	return 0, invalid(op, field, "%q is unknown; known are %s", name, known)
}

// toGo returns the name of a number. A number outside the ABI's enum is shown, not hidden.
func (p pairs[G, C]) toGo(value C) G {
	for _, pair := range p {
		if pair.value == value {
			return pair.name
		}
	}
	return G(fmt.Sprintf("unknown (%d)", int32(value)))
}
