package modelfile

import (
	"fmt"
	"slices"
	"strings"
)

// Check reads the headers of a file or diffusers folder and makes sure that every tensor of its
// components is there, with the shape that follows from the dimensions inferred, and with a type that
// goes with its use, and that no other tensor stands among them that would change the picture. The error (ErrTensor) names the first tensor
// at fault, what was found and what was expected. Tensors that belong to nothing are tolerated; Inspect lists them. The file must be of one
// of the kinds, where some are named: KindLoRA, KindControlNet, KindControlNetXS, KindT2IAdapter, KindTAESD, KindUpscaler,
// KindTextualInversion, KindImageEncoder, KindIPAdapter and KindDetector, which are no checkpoints, must be.
func Check(path string, kinds ...Kind) (Report, error) {
	s, err := openSource(path)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	r, err := s.report()
	if err != nil {
		return Report{}, err
	}
	return r, s.check(r, kinds)
}

func (s *source) check(r Report, kinds []Kind) error {
	unsupported := func(remedy, format string, args ...any) error {
		return withPath(s.path, fail(ErrUnsupported, "", remedy, format, args...))
	}
	named := slices.Contains(kinds, r.Kind)
	switch r.Kind {
	case KindLoRA, KindControlNet, KindControlNetXS, KindT2IAdapter, KindTAESD, KindUpscaler, KindTextualInversion, KindImageEncoder,
		KindIPAdapter, KindDetector:
		if r.Reason == "" && !named {
			return unsupported("name it where such files are taken, beside a checkpoint", "a %s, not a checkpoint", r.Kind)
		}
	}
	if r.Reason != "" {
		return s.unsupported(r.Reason)
	}
	if len(kinds) > 0 && !named && !slices.Contains(kinds, r.UNetKind) {
		texts := strings.ReplaceAll(strings.Trim(fmt.Sprint(kinds), "[]"), " ", " or ")
		return unsupported("name the right file", "found a model of kind %s where %s is needed", r.Kind, texts)
	}
	return s.whole(r.Config)
}

func (s *source) unsupported(reason string) error {
	return &Error{Kind: ErrUnsupported, Path: s.path, Found: reason, Remedy: "use an SDXL model"}
}

// whole checks everything that a source holds.
func (s *source) whole(c Config) error {
	if err := s.sound(s.parts, s.dims, c); err != nil {
		return err
	}
	return crossCheck(s.dims, s.path)
}

// sound is the one rule for what a file must hold, for every command. Every tensor that the parts' architectures need is there, with the
// right shape and a possible type. There is no other tensor among them that would change the picture.
func (s *source) sound(parts []*part, d Dims, c Config) error {
	if err := checkParts(parts, d, s.path); err != nil {
		return err
	}
	for _, p := range parts {
		for _, err := range []error{checkGuidance(p, d, c), checkLatents(p, d, c), checkXS(p, d, c), checkScales(p)} {
			if err != nil {
				return err
			}
		}
	}
	for _, u := range s.leftovers() {
		if u.Fault && slices.Contains(parts, u.part) {
			return u.fault()
		}
	}
	return nil
}

func (u Unused) fault() error {
	found := "nothing here uses it, and without it the picture may differ"
	if u.What != "" {
		found = "is " + u.What + ", which is not supported; without it the picture would differ"
	}
	return &Error{Kind: ErrTensor, Path: u.path, Field: tensorField(u.Name), Found: found,
		Remedy: "use a file of the " + u.Component + " without such tensors"}
}

// checkLatents makes sure that what is said of the latents' mean and deviation has a number for each channel.
func checkLatents(p *part, d Dims, c Config) error {
	n := len(c.VAE.LatentsMean)
	if p.component != "vae" || n == 0 || n == d.VAE.LatentChannels {
		return nil
	}
	return &Error{Kind: ErrConfig, Path: p.fileOf(""), Field: "vae.latents_mean", Remedy: "give one number for each channel",
		Found: fmt.Sprintf("%d numbers, and the VAE's latents have %d channels", n, d.VAE.LatentChannels)}
}

