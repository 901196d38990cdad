package contract

import "github.com/daguerre-go/daguerre/runtime/backend"

// Encoder returns the dimensions of one of the text encoders, and its component's name.
func Encoder(info backend.ModelInfo, encoder int) (backend.TextInfo, string, error) {
	switch encoder {
	case 0:
		return info.TextEncoder, "text_encoder", nil
	case 1:
		return info.TextEncoder2, "text_encoder_2", nil
	}
	return backend.TextInfo{}, "", Invalid("encoder", "%d is neither 0 nor 1", encoder)
}

// Text checks a call of the encoder that text describes, and allocates its result.
func Text(text backend.TextInfo, in backend.TextInput) (out backend.TextOutput, err error) {
	// The last layer is never used, so that there is a layer before the last for every skip.
	if most := text.Layers - 2; in.ClipSkip < 0 || in.ClipSkip > most {
		return out, Invalid("clip_skip", "%d is not in 0..%d", in.ClipSkip, most)
	}
	custom := 0
	if len(in.Custom.Shape) > 0 || len(in.Custom.Data) > 0 {
		if err := Tensor("custom", in.Custom, Any, text.Width); err != nil {
			return out, err
		}
		custom = in.Custom.Shape[0]
	}
	if len(in.IDs) == 0 {
		return out, Invalid("ids", "there is no chunk; an empty prompt is one chunk of padding")
	}
	for c, row := range in.IDs {
		if len(row) != text.MaxTokens {
			return out, Invalid("ids", "chunk %d has %d tokens; %d are wanted", c, len(row), text.MaxTokens)
		}
		for i, id := range row {
			if id < 0 || int(id) >= text.VocabSize+custom {
				return out, Invalid("ids", "token %d of chunk %d is %d; there are %d and %d custom ones", i, c, id, text.VocabSize, custom)
			}
		}
	}
	if out.Hidden, err = Result(len(in.IDs), text.MaxTokens, text.Width); err == nil && text.ProjectionDim > 0 {
		out.Pooled, err = Result(len(in.IDs), text.ProjectionDim)
	}
	return out, err
}

// UNet checks one evaluation of the UNet into a slice of the given length.
func UNet(u backend.UNetInfo, in backend.UNetInput, out int) error {
	n, h, w, err := conditions(u, in.Sample, in.Timesteps, in.Context, in.Pooled, in.SizeIDs)
	if err != nil {
		return err
	}
	if count, ok := product(n, u.OutChannels, h, w); !ok || out != count {
		return Invalid("out", "has %d elements; [%d %d %d %d] needs %d", out, n, u.OutChannels, h, w, count)
	}
	if want := u.ResidualCount(n, h, w); in.Residuals != nil && len(in.Residuals) != want {
		return Invalid("residuals", "there are %d values; %d rows of %d x %d cells need %d", len(in.Residuals), n, w, h, want)
	}
	return nil
}

// conditions checks what the UNet and ControlNets have in common, and returns the batch and the size of the sample.
func conditions(u backend.UNetInfo, sample backend.Tensor, timesteps []float32, context, pooled, sizeIDs backend.Tensor) (
	n, h, w int, err error) {
	if err := Tensor("sample", sample, Any, u.InChannels, Any, Any); err != nil {
		return 0, 0, 0, err
	}
	n, h, w = sample.Shape[0], sample.Shape[2], sample.Shape[3]
	if len(timesteps) != n {
		return 0, 0, 0, Invalid("timesteps", "there are %d for a batch of %d", len(timesteps), n)
	}
	width := u.ContextDim
	if width == 0 {
		width = Any // without cross-attention it is not looked at
	}
	if err = Tensor("context", context, n, Any, width); err == nil {
		err = Tensor("pooled", pooled, n, u.PooledDim)
	}
	if err == nil {
		err = Tensor("size_ids", sizeIDs, n, u.SizeIDs)
	}
	return n, h, w, err
}

