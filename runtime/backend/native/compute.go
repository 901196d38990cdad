package native

import (
	"cmp"
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
	out, err := contract.Text(m.info, in)
	if err != nil {
		return out, refused(opText, err)
	}
	ids := slices.Concat(in.IDs...)
	native := bindings.TextInput{
		Encoder: int32(in.Encoder), ClipSkip: int32(in.ClipSkip), Chunks: int64(len(in.IDs)),
		Tokens: int64(len(in.IDs[0])), IDs: bindings.Pointer(ids), Custom: bindings.Pointer(in.Custom.Data),
	}
	if len(in.Custom.Data) > 0 {
		native.CustomCount = int64(in.Custom.Shape[0])
	}
	loras, err := m.loraUses(opText, in.LoRAs)
	if err == nil {
		err = m.run(ctx, opText, func() error { return m.handle.TextEncode(native, loras, out.Hidden.Data, out.Pooled.Data) })
	}
	if err != nil {
		return backend.TextOutput{}, err
	}
	return out, nil
}

// UNet evaluates the UNet once into out, which has N*OutChannels*h*w elements. Nothing is allocated
// for the tensors: in and out are used where they are, and out must not overlap any of in.
func (m *Model) UNet(ctx context.Context, in backend.UNetInput, out []float32) error {
	if err := contract.UNet(m.info, in, len(out)); err != nil {
		return refused(opUNet, err)
	}
	native := bindings.UNetInput{
		Batch: int64(in.Sample.Shape[0]), Height: int64(in.Sample.Shape[2]), Width: int64(in.Sample.Shape[3]),
		ContextTokens: int64(in.Context.Shape[1]),
		Sample:        bindings.Pointer(in.Sample.Data), Timesteps: bindings.Pointer(in.Timesteps), Context: bindings.Pointer(in.Context.Data),
		Pooled: bindings.Pointer(in.Pooled.Data), SizeIDs: bindings.Pointer(in.SizeIDs.Data),
		Residuals: bindings.Pointer(in.Residuals), ResidualCount: int64(len(in.Residuals)), Guidance: bindings.Pointer(in.Guidance),
		Change: nativeChange(in.Change), Regions: textRegions(in.Regions),
		BlockFeatures: bindings.Pointer(in.Blocks), BlockRows: int64(in.BlockRows), BlockCount: int64(len(in.Blocks)),
	}
	loras, err := m.loraUses(opUNet, in.LoRAs)
	if err != nil {
		return err
	}
	features, err := m.keep(&native, in.Kept)
	if err != nil {
		return err
	}
	onDevice, err := residualsOf(opUNet, in.OnDevice)
	if err != nil {
		return err
	}
	pictures := imagePrompts(in.Pictures)
	return beside(ctx, opUNet, in.XS.Net, func(xs uintptr) error {
		native.XS, native.XSHint, native.XSScale = xs, bindings.Pointer(in.XS.Hint.Data), float64(in.XS.Scale)
		return m.run(ctx, opUNet, func() error { return m.handle.UNetEval(native, loras, pictures, features, onDevice, out) })
	})
}

// beside makes a call of a model that a ControlNet-XS takes part in, with its handle; 0 of none. Nobody else uses the net meanwhile, and
// cancelling ctx also ends the loading of its weights.
func beside(ctx context.Context, op string, net backend.Model, call func(xs uintptr) error) error {
	if net == nil {
		return call(0)
	}
	own, ok := net.(*Model)
	if !ok {
		return invalid(op, "xs", "the net is of another backend")
	}
	var answer error // which is told as it is
	err := own.run(ctx, op, func() error {
		return own.handle.Lend(func(xs uintptr) error {
			answer = call(xs)
			return nil
		})
	})
	return cmp.Or(answer, err)
}

// ControlNet evaluates the ControlNet once and adds its scaled residuals to rows of residuals. They must not overlap any of in.
func (m *Model) ControlNet(ctx context.Context, in backend.ControlInput, residuals []float32) error {
	rows, err := contract.ControlNet(m.info, in, len(residuals))
	if err != nil {
		return refused(opControl, err)
	}
	native := bindings.ControlInput{
		Batch: int64(in.Sample.Shape[0]), Height: int64(in.Sample.Shape[2]), Width: int64(in.Sample.Shape[3]),
		ContextTokens: int64(in.Context.Shape[1]),
		Sample:        bindings.Pointer(in.Sample.Data), Timesteps: bindings.Pointer(in.Timesteps), Context: bindings.Pointer(in.Context.Data),
		Pooled: bindings.Pointer(in.Pooled.Data), SizeIDs: bindings.Pointer(in.SizeIDs.Data),
		Hint: bindings.Pointer(in.Hint.Data), HintBatch: int64(in.Hint.Shape[0]),
		Scales: bindings.Pointer(in.Scales), ScaleCount: int64(len(in.Scales)),
		ResidualRows: int64(rows), FirstRow: int64(in.FirstRow), ControlType: int32(in.Type),
		Regions: textRegions(in.Regions),
	}
	native.SetKinds(hintKinds(in.Kinds))
	onDevice, err := residualsOf(opControl, in.OnDevice)
	if err != nil {
		return err
	}
	return m.run(ctx, opControl, func() error {
		if onDevice != nil {
			return m.handle.ControlEvalOnDevice(native, onDevice)
		}
		return m.handle.ControlEval(native, residuals)
	})
}

// hintKinds splits kinds as the library takes them.
func hintKinds(kinds []backend.HintKind) (types []int32, weights []float32) {
	for _, k := range kinds {
		types, weights = append(types, int32(k.Type)), append(weights, k.Weight)
	}
	return types, weights
}

