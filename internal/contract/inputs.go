package contract

import (
	"cmp"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Text checks a call of a text encoder, and allocates its result.
func Text(info backend.ModelInfo, in backend.TextInput) (out backend.TextOutput, err error) {
	if in.Encoder != 0 && in.Encoder != 1 {
		return out, Invalid("encoder", "%d is neither 0 nor 1", in.Encoder)
	}
	text := [2]backend.TextInfo{info.TextEncoder, info.TextEncoder2}[in.Encoder]
	if err := Need(info, Component(backend.StageText+backend.Stage(in.Encoder))); err != nil {
		return out, err
	}
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
func UNet(info backend.ModelInfo, in backend.UNetInput, out int) error {
	u := info.UNet
	if err := Need(info, "unet"); err != nil {
		return err
	}
	n, h, w, err := conditions(u, in.Sample, in.Timesteps, in.Context, in.Pooled, in.SizeIDs)
	if err != nil {
		return err
	}
	if count, ok := product(n, u.OutChannels, h, w); !ok || out != count {
		return Invalid("out", "has %d elements; [%d %d %d %d] needs %d", out, n, u.OutChannels, h, w, count)
	}
	if in.Guidance != nil && (u.GuidanceDim == 0 || len(in.Guidance) != n) {
		return Invalid("guidance", "there are %d for a batch of %d, of a UNet that takes %d numbers for each", len(in.Guidance), n, u.GuidanceDim)
	}
	if in.Kept != (backend.Kept{}) {
		if in.Change != (backend.UNetChange{}) {
			return Invalid("change", "cannot be used with features")
		}
		if err := Kept(u, in.Kept); err != nil {
			return err
		}
	}
	if in.OnDevice != nil && in.Residuals != nil {
		return Invalid("on_device", "there are residuals on the host, too")
	}
	if want := u.ResidualCount(n, h, w); in.Residuals != nil && len(in.Residuals) != want {
		return Invalid("residuals", "there are %d values; %d rows of %d x %d cells need %d", len(in.Residuals), n, w, h, want)
	}
	if err := blocks(u, in, n, h, w); err != nil {
		return err
	}
	if err := pictures(u, in.Pictures, n, h, w); err != nil {
		return err
	}
	if err := textRegions(u, in.Regions, in.Context, n, h, w); err != nil {
		return err
	}
	if err := xs(in.XS, h, w); err != nil {
		return err
	}
	return Change(u, in.Change, n)
}

// xs checks a ControlNet-XS beside latents of h x w cells.
func xs(x backend.XS, h, w int) error {
	if x.Net == nil {
		if len(x.Hint.Data) > 0 || x.Scale != 0 {
			return Invalid("xs", "there is a hint or a scale, and no net")
		}
		return nil
	}
	c := x.Net.Info().Control
	if !c.IsXS() {
		return Invalid("xs", "the net is no ControlNet-XS")
	}
	return Tensor("xs hint", x.Hint, 1, c.XSChannels, h, w)
}

// blocks checks what T2I-Adapters add to n rows of latents of h x w cells.
func blocks(u backend.UNetInfo, in backend.UNetInput, n, h, w int) error {
	switch {
	case in.BlockRows == 0 && len(in.Blocks) == 0:
		return nil
	case in.BlockRows != 1 && in.BlockRows != n:
		return Invalid("blocks", "there are %d rows for a batch of %d; one or as many are wanted", in.BlockRows, n)
	}
	if want, ok := product(in.BlockRows, u.BlockCount(h, w)); !ok || len(in.Blocks) != want {
		return Invalid("blocks", "there are %d values; %d rows of %d x %d cells need %d", len(in.Blocks), in.BlockRows, w, h, want)
	}
	return nil
}

// Keeps and FeatureUses list what is kept of a UNet's evaluation, and what for, in the ABI's order.
var (
	Keeps       = []backend.Keep{backend.KeepDeep, backend.KeepTextAttention}
	FeatureUses = []backend.FeaturesUse{backend.FeaturesStore, backend.FeaturesMean, backend.FeaturesReuse}
)

// Kept checks what is kept of an evaluation, but not the features themselves.
func Kept(u backend.UNetInfo, k backend.Kept) error {
	if err := oneOf("keep", k.Keep, Keeps); err != nil {
		return err
	}
	if err := oneOf("features use", k.Use, FeatureUses); err != nil {
		return err
	}
	branches := 1
	if k.Keep == backend.KeepDeep {
		branches = u.Branches()
	}
	if k.Branch < 0 || k.Branch >= branches {
		return Invalid("branch", "%d is not in 0..%d", k.Branch, branches-1)
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
	if err := Need(info, "controlnet"); err != nil {
		return 0, err
	}
	if info.Control.IsT2IAdapter() {
		return 0, refusal("a T2I-Adapter is not evaluated in the steps; its features are added inside the UNet", backend.ErrUnsupported)
	}
	if info.Control.IsXS() {
		return 0, refusal("a ControlNet-XS is not evaluated by itself; it becomes a part of the UNet's evaluation", backend.ErrUnsupported)
	}
	n, h, w, err := conditions(u, in.Sample, in.Timesteps, in.Context, in.Pooled, in.SizeIDs)
	if err != nil {
		return 0, err
	}
	if err := Tensor("hint", in.Hint, Any, u.ModelChannels, h, w); err != nil {
		return 0, err
	}
	if len(in.Kinds) > 0 {
		if err := kinds(info, in); err != nil {
			return 0, err
		}
	} else if in.Hint.Shape[0] != 1 && in.Hint.Shape[0] != n {
		return 0, Invalid("hint", "there are %d for a batch of %d; one or as many are wanted", in.Hint.Shape[0], n)
	}
	if want := len(u.ResidualShapes(h, w)); len(in.Scales) != want {
		return 0, Invalid("scales", "there are %d; the net has %d residuals", len(in.Scales), want)
	}
	if most := max(info.Control.Types-1, 0); in.Type < 0 || in.Type > most {
		return 0, Invalid("type", "%d is not in 0..%d, the kinds of control this net tells apart", in.Type, most)
	}
	if u.ContextDim > 0 {
		if err := textRegions(u, in.Regions, in.Context, n, h, w); err != nil {
			return 0, err
		}
	}
	rows = in.Rows
	if rows == 0 {
		rows = n
	}
	if in.FirstRow < 0 || in.FirstRow > rows-n {
		return 0, Invalid("first_row", "%d rows from %d on are not among %d", n, in.FirstRow, rows)
	}
	if in.OnDevice != nil {
		if residuals > 0 {
			return 0, Invalid("on_device", "there are residuals on the host, too")
		}
		return rows, nil
	}
	if want, ok := product(rows, u.ResidualCount(1, h, w)); !ok || residuals != want {
		return 0, Invalid("residuals", "there are %d values; %d rows of %d x %d cells need %d", residuals, rows, w, h, want)
	}
	return rows, nil
}

// kinds checks several hints of a Union net.
func kinds(info backend.ModelInfo, in backend.ControlInput) error {
	if len(in.Kinds) < 2 || len(in.Kinds) != in.Hint.Shape[0] || in.Type != 0 {
		return Invalid("kinds", "there are %d with the type %d, and %d hints; two or more are wanted, one for each hint, and no type",
			len(in.Kinds), in.Type, in.Hint.Shape[0])
	}
	for _, k := range in.Kinds {
		if k.Type < 0 || k.Type >= info.Control.Types {
			return Invalid("kinds", "%d is not in 0..%d, the kinds of control this net tells apart", k.Type, info.Control.Types-1)
		}
	}
	return nil
}

// EncodeImage checks pixels that become moments, and allocates these.
func EncodeImage(info backend.ModelInfo, pixels backend.Tensor) (backend.Tensor, error) {
	return smaller(info, "vae_encoder", pixels, 3, info.VAE.Downscale, 2*info.VAE.LatentChannels)
}

// EncodeHint checks a control picture that becomes features, and allocates these.
func EncodeHint(info backend.ModelInfo, pixels backend.Tensor) (backend.Tensor, error) {
	c, width := info.Control, info.UNet.ModelChannels
	if c.IsT2IAdapter() {
		width = 1 // features have shapes of their own
	}
	if c.IsXS() {
		width = c.XSChannels
	}
	out, err := smaller(info, "controlnet", pixels, c.HintChannels, c.HintDownscale, width)
	if err != nil || !c.IsT2IAdapter() {
		return out, err
	}
	return Result(pixels.Shape[0], c.FeatureCount(pixels.Shape[2], pixels.Shape[3]))
}

// DecodeLatents checks latents that become pixels, and allocates these.
func DecodeLatents(info backend.ModelInfo, latents backend.Tensor) (backend.Tensor, error) {
	return larger(info, "vae_decoder", "latents", latents, info.VAE.LatentChannels, 1, info.VAE.Downscale)
}

// Upscale checks pixels that become more, and allocates these.
func Upscale(info backend.ModelInfo, pixels backend.Tensor) (backend.Tensor, error) {
	return larger(info, "upscaler", "pixels", pixels, 3, info.Upscaler.Multiple, info.Upscaler.Scale)
}

// Detect checks pixels in which boxes are looked for, and allocates what is told of these.
func Detect(info backend.ModelInfo, pixels backend.Tensor) (backend.Tensor, error) {
	d := info.Detector
	out, err := smaller(info, "detector", pixels, 3, d.Multiple, 1)
	if err != nil {
		return out, err
	}
	return Result(pixels.Shape[0], 4*d.Bins+d.Classes, d.Anchors(pixels.Shape[2], pixels.Shape[3]))
}

func smaller(info backend.ModelInfo, component string, pixels backend.Tensor, channels, downscale, outChannels int) (
	out backend.Tensor, err error) {
	if err = Need(info, component); err == nil {
		err = Tensor("pixels", pixels, Any, channels, Any, Any)
	}
	if err != nil {
		return out, err
	}
	n, h, w := pixels.Shape[0], pixels.Shape[2], pixels.Shape[3]
	if downscale < 1 || h%downscale != 0 || w%downscale != 0 {
		return out, Invalid("pixels", "%d x %d (W x H) are not multiples of %d", w, h, downscale)
	}
	return Result(n, outChannels, h/downscale, w/downscale)
}

func larger(info backend.ModelInfo, component, field string, in backend.Tensor, channels, multiple, scale int) (
	out backend.Tensor, err error) {
	if err = Need(info, component); err == nil {
		err = Tensor(field, in, Any, channels, Any, Any)
	}
	if err != nil {
		return out, err
	}
	n, h, w := in.Shape[0], in.Shape[2], in.Shape[3]
	if multiple > 1 && (h%multiple != 0 || w%multiple != 0) {
		return out, Invalid(field, "%d x %d (W x H) are not multiples of %d", w, h, multiple)
	}
	if _, ok := product(n, 3, h, scale, w, scale); !ok {
		return out, Invalid(field, "of shape %v make more pixels than can be", in.Shape)
	}
	return Result(n, 3, h*scale, w*scale)
}

// Query checks a stage, and the sizes that it has; others are not looked at.
func Query(info backend.ModelInfo, q backend.ComputeQuery) error {
	component := Component(q.Stage)
	if component == "" {
		return Invalid("stage", "%d is none of the stages", q.Stage)
	}
	if err := Need(info, component); err != nil {
		return err
	}
	type size struct {
		field string
		value int
	}
	sizes := []size{{"batch", q.Batch}}
	switch q.Stage {
	case backend.StageText, backend.StageText2, backend.StageImageEncode:
	case backend.StageIPAdapter:
		sizes = append(sizes, size{"image tokens", q.ImageTokens})
	default:
		sizes = append(sizes, size{"height", q.Height}, size{"width", q.Width})
	}
	if q.Stage == backend.StageFeatures || q.Stage == backend.StageUNet && q.Keep != "" {
		kept := backend.Kept{Keep: q.Keep, Use: cmp.Or(q.Use, backend.FeaturesStore), Branch: q.Branch}
		if err := Kept(info.UNet, kept); err != nil {
			return err
		}
	}
	if q.Stage == backend.StageUNet || q.Stage == backend.StageControl || q.Stage == backend.StageFeatures {
		sizes = append(sizes, size{"context tokens", q.ContextTokens})
	}
	for _, s := range sizes {
		if s.value < 1 {
			return Invalid(s.field, "is %d; at least 1 is wanted", s.value)
		}
	}
	if err := regionTexts(q.Regions, q.Batch); err != nil {
		return err
	}
	for _, s := range q.LoRAs {
		if err := oneOf("lora form", s.Form, loraForms); err != nil {
			return err
		}
	}
	if q.Stage == backend.StageControl && (q.Kinds < 0 || q.Kinds > 0 && info.Control.Types == 0) {
		return Invalid("kinds", "there are %d, of a net that tells %d apart", q.Kinds, info.Control.Types)
	}
	if q.Stage == backend.StageUNet {
		if err := oneOf("residuals", q.Residuals, []backend.ResidualsAt{"", backend.ResidualsOnDevice, backend.ResidualsOnHost}); err != nil {
			return err
		}
		if q.BlockRows != 0 && q.BlockRows != 1 && q.BlockRows != q.Batch {
			return Invalid("block rows", "%d is neither 1 nor the batch of %d", q.BlockRows, q.Batch)
		}
		return Change(info.UNet, q.Change, q.Batch)
	}
	return nil
}
