package native

import (
	"context"
	"slices"

	"github.com/daguerre-go/daguerre/bindings"
	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// EncodeText runs one of the text encoders. IDs are [chunks][MaxTokens], each in [0, VocabSize + rows
// of Custom). Hidden is [chunks, MaxTokens, Width]; Pooled is [chunks, ProjectionDim], or the zero
// tensor where the encoder has no projection.
func (m *Model) EncodeText(ctx context.Context, in backend.TextInput) (backend.TextOutput, error) {
	none := backend.TextOutput{}
	text, component, err := contract.Encoder(m.info, in.Encoder)
	if err != nil {
		return none, argument(OpEncodeText, err)
	}
	if err := m.require(OpEncodeText, component); err != nil {
		return none, err
	}
	out, err := contract.Text(text, in)
	if err != nil {
		return none, argument(OpEncodeText, err)
	}
	native := bindings.TextInput{
		Encoder: int32(in.Encoder), ClipSkip: int32(in.ClipSkip), Chunks: int64(len(in.IDs)),
		Tokens: int64(text.MaxTokens), IDs: slices.Concat(in.IDs...), Custom: in.Custom.Data,
	}
	if len(in.Custom.Data) > 0 {
		native.CustomCount = int64(in.Custom.Shape[0])
	}
	if native.LoRAs, err = m.loraUses(OpEncodeText, in.LoRAs); err != nil {
		return none, err
	}
	err = m.run(ctx, OpEncodeText, func() error {
		return m.handle.TextEncode(native, out.Hidden.Data, out.Pooled.Data)
	})
	if err != nil {
		return none, err
	}
	return out, nil
}

// UNet evaluates the UNet once into out, which has N*OutChannels*h*w elements. Nothing is allocated
// for the tensors: in and out are used where they are, and out must not overlap any of in.
func (m *Model) UNet(ctx context.Context, in backend.UNetInput, out []float32) error {
	if err := m.require(OpUNet, "unet"); err != nil {
		return err
	}
	if err := contract.UNet(m.info.UNet, in, len(out)); err != nil {
		return argument(OpUNet, err)
	}
	native := bindings.UNetInput{
		Residuals: in.Residuals,
		Batch:     int64(in.Sample.Shape[0]), Height: int64(in.Sample.Shape[2]), Width: int64(in.Sample.Shape[3]),
		ContextTokens: int64(in.Context.Shape[1]),
		Sample:        in.Sample.Data, Timesteps: in.Timesteps, Context: in.Context.Data,
		Pooled: in.Pooled.Data, SizeIDs: in.SizeIDs.Data,
	}
	var err error
	if native.LoRAs, err = m.loraUses(OpUNet, in.LoRAs); err != nil {
		return err
	}
	return m.run(ctx, OpUNet, func() error { return m.handle.UNetEval(native, out) })
}

// EncodeImage maps pixels [N, 3, H, W] in [-1, 1] to moments [N, 2*LatentChannels, H/8, W/8]: mean,
// then log-variance, not clamped. H and W are multiples of Downscale. The scaling factor is the
// caller's.
func (m *Model) EncodeImage(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	v := m.info.VAE
	return m.transform(ctx, OpEncodeImage, "vae_encoder", pixels, func() (backend.Tensor, error) {
		return contract.Smaller(pixels, 3, v.Downscale, 2*v.LatentChannels)
	}, m.handle.VAEEncode)
}

// DecodeLatents maps latents [N, LatentChannels, h, w], already divided by the scaling factor, to
// pixels [N, 3, 8h, 8w], about [-1, 1], not clamped.
func (m *Model) DecodeLatents(ctx context.Context, latents backend.Tensor) (backend.Tensor, error) {
	v := m.info.VAE
	return m.transform(ctx, OpDecodeLatents, "vae_decoder", latents, func() (backend.Tensor, error) {
		return contract.Larger("latents", latents, v.LatentChannels, 1, v.Downscale)
	}, m.handle.VAEDecode)
}

// transform makes one picture-like tensor of another: check allocates the result, call fills it.
func (m *Model) transform(ctx context.Context, op Op, component string, in backend.Tensor, check func() (backend.Tensor, error),
	call func(n, h, w int64, in, out []float32) error) (backend.Tensor, error) {
	if err := m.require(op, component); err != nil {
		return backend.Tensor{}, err
	}
	out, err := check()
	if err != nil {
		return backend.Tensor{}, argument(op, err)
	}
	err = m.run(ctx, op, func() error {
		return call(int64(in.Shape[0]), int64(in.Shape[2]), int64(in.Shape[3]), in.Data, out.Data)
	})
	if err != nil {
		return backend.Tensor{}, err
	}
	return out, nil
}

// stageComponents says which component a stage belongs to.
var stageComponents = map[backend.Stage]string{
	backend.StageText: "text_encoder", backend.StageText2: "text_encoder_2", backend.StageUNet: "unet",
	backend.StageVAEEncode: "vae_encoder", backend.StageVAEDecode: "vae_decoder",
	backend.StageControl: "controlnet", backend.StageControlHint: "controlnet", backend.StageUpscale: "upscaler",
	backend.StageVAEEncodeLevels: "vae_encoder", backend.StageVAEEncodeMiddle: "vae_encoder",
	backend.StageVAEDecodeMiddle: "vae_decoder", backend.StageVAEDecodeLevels: "vae_decoder",
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
	if err := contract.Query(q); err != nil {
		return argument(OpCompute, err)
	}
	native := bindings.NewComputeQuery(stage)
	native.Batch = int64(q.Batch)
	if q.Stage != backend.StageText && q.Stage != backend.StageText2 {
		native.Height, native.Width = int64(q.Height), int64(q.Width)
	}
	if q.Stage == backend.StageUNet || q.Stage == backend.StageControl {
		native.ContextTokens, native.Texts = int64(q.ContextTokens), int32(q.Texts)
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

// require refuses an operation whose component was not opened.
func (m *Model) require(op Op, component string) error {
	if contract.Opened(m.info, component) {
		return nil
	}
	return status(op, bindings.CodeUnsupported, "this model (%s) has no %s; give one with a file for it", m.info.Kind, component)
}