// checkParts makes sure that every tensor of the parts is there, in the shape and a type that it must have.
func checkParts(parts []*part, d Dims, path string) error {
	for _, p := range parts {
		if what := d.of(p.component).lacks(); what != "" {
			return &Error{Kind: ErrTensor, Path: path, Field: p.component, Found: what + ": missing or misshapen", Remedy: remedyDownload}
		}
	}
	for _, p := range parts {
		if len(p.missing) > 0 {
			spec := p.missing[0]
			return &Error{Kind: ErrTensor, Path: p.fileOf(path), Field: tensorField(p.inFile(spec)),
				Found: "missing" + expected("shape ", spec.Shape), Remedy: "the file is incomplete: download or convert it again"}
		}
		for _, c := range p.claims {
			if err := c.check(); err != nil {
				return err
			}
		}
	}
	return nil
}

// fileOf is the file of a part whose tensors are all in one, or the path it was asked for by.
func (p *part) fileOf(path string) string {
	for _, c := range p.claims {
		if c.path != p.claims[0].path {
			return path
		}
	}
	if len(p.claims) == 0 {
		return path
	}
	return p.claims[0].path
}

func (c claim) check() error {
	if c.Optional {
		return nil
	}
	if slices.Contains(c.entry.Shape, 0) {
		return &Error{Kind: ErrTensor, Path: c.path, Field: tensorField(c.entry.Name),
			Found: "shape " + shapeString(c.entry.Shape) + ", a dimension of 0" + expected("", c.Spec.Shape), Remedy: remedyDownload}
	}
	if !sameShape(c.entry.Shape, c.Spec.Shape) {
		return &Error{Kind: ErrTensor, Path: c.path, Field: tensorField(c.entry.Name),
			Found:  "shape " + shapeString(c.entry.Shape) + expected("", c.Spec.Shape),
			Remedy: "the file is damaged or of another architecture"}
	}
	if err := c.checkScale(); err != nil {
		return err
	}
	if !c.DType.Float() && !(c.DType.Quantized() && len(c.Spec.Shape) > 1) {
		return &Error{Kind: ErrTensor, Path: c.path, Field: tensorField(c.entry.Name),
			Found: fmt.Sprintf("type %s, expected a floating-point type", c.DType), Remedy: "convert the file again"}
	}
	return nil
}

// expected is the shape that a tensor should have; "" if the file does not show it.
func expected(what string, shape []int64) string {
	if slices.ContainsFunc(shape, func(n int64) bool { return n <= 0 }) {
		return ""
	}
	return ", expected " + what + shapeString(shape)
}

// sameShape compares shapes but for trailing ones, so that a 1x1 convolution equals a matrix.
func sameShape(a, b []int64) bool { return slices.Equal(trimOnes(a), trimOnes(b)) }

func trimOnes(s []int64) []int64 {
	for len(s) > 1 && s[len(s)-1] == 1 {
		s = s[:len(s)-1]
	}
	return s
}

// crossCheck compares dimensions that components share.
func crossCheck(d Dims, path string) error {
	bad := func(field, format string, args ...any) error {
		return &Error{Kind: ErrTensor, Path: path, Field: field, Found: fmt.Sprintf(format, args...),
			Remedy: "the components are of different models"}
	}
	if t := d.TAESD; t != nil && min(len(t.EncoderBlocks), len(t.DecoderBlocks)) > 0 && len(t.EncoderBlocks) != len(t.DecoderBlocks) {
		return bad("taesd", "%d levels in the encoder, %d in the decoder", len(t.EncoderBlocks), len(t.DecoderBlocks))
	}
	u := d.UNet
	if u == nil {
		return nil
	}
	if u.ContextDim == 0 {
		return bad("unet", "no cross-attention")
	}
	if d.VAE != nil && d.VAE.LatentChannels != u.OutChannels {
		return bad("vae latent channels", "%d, the UNet's output has %d", d.VAE.LatentChannels, u.OutChannels)
	}
	if d.TextEncoder2 == nil {
		return nil
	}
	width, ids := d.TextEncoder2.Width, 5
	if d.TextEncoder != nil {
		width, ids = width+d.TextEncoder.Width, 6
	} else if u.LabelDim != u.ContextDim+5*256 {
		return nil // a base checkpoint without its first encoder
	}
	if width != u.ContextDim {
		return bad("unet context", "%d channels, the text encoders yield %d", u.ContextDim, width)
	}
	if pooled := u.LabelDim - ids*256; pooled != d.TextEncoder2.ProjectionDim {
		return bad("unet label embedding", "%d inputs leave %d for the pooled text, the second encoder yields %d",
			u.LabelDim, pooled, d.TextEncoder2.ProjectionDim)
	}
	return nil
}
