package modelfile

import (
	"fmt"
	"slices"
	"strings"
)

// Want says what Check is to find.
type Want struct {
	// Kinds that are acceptable, among KindSDXLBase, KindSDXLRefiner, KindSDXLInpaint, KindUNet, KindVAE and
	// KindTextEncoder; empty means any of them. KindControlNet, KindTAESD and KindUpscaler must be named.
	Kinds []Kind
	// Components that must be there ("unet", "vae", "text_encoder", "text_encoder_2"); a file may have more.
	Components []string
}

// WantFor returns what a checkpoint of the given kind must hold to be run by itself.
func WantFor(kind Kind) Want {
	w := Want{Kinds: []Kind{kind}}
	switch kind {
	case KindSDXLBase, KindSDXLInpaint:
		w.Components = []string{"unet", "vae", "text_encoder", "text_encoder_2"}
	case KindSDXLRefiner:
		w.Components = []string{"unet", "vae", "text_encoder_2"}
	case KindUNet:
		w.Components = []string{"unet"}
	case KindVAE:
		w.Components = []string{"vae"}
	}
	return w
}

// Check reads the headers of a file or diffusers folder and makes sure that every tensor of its
// components is there, with the shape that follows from the dimensions inferred, and with a type that
// goes with its use. The error (ErrTensor) names the first tensor at fault, what was found and what was
// expected. Tensors that belong to nothing are tolerated; Inspect counts them.
func Check(path string, want Want) (Report, error) {
	s, err := openSource(path)
	if err != nil {
		return Report{}, err
	}
	defer s.close()
	r, err := s.report()
	if err != nil {
		return Report{}, err
	}
	return r, s.check(r, want)
}

func (s *source) check(r Report, want Want) error {
	if r.Reason != "" {
		return &Error{Kind: ErrUnsupported, Path: s.path, Found: r.Reason, Remedy: "use an SDXL model"}
	}
	switch r.Kind {
	case KindLoRA, KindControlNet, KindTAESD, KindUpscaler, KindTextualInversion:
		if slices.Contains(want.Kinds, r.Kind) {
			break
		}
		return &Error{Kind: ErrUnsupported, Path: s.path, Found: "a " + string(r.Kind) + ", not a checkpoint",
			Remedy: "name it where such files are taken, beside a checkpoint"}
	}
	if len(want.Kinds) > 0 && !slices.Contains(want.Kinds, r.Kind) && !slices.Contains(want.Kinds, r.UNetKind) {
		return &Error{Kind: ErrUnsupported, Path: s.path, Found: fmt.Sprintf("found a model of kind %s where %s is needed", r.Kind, joinKinds(want.Kinds)),
			Remedy: "name the right file"}
	}
	for _, name := range want.Components {
		if !slices.ContainsFunc(s.parts, func(p *part) bool { return p.component == name }) {
			return &Error{Kind: ErrTensor, Path: s.path, Field: name, Found: "the file has no tensors of it",
				Remedy: "name a file for it as well, or use a complete checkpoint"}
		}
	}
	if err := checkParts(s.parts, r.Dims, s.path); err != nil {
		return err
	}
	return crossCheck(r.Dims, s.path)
}

func joinKinds(kinds []Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, " or ")
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
			return &Error{Kind: ErrTensor, Path: p.fileOf(path), Field: tensorField(p.fullNames(spec.Name)[0]),
				Found: "missing, expected shape " + shapeString(spec.Shape), Remedy: "the file is incomplete: download or convert it again"}
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
	if !sameShape(c.entry.Shape, c.Spec.Shape) {
		return &Error{Kind: ErrTensor, Path: c.path, Field: tensorField(c.entry.Name),
			Found:  fmt.Sprintf("shape %s, expected %s", shapeString(c.entry.Shape), shapeString(c.Spec.Shape)),
			Remedy: "the file is damaged or of another architecture"}
	}
	if !c.DType.Float() && !(c.DType.Quantized() && len(c.Spec.Shape) > 1) {
		return &Error{Kind: ErrTensor, Path: c.path, Field: tensorField(c.entry.Name),
			Found: fmt.Sprintf("type %s, expected a floating-point type", c.DType), Remedy: "convert the file again"}
	}
	return nil
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
