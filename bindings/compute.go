package bindings

import (
	"math/bits"
	"runtime"
	"unsafe"
)

// computeFuncs are the tensor operations.
type computeFuncs struct {
	// DG_API dg_status dg_tokenize(const char* text, size_t text_len, int32_t* ids, size_t cap, size_t* count, char* msg, size_t msg_cap);
	tokenize func(text *byte, textLen uintptr, ids *int32, capacity uintptr, count *uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_text_encode(dg_model* model, const dg_text_input* in, float* hidden, size_t hidden_count, float* pooled, size_t pooled_count, char* msg, size_t msg_cap);
	textEncode func(model uintptr, in *textInput, hidden *float32, hiddenCount uintptr, pooled *float32, pooledCount uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_unet_eval(dg_model* model, const dg_unet_input* in, float* out, size_t out_count, char* msg, size_t msg_cap);
	unetEval func(model uintptr, in *unetInput, out *float32, outCount uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_vae_encode(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* pixels, float* moments, size_t moments_count, char* msg, size_t msg_cap);
	vaeEncode func(model uintptr, batch, height, width int64, pixels *float32, moments *float32, momentsCount uintptr, msg *byte, msgCap uintptr) int32

	// DG_API dg_status dg_vae_decode(dg_model* model, int64_t batch, int64_t height, int64_t width, const float* latents, float* pixels, size_t pixels_count, char* msg, size_t msg_cap);
	vaeDecode func(model uintptr, batch, height, width int64, latents *float32, pixels *float32, pixelsCount uintptr, msg *byte, msgCap uintptr) int32
}

func (f *computeFuncs) symbols() []symbol {
	return []symbol{
		{"dg_tokenize", &f.tokenize},
		{"dg_text_encode", &f.textEncode},
		{"dg_unet_eval", &f.unetEval},
		{"dg_vae_encode", &f.vaeEncode},
		{"dg_vae_decode", &f.vaeDecode},
	}
}

// Tokenize returns CLIP's token ids of UTF-8 text, without start, end and padding. It needs no model
// and is safe for concurrent use.
func (l *Library) Tokenize(text string) ([]int32, error) {
	// Seldom more than one token for three bytes; where there are more, the count of the first call
	// sizes the second.
	ids := make([]int32, len(text)/3+16)
	for {
		var count uintptr
		err := check("dg_tokenize", func(msg *byte, msgCap uintptr) int32 {
			var first *byte
			if len(text) > 0 {
				first = unsafe.StringData(text)
			}
			return l.fn.tokenize(first, uintptr(len(text)), &ids[0], uintptr(len(ids)), &count, msg, msgCap)
		})
		runtime.KeepAlive(text)
		if err != nil {
			return nil, err
		}
		if count <= uintptr(len(ids)) {
			return ids[:count:count], nil
		}
		if count > 4*uintptr(len(text))+16 {
			return nil, &Error{Code: CodeEngine, Op: "dg_tokenize", Message: "an impossible number of tokens was reported"}
		}
		ids = make([]int32, count)
	}
}

// TextInput is one call of a text encoder; see dg_text_input.
type TextInput struct {
	Encoder     int32 // 0: CLIP-L, 1: OpenCLIP-bigG
	ClipSkip    int32 // 0: the penultimate layer, as SDXL; k: k layers earlier
	Chunks      int64
	Tokens      int64
	IDs         []int32   // [Chunks, Tokens]; vocab_size + k selects row k of Custom
	Custom      []float32 // [CustomCount, width]; may be nil
	CustomCount int64
	LoRAs       []LoRAUse // of this model
}

// TextEncode runs a text encoder. hidden is [Chunks, Tokens, width]; pooled is [Chunks,
// projection_dim], or empty where it is not wanted. Lengths are checked before C sees the slices.
func (m *Model) TextEncode(in TextInput, hidden, pooled []float32) error {
	const op = "dg_text_encode"
	if in.Encoder != 0 && in.Encoder != 1 {
		return argumentf(op, "encoder is %d; there are 0 and 1", in.Encoder)
	}
	text, component := &m.info.TextEncoder, ComponentTextEncoder
	if in.Encoder == 1 {
		text, component = &m.info.TextEncoder2, ComponentTextEncoder2
	}
	if err := m.loaded(op, component); err != nil {
		return err
	}
	lengths := []length{
		{"ids", len(in.IDs), []int64{in.Chunks, in.Tokens}},
		{"custom", len(in.Custom), []int64{in.CustomCount, text.Width}},
		{"hidden", len(hidden), []int64{in.Chunks, in.Tokens, text.Width}},
	}
	if len(pooled) > 0 {
		lengths = append(lengths, length{"pooled", len(pooled), []int64{in.Chunks, text.ProjectionDim}})
	}
	if err := checkLengths(op, lengths); err != nil {
		return err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	c := &textInput{
		Encoder: in.Encoder, ClipSkip: in.ClipSkip, Chunks: in.Chunks, Tokens: in.Tokens,
		IDs: pinned(&pins, in.IDs), Custom: pinned(&pins, in.Custom), CustomCount: in.CustomCount,
	}
	var err error
	if c.Loras, c.LoraCount, err = m.nativeUses(op, &pins, in.LoRAs); err != nil {
		return err
	}
	c.StructSize = unsafe.Sizeof(*c)
	return m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.textEncode(handle, c, pinned(&pins, hidden), uintptr(len(hidden)),
			pinned(&pins, pooled), uintptr(len(pooled)), msg, msgCap)
	})
}

// UNetInput is one evaluation of the UNet; see dg_unet_input.
type UNetInput struct {
	Batch         int64 // N >= 1
	Height, Width int64 // of the latents, in cells
	ContextTokens int64
	Sample        []float32 // [N, in_channels, Height, Width]
	Timesteps     []float32 // [N]
	Context       []float32 // [N, ContextTokens, context_dim]
	Pooled        []float32 // [N, pooled_dim]
	SizeIDs       []float32 // [N, size_ids]
	Residuals     []float32 // what ControlEval leaves for N rows; empty: none
	LoRAs         []LoRAUse // of this model
}

// UNetEval evaluates the UNet once into out [N, out_channels, Height, Width]. Lengths are checked
// before C sees the slices.
func (m *Model) UNetEval(in UNetInput, out []float32) error {
	const op = "dg_unet_eval"
	if err := m.loaded(op, ComponentUNet); err != nil {
		return err
	}
	u := &m.info.UNet
	if err := checkResiduals(op, u, in.Batch, in.Height, in.Width, len(in.Residuals), true); err != nil {
		return err
	}
	err := checkLengths(op, []length{
		{"sample", len(in.Sample), []int64{in.Batch, u.InChannels, in.Height, in.Width}},
		{"timesteps", len(in.Timesteps), []int64{in.Batch}},
		{"context", len(in.Context), []int64{in.Batch, in.ContextTokens, u.ContextDim}},
		{"pooled", len(in.Pooled), []int64{in.Batch, u.PooledDim}},
		{"size_ids", len(in.SizeIDs), []int64{in.Batch, u.SizeIDs}},
		{"out", len(out), []int64{in.Batch, u.OutChannels, in.Height, in.Width}},
	})
	if err != nil {
		return err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	c := &unetInput{
		Batch: in.Batch, Height: in.Height, Width: in.Width, ContextTokens: in.ContextTokens,
		Sample: pinned(&pins, in.Sample), Timesteps: pinned(&pins, in.Timesteps),
		Context: pinned(&pins, in.Context), Pooled: pinned(&pins, in.Pooled),
		SizeIDs: pinned(&pins, in.SizeIDs), Residuals: pinned(&pins, in.Residuals), ResidualCount: int64(len(in.Residuals)),
	}
	if c.Loras, c.LoraCount, err = m.nativeUses(op, &pins, in.LoRAs); err != nil {
		return err
	}
	c.StructSize = unsafe.Sizeof(*c)
	return m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.unetEval(handle, c, pinned(&pins, out), uintptr(len(out)), msg, msgCap)
	})
}

// VAEEncode maps pixels [batch, 3, height, width] in [-1, 1] to moments [batch, 2*latent_channels,
// height/downscale, width/downscale]: mean, then log-variance.
func (m *Model) VAEEncode(batch, height, width int64, pixels, moments []float32) error {
	const op = "dg_vae_encode"
	if err := m.loaded(op, ComponentVAEEncoder); err != nil {
		return err
	}
	v := &m.info.VAE
	scale := max(v.Downscale, 1)
	if height%scale != 0 || width%scale != 0 {
		return argumentf(op, "%d x %d pixels are not multiples of %d", width, height, scale)
	}
	err := checkLengths(op, []length{
		{"pixels", len(pixels), []int64{batch, 3, height, width}},
		{"moments", len(moments), []int64{batch, 2 * v.LatentChannels, height / scale, width / scale}},
	})
	if err != nil {
		return err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	return m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.vaeEncode(handle, batch, height, width, pinned(&pins, pixels),
			pinned(&pins, moments), uintptr(len(moments)), msg, msgCap)
	})
}

