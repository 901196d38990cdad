package native

import (
	"context"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Indices of components in backend.ModelInfo.Components.
const (
	textEncoder = iota
	textEncoder2
	unet
	vaeEncoder
	vaeDecoder
	controlNet
	upscaler
)

// EncodeText runs one of the text encoders. IDs are [chunks][MaxTokens], each in [0, VocabSize + rows
// of Custom). Hidden is [chunks, MaxTokens, Width]; Pooled is [chunks, ProjectionDim], or the zero
// tensor where the encoder has no projection.
func (m *Model) EncodeText(ctx context.Context, in backend.TextInput) (backend.TextOutput, error) {
	var out backend.TextOutput
	text, ids, err := m.checkText(in)
	if err != nil {
		return out, err
	}
	chunks := len(in.IDs)
	if out.Hidden, err = newTensor(OpEncodeText, chunks, text.MaxTokens, text.Width); err != nil {
		return out, err
	}
	if text.ProjectionDim > 0 {
		if out.Pooled, err = newTensor(OpEncodeText, chunks, text.ProjectionDim); err != nil {
			return out, err
		}
	}
	native := bindings.TextInput{
		Encoder: int32(in.Encoder), ClipSkip: int32(in.ClipSkip), Chunks: int64(chunks),
		Tokens: int64(text.MaxTokens), IDs: ids, Custom: in.Custom.Data,
	}
	if len(in.Custom.Data) > 0 {
		native.CustomCount = int64(in.Custom.Shape[0])
	}
	if native.LoRAs, err = m.loraUses(OpEncodeText, in.LoRAs); err != nil {
		return out, err
	}
	err = m.run(ctx, OpEncodeText, func() error {
		return m.handle.TextEncode(native, out.Hidden.Data, out.Pooled.Data)
	})
	if err != nil {
		return backend.TextOutput{}, err
	}
	return out, nil
}

// checkText validates in and returns the encoder's dimensions and the ids in one row after the other.
func (m *Model) checkText(in backend.TextInput) (backend.TextInfo, []int32, error) {
	text, component := m.info.TextEncoder, textEncoder
	switch in.Encoder {
	case 0:
	case 1:
		text, component = m.info.TextEncoder2, textEncoder2
	default:
		return text, nil, invalid(OpEncodeText, "encoder", "%d is neither 0 nor 1", in.Encoder)
	}
	if err := m.require(OpEncodeText, component); err != nil {
		return text, nil, err
	}
	// The last layer is never used, so that a penultimate one exists for every skip.
	if most := text.Layers - 2; in.ClipSkip < 0 || in.ClipSkip > most {
		return text, nil, invalid(OpEncodeText, "clip_skip", "%d is not in 0..%d", in.ClipSkip, most)
	}
	custom := 0
	if len(in.Custom.Shape) > 0 || len(in.Custom.Data) > 0 {
		if err := checkTensor(OpEncodeText, "custom", in.Custom, anySize, text.Width); err != nil {
			return text, nil, err
		}
		custom = in.Custom.Shape[0]
	}
	if len(in.IDs) == 0 {
		return text, nil, invalid(OpEncodeText, "ids", "there is no chunk; an empty prompt is one chunk of padding")
	}
	ids := make([]int32, 0, len(in.IDs)*text.MaxTokens)
	for c, row := range in.IDs {
		if len(row) != text.MaxTokens {
			return text, nil, invalid(OpEncodeText, "ids", "chunk %d has %d tokens; %d are wanted", c, len(row), text.MaxTokens)
		}
		for i, id := range row {
			if id < 0 || int(id) >= text.VocabSize+custom {
				return text, nil, invalid(OpEncodeText, "ids", "token %d of chunk %d is %d; there are %d and %d custom ones",
					i, c, id, text.VocabSize, custom)
			}
		}
		ids = append(ids, row...)
	}
	return text, ids, nil
}

// UNet evaluates the UNet once into out, which has N*OutChannels*h*w elements. Nothing is allocated
// for the tensors: in and out are used where they are, and out must not overlap any of in.
func (m *Model) UNet(ctx context.Context, in backend.UNetInput, out []float32) error {
	native, err := m.checkUNet(in, out)
	if err != nil {
		return err
	}
	if native.LoRAs, err = m.loraUses(OpUNet, in.LoRAs); err != nil {
		return err
	}
	return m.run(ctx, OpUNet, func() error { return m.handle.UNetEval(native, out) })
}

func (m *Model) checkUNet(in backend.UNetInput, out []float32) (bindings.UNetInput, error) {
	var native bindings.UNetInput
	if err := m.require(OpUNet, unet); err != nil {
		return native, err
	}
	u := m.info.UNet
	if err := checkTensor(OpUNet, "sample", in.Sample, anySize, u.InChannels, anySize, anySize); err != nil {
		return native, err
	}
	n, h, w := in.Sample.Shape[0], in.Sample.Shape[2], in.Sample.Shape[3]
	if len(in.Timesteps) != n {
		return native, invalid(OpUNet, "timesteps", "there are %d for a batch of %d", len(in.Timesteps), n)
	}
	if err := checkTensor(OpUNet, "context", in.Context, n, anySize, u.ContextDim); err != nil {
		return native, err
	}
	if err := checkTensor(OpUNet, "pooled", in.Pooled, n, u.PooledDim); err != nil {
		return native, err
	}
	if err := checkTensor(OpUNet, "size_ids", in.SizeIDs, n, u.SizeIDs); err != nil {
		return native, err
	}
	if count, ok := product(n, u.OutChannels, h, w); !ok || len(out) != count {
		return native, invalid(OpUNet, "out", "has %d elements; [%d %d %d %d] needs %d", len(out), n, u.OutChannels, h, w, count)
	}
	if want := u.ResidualCount(n, h, w); in.Residuals != nil && len(in.Residuals) != want {
		return native, invalid(OpUNet, "residuals", "there are %d values; %d rows of %d x %d cells need %d", len(in.Residuals), n, w, h, want)
	}
	return bindings.UNetInput{
		Residuals: in.Residuals,
		Batch:     int64(n), Height: int64(h), Width: int64(w), ContextTokens: int64(in.Context.Shape[1]),
		Sample: in.Sample.Data, Timesteps: in.Timesteps, Context: in.Context.Data,
		Pooled: in.Pooled.Data, SizeIDs: in.SizeIDs.Data,
	}, nil
}

// EncodeImage maps pixels [N, 3, H, W] in [-1, 1] to moments [N, 2*LatentChannels, H/8, W/8]: mean,
// then log-variance, not clamped. H and W are multiples of Downscale. The scaling factor is the
// caller's.
func (m *Model) EncodeImage(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	const op = OpEncodeImage
	if err := m.require(op, vaeEncoder); err != nil {
		return backend.Tensor{}, err
	}
	if err := checkTensor(op, "pixels", pixels, anySize, 3, anySize, anySize); err != nil {
		return backend.Tensor{}, err
	}
	n, h, w, scale := pixels.Shape[0], pixels.Shape[2], pixels.Shape[3], m.info.VAE.Downscale
	if scale < 1 || h%scale != 0 || w%scale != 0 {
		return backend.Tensor{}, invalid(op, "pixels", "%d x %d (W x H) are not multiples of %d", w, h, scale)
	}
	out, err := newTensor(op, n, 2*m.info.VAE.LatentChannels, h/scale, w/scale)
	if err != nil {
		return out, err
	}
	err = m.run(ctx, op, func() error {
		return m.handle.VAEEncode(int64(n), int64(h), int64(w), pixels.Data, out.Data)
	})
	if err != nil {
		return backend.Tensor{}, err
	}
	return out, nil
}

// DecodeLatents maps latents [N, LatentChannels, h, w], already divided by the scaling factor, to
// pixels [N, 3, 8h, 8w], about [-1, 1], not clamped.
func (m *Model) DecodeLatents(ctx context.Context, latents backend.Tensor) (backend.Tensor, error) {
	const op = OpDecodeLatents
	if err := m.require(op, vaeDecoder); err != nil {
		return backend.Tensor{}, err
	}
	v := m.info.VAE
	if err := checkTensor(op, "latents", latents, anySize, v.LatentChannels, anySize, anySize); err != nil {
		return backend.Tensor{}, err
	}
	n, h, w := latents.Shape[0], latents.Shape[2], latents.Shape[3]
	if _, ok := product(n, 3, h, v.Downscale, w, v.Downscale); !ok {
		return backend.Tensor{}, invalid(op, "latents", "of shape %v make more pixels than can be", latents.Shape)
	}
	out, err := newTensor(op, n, 3, h*v.Downscale, w*v.Downscale)
	if err != nil {
		return out, err
	}
	err = m.run(ctx, op, func() error {
		return m.handle.VAEDecode(int64(n), int64(h), int64(w), latents.Data, out.Data)
	})
	if err != nil {
		return backend.Tensor{}, err
	}
	return out, nil
}

// stageComponents says which component a stage belongs to.
var stageComponents = map[backend.Stage]int{
	backend.StageText: textEncoder, backend.StageText2: textEncoder2, backend.StageUNet: unet,
	backend.StageVAEEncode: vaeEncoder, backend.StageVAEDecode: vaeDecoder,
	backend.StageControl: controlNet, backend.StageControlHint: controlNet, backend.StageUpscale: upscaler,
	backend.StageVAEEncodeLevels: vaeEncoder, backend.StageVAEEncodeMiddle: vaeEncoder,
	backend.StageVAEDecodeMiddle: vaeDecoder, backend.StageVAEDecodeLevels: vaeDecoder,
}

// ComputeBytes returns the exact size of the compute buffer a stage would allocate; it allocates none
// of it. Sizes a stage does not have (Height of a text stage, ContextTokens of the VAE) are ignored.
func (m *Model) ComputeBytes(q backend.ComputeQuery) (bytes int64, err error) {
	err = m.ask(q, func(native *bindings.ComputeQuery) error {
		bytes, err = m.handle.ComputeSize(native)
		return err
	})
	return bytes, err
}

// ComputeLanes implements backend.Laned.
func (m *Model) ComputeLanes(q backend.ComputeQuery) (lanes int, err error) {
	err = m.ask(q, func(native *bindings.ComputeQuery) error {
		lanes, err = m.handle.ComputeLanes(native)
		return err
	})
	return lanes, err
}

// ask makes a call about a query in the library's terms, once it is known to be sound.
func (m *Model) ask(q backend.ComputeQuery, call func(*bindings.ComputeQuery) error) error {
	stage, ok := stages[q.Stage]
	if !ok {
		return invalid(OpCompute, "stage", "%d is none of the stages", q.Stage)
	}
	if err := m.require(OpCompute, stageComponents[q.Stage]); err != nil {
		return err
	}
	native := bindings.NewComputeQuery(stage)
	native.Batch = int64(q.Batch)
	sizes := map[string]int{"batch": q.Batch}
	if q.Stage != backend.StageText && q.Stage != backend.StageText2 {
		native.Height, native.Width = int64(q.Height), int64(q.Width)
		sizes["height"], sizes["width"] = q.Height, q.Width
	}
	if q.Stage == backend.StageUNet || q.Stage == backend.StageControl {
		native.ContextTokens, native.Texts = int64(q.ContextTokens), int32(q.Texts)
		sizes["context tokens"] = q.ContextTokens
	}
	for field, size := range sizes {
		if size < 1 {
			return invalid(OpCompute, field, "is %d; at least 1 is wanted", size)
		}
	}
	return m.run(context.Background(), OpCompute, func() error { return call(native) })
}

// ComputeHeld returns the bytes of compute buffer held between calls.
func (m *Model) ComputeHeld() (int64, error) {
	var bytes int64
	err := m.run(context.Background(), OpCompute, func() (err error) {
		bytes, err = m.handle.ComputeHeld()
		return err
	})
	return bytes, err
}

// ReleaseCompute frees the compute buffers held between calls; the next call allocates again.
func (m *Model) ReleaseCompute() error {
	return m.run(context.Background(), OpRelease, m.handle.ComputeRelease)
}
