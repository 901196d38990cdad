package bindings

import (
	"runtime"
	"unsafe"
)

// The computations. They trust their caller with memory: package internal/contract has checked that every slice and every pointer
// of an input shows as many values as the model's dimensions ask for. The library checks the lengths of results once more.

// Tokenize returns CLIP's token ids of UTF-8 text, without start, end and padding. It needs no model
// and is safe for concurrent use.
func (l *Library) Tokenize(text string) ([]int32, error) {
	// Seldom more than one token for three bytes; where there are more, the count of the first call
	// sizes the second.
	ids := make([]int32, len(text)/3+16)
	for {
		var count uintptr
		err := check("dg_tokenize", func(msg *byte, size uintptr) int32 {
			return l.fn.tokenize(unsafe.StringData(text), uintptr(len(text)), &ids[0], uintptr(len(ids)), &count, msg, size)
		})
		runtime.KeepAlive(text)
		if err != nil {
			return nil, err
		}
		if count <= uintptr(len(ids)) {
			return ids[:count:count], nil
		}
		if count > 4*uintptr(len(text))+16 {
			return nil, &Error{Code: ErrEngine, Op: "dg_tokenize", Message: "an impossible number of tokens was reported"}
		}
		ids = make([]int32, count)
	}
}

// TextInput mirrors dg_text_input: one call of a text encoder.
type TextInput struct {
	StructSize  uintptr
	Encoder     int32 // 0: CLIP-L, 1: OpenCLIP-bigG
	ClipSkip    int32 // 0: the penultimate layer, as SDXL; k: k layers earlier
	Chunks      int64
	Tokens      int64
	IDs         *int32   // [Chunks, Tokens]; vocab_size + k selects row k of Custom
	Custom      *float32 // [CustomCount, width]; may be nil
	CustomCount int64
	Loras       *loraUse // set by TextEncode
	LoraCount   int64
}

// TextEncode runs a text encoder with adapters. hidden is [Chunks, Tokens, width]; pooled is [Chunks,
// projection_dim], or empty where it is not wanted.
func (m *Model) TextEncode(in TextInput, loras []LoRAUse, hidden, pooled []float32) (err error) {
	const op = "dg_text_encode"
	var pins runtime.Pinner
	defer pins.Unpin()
	if in.Loras, in.LoraCount, err = uses(op, &pins, loras); err != nil {
		return err
	}
	return compute(m, op, m.lib.fn.textEncode, &in, hidden, pooled)
}

// UNetInput mirrors dg_unet_input: one evaluation of the UNet.
type UNetInput struct {
	StructSize    uintptr
	Batch         int64 // N >= 1
	Height        int64 // of the latents, in cells
	Width         int64
	ContextTokens int64
	Sample        *float32 // [N, in_channels, Height, Width]
	Timesteps     *float32 // [N]
	Context       *float32 // [N, ContextTokens, context_dim]
	Pooled        *float32 // [N, pooled_dim]
	SizeIDs       *float32 // [N, size_ids]
	Residuals     *float32 // what ControlEval leaves for N rows; nil: none
	ResidualCount int64
	Loras         *loraUse // set by UNetEval
	LoraCount     int64
	Guidance      *float32 // [N], where UNetGuidanceDim is not 0; nil: none
	Features      uintptr  // set by UNetEval
	Keep          int32    // which results of layers Features has
	FeaturesUse   int32
	Branch        int64
	OnDevice      uintptr      // set by UNetEval
	Prompts       *ImagePrompt // set by UNetEval
	PromptCount   int64
	Change        *UNetChange
	BlockFeatures *float32 // of T2I-Adapters, block by block; nil: none
	BlockRows     int64    // 1 or N
	BlockCount    int64
	Regions       *TextRegions // nil: none
	XS            uintptr      // [Model.Lend]'s, of a ControlNet-XS; 0: none
	XSHint        *float32     // [xs_channels, Height, Width]
	XSScale       float64
}

// TextRegions mirrors dg_text_regions: texts in parts of the picture.
type TextRegions struct {
	StructSize uintptr
	Count      int64    // of each row, beside its own
	Rows       int64    // the last ones of the evaluation
	Context    *float32 // [Count, Rows, ContextTokens, context_dim]
	Shares     *float32 // [Count, Rows, cells of all levels]
	ShareCount int64
}