// VAEDecode maps latents [batch, latent_channels, height, width], already divided by the scaling
// factor, to pixels [batch, 3, height*downscale, width*downscale], not clamped.
func (m *Model) VAEDecode(batch, height, width int64, latents, pixels []float32) error {
	const op = "dg_vae_decode"
	if err := m.loaded(op, ComponentVAEDecoder); err != nil {
		return err
	}
	v := &m.info.VAE
	err := checkLengths(op, []length{
		{"latents", len(latents), []int64{batch, v.LatentChannels, height, width}},
		{"pixels", len(pixels), []int64{batch, 3, height, v.Downscale, width, v.Downscale}},
	})
	if err != nil {
		return err
	}
	var pins runtime.Pinner
	defer pins.Unpin()
	return m.call(op, func(handle uintptr, msg *byte, msgCap uintptr) int32 {
		return m.lib.fn.vaeDecode(handle, batch, height, width, pinned(&pins, latents),
			pinned(&pins, pixels), uintptr(len(pixels)), msg, msgCap)
	})
}

// loaded refuses a call whose component is not there, since its dimensions are then unknown.
func (m *Model) loaded(op string, c Component) error {
	i := bits.TrailingZeros32(uint32(c))
	if m.info.Components[i].Loaded != 0 {
		return nil
	}
	names := [ComponentCount]string{"text encoder", "second text encoder", "UNet", "VAE encoder", "VAE decoder", "ControlNet", "upscaler"}
	return &Error{Code: CodeUnsupported, Op: op, Message: "this model has no " + names[i]}
}

// length is a slice's length beside the factors it must be the product of.
type length struct {
	name    string
	got     int
	factors []int64
}

// checkLengths returns an error that names the first slice whose length is not the product of its
// factors. Negative factors and products beyond 63 bits are refused too.
func checkLengths(op string, lengths []length) error {
	for _, l := range lengths {
		product := uint64(1)
		for _, f := range l.factors {
			if f < 0 {
				return argumentf(op, "%s has a negative dimension: %v", l.name, l.factors)
			}
			hi, lo := bits.Mul64(product, uint64(f))
			if hi != 0 || lo > 1<<62 {
				return argumentf(op, "the dimensions of %s are too large: %v", l.name, l.factors)
			}
			product = lo
		}
		if uint64(l.got) != product {
			return argumentf(op, "%s has %d elements; %v needs %d", l.name, l.got, l.factors, product)
		}
	}
	return nil
}