// ControlNet checks one evaluation of a ControlNet into residuals of the given length. It returns how many rows these have.
func ControlNet(info backend.ModelInfo, in backend.ControlInput, residuals int) (rows int, err error) {
	u := info.UNet
	n, h, w, err := conditions(u, in.Sample, in.Timesteps, in.Context, in.Pooled, in.SizeIDs)
	if err != nil {
		return 0, err
	}
	if err := Tensor("hint", in.Hint, Any, u.ModelChannels, h, w); err != nil {
		return 0, err
	}
	if in.Hint.Shape[0] != 1 && in.Hint.Shape[0] != n {
		return 0, Invalid("hint", "there are %d for a batch of %d; one or as many are wanted", in.Hint.Shape[0], n)
	}
	if want := len(u.ResidualShapes(h, w)); len(in.Scales) != want {
		return 0, Invalid("scales", "there are %d; the net has %d residuals", len(in.Scales), want)
	}
	if most := max(info.Control.Types-1, 0); in.Type < 0 || in.Type > most {
		return 0, Invalid("type", "%d is not in 0..%d, the kinds of control this net tells apart", in.Type, most)
	}
	rows = in.Rows
	if rows == 0 {
		rows = n
	}
	if in.FirstRow < 0 || in.FirstRow+n > rows {
		return 0, Invalid("first_row", "%d rows from %d on are not among %d", n, in.FirstRow, rows)
	}
	if want := u.ResidualCount(rows, h, w); residuals != want {
		return 0, Invalid("residuals", "there are %d values; %d rows of %d x %d cells need %d", residuals, rows, w, h, want)
	}
	return rows, nil
}

// Smaller checks pixels that become latents, or a control picture that becomes features, and allocates the result.
func Smaller(pixels backend.Tensor, channels, downscale, outChannels int) (backend.Tensor, error) {
	if err := Tensor("pixels", pixels, Any, channels, Any, Any); err != nil {
		return backend.Tensor{}, err
	}
	n, h, w := pixels.Shape[0], pixels.Shape[2], pixels.Shape[3]
	if downscale < 1 || h%downscale != 0 || w%downscale != 0 {
		return backend.Tensor{}, Invalid("pixels", "%d x %d (W x H) are not multiples of %d", w, h, downscale)
	}
	return Result(n, outChannels, h/downscale, w/downscale)
}

// Larger checks latents that become pixels, or pixels that become more, and allocates the result of 3 channels.
func Larger(field string, in backend.Tensor, channels, multiple, scale int) (backend.Tensor, error) {
	if err := Tensor(field, in, Any, channels, Any, Any); err != nil {
		return backend.Tensor{}, err
	}
	n, h, w := in.Shape[0], in.Shape[2], in.Shape[3]
	if multiple > 1 && (h%multiple != 0 || w%multiple != 0) {
		return backend.Tensor{}, Invalid(field, "%d x %d (W x H) are not multiples of %d", w, h, multiple)
	}
	if _, ok := product(n, 3, h, scale, w, scale); !ok {
		return backend.Tensor{}, Invalid(field, "of shape %v make more pixels than can be", in.Shape)
	}
	return Result(n, 3, h*scale, w*scale)
}

// Query checks the sizes that a stage has; others are not looked at.
func Query(q backend.ComputeQuery) error {
	type size struct {
		field string
		value int
	}
	sizes := []size{{"batch", q.Batch}}
	if q.Stage != backend.StageText && q.Stage != backend.StageText2 {
		sizes = append(sizes, size{"height", q.Height}, size{"width", q.Width})
	}
	if q.Stage == backend.StageUNet || q.Stage == backend.StageControl {
		sizes = append(sizes, size{"context tokens", q.ContextTokens})
	}
	for _, s := range sizes {
		if s.value < 1 {
			return Invalid(s.field, "is %d; at least 1 is wanted", s.value)
		}
	}
	return nil
}