// ready pins what regions point to.
func (r *TextRegions) ready(pins *runtime.Pinner) {
	if r != nil {
		ready(pins, r)
	}
}

// UNetChange mirrors dg_unet_change: what an evaluation changes inside the UNet.
type UNetChange struct {
	StructSize     uintptr
	IdentityRows   int64
	BlurredRows    int64
	IdentityLayers *byte // of [Text]
	BlurredLayers  *byte
	BlurSigma      float64
	FreeUS1        float64
	FreeUS2        float64
	FreeUB1        float64
	FreeUB2        float64
	FreeU          int32
	Reserved       int32
}

// ready pins what a change points to.
func (c *UNetChange) ready(pins *runtime.Pinner) {
	if c != nil {
		ready(pins, c)
	}
}

// UNetEval evaluates the UNet once with adapters and pictures into out [N, out_channels, Height, Width]. features, and residuals on the
// device, may be nil.
func (m *Model) UNetEval(in UNetInput, loras []LoRAUse, pictures []ImagePrompt, features *Features, residuals *Residuals,
	out []float32) (err error) {
	const op = "dg_unet_eval"
	if features != nil {
		if features.handle == 0 {
			return argumentf(op, "the features are closed")
		}
		in.Features = features.handle
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	if in.OnDevice, err = residuals.of(op); err != nil {
		return err
	}
	if in.Loras, in.LoraCount, err = uses(op, &pins, loras); err != nil {
		return err
	}
	in.Prompts, in.PromptCount = prompts(&pins, pictures)
	in.Change.ready(&pins)
	in.Regions.ready(&pins)
	return computeOne(m, op, m.lib.fn.unetEval, &in, out)
}

// ControlInput mirrors dg_control_input: one evaluation of a ControlNet.
type ControlInput struct {
	StructSize    uintptr
	Batch         int64 // N >= 1
	Height        int64 // of the latents, in cells
	Width         int64
	ContextTokens int64
	Sample        *float32 // [N, in_channels, Height, Width]
	Timesteps     *float32 // [N]
	Context       *float32 // [N, ContextTokens, context_dim]
	Pooled        *float32 // [N, pooled_dim]
	SizeIDs       *float32 // [N, size_ids]
	Hint          *float32 // [HintBatch, model_channels, Height, Width]
	HintBatch     int64    // 1 or N
	Scales        *float32 // one for each residual
	ScaleCount    int64
	ResidualRows  int64 // rows that the residuals are for; N or more
	FirstRow      int64 // the one that the first of the N is added to
	ControlType   int32 // of a Union net
	Reserved      int32
	OnDevice      uintptr // set by ControlEvalOnDevice
	Regions       *TextRegions
	Kinds         *int32   // of a Union net: [KindCount], one for each hint; nil: ControlType
	KindWeights   *float32 // [KindCount]
	KindCount     int64
}

// SetKinds makes a Union net see several hints at once.
func (in *ControlInput) SetKinds(kinds []int32, weights []float32) {
	in.Kinds, in.KindWeights, in.KindCount = Pointer(kinds), Pointer(weights), int64(len(kinds))
}

// ControlEval evaluates a ControlNet once and adds its scaled residuals to rows FirstRow ... FirstRow+N-1 of residuals.
func (m *Model) ControlEval(in ControlInput, residuals []float32) error {
	var pins runtime.Pinner
	defer pins.Unpin()
	in.Regions.ready(&pins)
	return computeOne(m, "dg_control_eval", m.lib.fn.controlEval, &in, residuals)
}

// ControlEvalOnDevice is ControlEval with residuals on the device.
func (m *Model) ControlEvalOnDevice(in ControlInput, residuals *Residuals) (err error) {
	if in.OnDevice, err = residuals.of("dg_control_eval"); err != nil {
		return err
	}
	return m.ControlEval(in, nil)
}

// VAEPartInfo mirrors dg_vae_part_info: the dimensions of one part of the VAE.
type VAEPartInfo struct {
	StructSize  uintptr
	InChannels  int64
	OutChannels int64
	Norms       int64
	Groups      int64
}

// VAEPartInfo returns the dimensions of a part of the VAE.
func (m *Model) VAEPartInfo(stage int32) (VAEPartInfo, error) {
	info := ready(nil, &VAEPartInfo{})
	err := m.call("dg_vae_part_get_info", func(model uintptr, msg *byte, size uintptr) int32 {
		return m.lib.fn.vaePartGetInfo(model, stage, info, msg, size)
	})
	return *info, err
}

// VAEPart mirrors dg_vae_part: one run of a part of the VAE.
type VAEPart struct {
	StructSize uintptr
	Stage      int32
	Reserved   int32
	Height     int64 // of the input: cells, or pixels for the encoder's levels
	Width      int64
	Input      *float32 // [in_channels, Height, Width]
	Statistics *float32 // [norms, groups, 2]; nil: each input's own
	CoreTop    int64    // what to report on; ignored where nothing is measured
	CoreLeft   int64
	CoreHeight int64
	CoreWidth  int64
}

// RunVAEPart runs a part of the VAE into output, [out_channels, height, width] in the output's units, and writes the statistics of the
// core into measured, [norms, groups, 2], unless that is empty.
func (m *Model) RunVAEPart(in VAEPart, output, measured []float32) error {
	return compute(m, "dg_vae_run_part", m.lib.fn.vaeRunPart, &in, output, measured)
}

// VAEEncode maps pixels [batch, 3, height, width] in [-1, 1] to moments [batch, 2*latent_channels,
// height/downscale, width/downscale]: mean, then log-variance.
func (m *Model) VAEEncode(batch, height, width int64, pixels, moments []float32) error {
	return m.picture("dg_vae_encode", m.lib.fn.vaeEncode, batch, height, width, pixels, moments)
}

// VAEDecode maps latents [batch, latent_channels, height, width], already divided by the scaling
// factor, to pixels [batch, 3, height*downscale, width*downscale], not clamped.
func (m *Model) VAEDecode(batch, height, width int64, latents, pixels []float32) error {
	return m.picture("dg_vae_decode", m.lib.fn.vaeDecode, batch, height, width, latents, pixels)
}

// ControlHint embeds a control picture: pixels [batch, hint_channels, height, width] in [0, 1] to [batch, model_channels,
// height/hint_downscale, width/hint_downscale].
func (m *Model) ControlHint(batch, height, width int64, pixels, embedding []float32) error {
	return m.picture("dg_control_hint", m.lib.fn.controlHint, batch, height, width, pixels, embedding)
}

// Upscale enlarges pixels [batch, 3, height, width] in [0, 1] to [batch, 3, scale*height, scale*width], not clamped.
func (m *Model) Upscale(batch, height, width int64, pixels, out []float32) error {
	return m.picture("dg_upscale", m.lib.fn.upscale, batch, height, width, pixels, out)
}

// Detect maps pixels [batch, 3, height, width] in [0, 1] to [batch, 4*bins+classes, anchors]: logits of the distances to the sides of
// boxes, then of the classes.
func (m *Model) Detect(batch, height, width int64, pixels, out []float32) error {
	return m.picture("dg_detect", m.lib.fn.detect, batch, height, width, pixels, out)
}

func (m *Model) picture(op string, fn pictureFunc, batch, height, width int64, in, out []float32) error {
	return m.call(op, func(model uintptr, msg *byte, size uintptr) int32 {
		return fn(model, batch, height, width, Pointer(in), Pointer(out), uintptr(len(out)), msg, size)
	})
}

// compute makes a call that takes a struct, which it makes ready, and fills out and, unless it is empty, more.
func compute[T any](m *Model, op string, fn twoOutputs[T], in *T, out, more []float32) error {
	var pins runtime.Pinner
	defer pins.Unpin()
	ready(&pins, in)
	return m.call(op, func(model uintptr, msg *byte, size uintptr) int32 {
		return fn(model, in, Pointer(out), uintptr(len(out)), Pointer(more), uintptr(len(more)), msg, size)
	})
}

// computeOne is compute for functions with one result.
func computeOne[T any](m *Model, op string, fn oneOutput[T], in *T, out []float32) error {
	return compute(m, op, func(model uintptr, in *T, out *float32, count uintptr, _ *float32, _ uintptr, msg *byte, size uintptr) int32 {
		return fn(model, in, out, count, msg, size)
	}, in, out, nil)
}