// EncodeImage maps pixels [N, 3, H, W] in [-1, 1] to moments [N, 2*LatentChannels, H/8, W/8]: mean,
// then log-variance, not clamped. H and W are multiples of Downscale. The scaling factor is the
// caller's.
func (m *Model) EncodeImage(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	return m.transform(ctx, "encoding an image", pixels, contract.EncodeImage, m.handle.VAEEncode)
}

// DecodeLatents maps latents [N, LatentChannels, h, w], already divided by the scaling factor, to
// pixels [N, 3, 8h, 8w], about [-1, 1], not clamped.
func (m *Model) DecodeLatents(ctx context.Context, latents backend.Tensor) (backend.Tensor, error) {
	return m.transform(ctx, "decoding latents", latents, contract.DecodeLatents, m.handle.VAEDecode)
}

// EncodeHint maps a ControlNet's picture, pixels [N, 3, H, W] in [0, 1], to [N, ModelChannels, H/8, W/8]. H and W are multiples
// of HintDownscale.
func (m *Model) EncodeHint(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	return m.transform(ctx, "encoding a control picture", pixels, contract.EncodeHint, m.handle.ControlHint)
}

// Upscale enlarges pixels [N, 3, H, W] in [0, 1] to [N, 3, Scale*H, Scale*W], not clamped.
func (m *Model) Upscale(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	return m.transform(ctx, "upscaling", pixels, contract.Upscale, m.handle.Upscale)
}

// Detect looks for boxes in pixels [N, 3, H, W] in [0, 1]: [N, 4*Bins+Classes, Anchors]. H and W are multiples of Multiple.
func (m *Model) Detect(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	return m.transform(ctx, "detecting", pixels, contract.Detect, m.handle.Detect)
}

// transform makes one picture-like tensor of another: check allocates the result, call fills it.
func (m *Model) transform(ctx context.Context, op string, in backend.Tensor,
	check func(backend.ModelInfo, backend.Tensor) (backend.Tensor, error),
	call func(n, h, w int64, in, out []float32) error) (backend.Tensor, error) {
	out, err := check(m.info, in)
	if err = refused(op, err); err == nil {
		err = m.run(ctx, op, func() error {
			return call(int64(in.Shape[0]), int64(in.Shape[2]), int64(in.Shape[3]), in.Data, out.Data)
		})
	}
	if err != nil {
		return backend.Tensor{}, err
	}
	return out, nil
}

// ComputeBytes returns the exact size of the compute buffer a stage would allocate; it allocates none
// of it. Sizes a stage does not have (Height of a text stage, ContextTokens of the VAE) are ignored.
func (m *Model) ComputeBytes(q backend.ComputeQuery) (int64, error) {
	return ask(m, q, m.handle.ComputeSize)
}

// ComputeLanes implements backend.Laned.
func (m *Model) ComputeLanes(q backend.ComputeQuery) (int, error) {
	return ask(m, q, m.handle.ComputeLanes)
}

// ask makes a call about a query in the library's terms, once it is known to be sound. Both number stages alike.
func ask[T any](m *Model, q backend.ComputeQuery, call func(bindings.ComputeQuery) (T, error)) (answer T, err error) {
	if err := contract.Query(m.info, q); err != nil {
		return answer, refused(opCompute, err)
	}
	native := bindings.ComputeQuery{Stage: int32(q.Stage), Batch: int64(q.Batch)}
	if q.Stage != backend.StageText && q.Stage != backend.StageText2 {
		native.Height, native.Width = int64(q.Height), int64(q.Width)
	}
	switch q.Stage {
	case backend.StageFeatures, backend.StageUNet:
		if q.Keep != "" {
			native.Keep, native.Branch = number(bindings.Keeps, q.Keep), int64(q.Branch)
			use := cmp.Or(q.Use, backend.FeaturesStore)
			if q.Stage == backend.StageFeatures {
				use = cmp.Or(q.Use, backend.FeaturesReuse)
			}
			native.FeaturesUse = number(bindings.FeatureUses, use)
		}
		native.Residuals, native.BlockRows = number(bindings.ResidualPlaces, cmp.Or(q.Residuals, "none")), int64(q.BlockRows)
		native.Change = nativeChange(q.Change)
		native.RegionCount, native.RegionRows, native.RegionSets = int64(q.Regions.Count), int64(q.Regions.Rows), int64(q.Regions.Sets)
		fallthrough
	case backend.StageControl:
		native.ContextTokens, native.Texts = int64(q.ContextTokens), int32(q.Texts)
		native.Kinds = int64(q.Kinds)
	}
	native.SetLoRAs(loraShapes(q.LoRAs))
	native.ImagePrompts, native.ImageTokens, native.ImageRows = int64(q.ImagePrompts), int64(q.ImageTokens), int32(q.ImageRows)
	if q.ImageMasks {
		native.ImageMasks = 1
	}
	err = beside(context.Background(), opCompute, q.XS, func(xs uintptr) (err error) {
		native.XS = xs
		answer, err = get(m, opCompute, func() (T, error) { return call(native) })
		return err
	})
	return answer, err
}

// get makes a call that answers something.
func get[T any](m *Model, op string, call func() (T, error)) (answer T, err error) {
	err = m.run(context.Background(), op, func() (err error) {
		answer, err = call()
		return err
	})
	return answer, err
}

// ComputeHeld returns the bytes of compute buffer held between calls.
func (m *Model) ComputeHeld() (int64, error) { return get(m, opCompute, m.handle.ComputeHeld) }

// ReleaseCompute frees the compute buffers held between calls; the next call allocates again.
func (m *Model) ReleaseCompute() error {
	return m.run(context.Background(), opRelease, m.handle.ComputeRelease)
}
