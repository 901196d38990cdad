package modelfile

import "strings"

// fate says how a tensor is treated that no Spec asks for.
type fate int

const (
	// refused: it is among a component's tensors and would change the picture. An unknown tensor is refused too.
	refused fate = iota
	// idle: it does not change the picture, but files seldom have it. The user is warned.
	idle
	// usual: many files have it, and it means nothing for pictures. Only inspect lists it.
	usual
	// consumed: it is read, but not as a weight.
	consumed
)

// extra is a kind of tensor that no Spec names. Its name contains the given pieces, such as "position_ids" or "vision_model". With head,
// the name begins with them; a component's prefix does not count. A piece that ends in * stands for all pieces with this beginning.
type extra struct {
	pieces string
	head   bool
	fate   fate
	what   string // what such tensors are
	// is, if not nil, decides together with the name. p is the part that the tensor is in; nil: none.
	is func(p *part, t Tensor) bool
}

// extras are all known kinds of tensors that no architecture has. The first row that fits counts. For a new kind, add a row.
var extras = []extra{
	{fate: consumed, what: "a marker", is: func(_ *part, t Tensor) bool { return isMarker(t.Name) }},
	{pieces: "to_*", fate: consumed, what: "FaceID's LoRA", is: inFaceID},
	{fate: consumed, what: "a part of FP8's quantization", is: func(_ *part, t Tensor) bool { return isScaleName(t.Name) }},

	{pieces: "position_ids", fate: usual, what: "the numbers 0, 1, 2, ..."},
	{pieces: "logit_scale", fate: usual, what: "the temperature of CLIP's training"},
	{pieces: "attn_mask", fate: usual, what: "the causal mask"},
	{pieces: "text_projection", fate: usual, what: "the first text encoder's projection, which SDXL does not use", is: inFirstText},
	{pieces: "alphas_cumprod*", head: true, fate: usual, what: "the noise schedule"},
	{pieces: "betas", head: true, fate: usual, what: "the noise schedule"},
	{pieces: "sqrt_*", head: true, fate: usual, what: "the noise schedule"},
	{pieces: "log_one_minus_alphas_cumprod", head: true, fate: usual, what: "the noise schedule"},
	{pieces: "posterior_*", head: true, fate: usual, what: "the noise schedule"},
	{pieces: "denoiser", head: true, fate: usual, what: "the noise schedule"},
	{pieces: "loss", head: true, fate: usual, what: "networks that training used"},
	{pieces: "vision_model", fate: usual, what: "CLIP's vision side"},
	{pieces: "visual", fate: usual, what: "CLIP's vision side"},
	{pieces: "visual_projection", fate: usual, what: "CLIP's vision side"},

	{pieces: "model_ema", head: true, fate: idle, what: "averaged weights of training"},
	{pieces: "embedding_manager", head: true, fate: idle, what: "an embedding of training"},
	{pieces: "num_batches_tracked", fate: idle, what: "counters of training"},

	{pieces: "cond_proj", what: "an embedding of the guidance scale, which distilled models have"},
	{pieces: "to_k_ip", what: "an IP-Adapter's attention"},
	{pieces: "to_v_ip", what: "an IP-Adapter's attention"},
	{pieces: "encoder_hid_proj", what: "a projection of another text encoder or of a picture"},
	{pieces: "image_proj*", what: "an IP-Adapter's projection"},
	{pieces: "motion_modules", what: "a temporal module, of a model for videos"},
	{pieces: "temporal_*", what: "a temporal module, of a model for videos"},
	{pieces: "time_stack", what: "a temporal module, of a model for videos"},
	{pieces: "time_mixer", what: "a temporal module, of a model for videos"},
	{pieces: "position_net", what: "GLIGEN's boxes"},
	{pieces: "fuser", what: "GLIGEN's boxes"},
	{pieces: "class_embedding", what: "a class embedding"},
	{pieces: "position_embedding_res*", what: "positions of Long-CLIP"},

	{fate: idle, what: "not of a type that weights have", is: noWeight},
	{fate: idle, what: "empty", is: func(_ *part, t Tensor) bool { return t.Elements() == 0 }},
}

func noWeight(_ *part, t Tensor) bool { return !t.DType.Float() && !t.DType.Quantized() }

// inFaceID reports whether a tensor is of the LoRA that FaceID's files hold beside the IP-Adapter. Package adapters reads it.
func inFaceID(p *part, t Tensor) bool {
	return p != nil && p.component == "ip_adapter" && (strings.HasSuffix(t.Name, "_lora.down.weight") ||
		strings.HasSuffix(t.Name, "_lora.up.weight"))
}

func inFirstText(p *part, _ Tensor) bool { return p != nil && p.component == "text_encoder" }

// fits reports whether a tensor is of the kind. rest is its name behind its part's prefix.
func (x *extra) fits(p *part, t Tensor, rest string) bool {
	return (x.pieces == "" || hasPieces(t.Name, x.pieces, x.head) || hasPieces(rest, x.pieces, x.head)) && (x.is == nil || x.is(p, t))
}

// hasPieces looks for a piece of a name, at its beginning or anywhere.
func hasPieces(name, piece string, head bool) bool {
	piece, open := strings.CutSuffix(piece, "*")
	for at := 0; ; {
		if rest, ok := strings.CutPrefix(name[at:], piece); ok && (open || rest == "" || rest[0] == '.') {
			return true
		}
		next := strings.IndexByte(name[at:], '.')
		if head || next < 0 {
			return false
		}
		at += next + 1
	}
}

// Unused is a tensor that no component computes with.
type Unused struct {
	Name      string `json:"name"`
	Component string `json:"component,omitempty"` // that it is in; empty: none
	What      string `json:"what,omitempty"`      // what kind of tensor it is; empty: unknown
	// Fault is set where it would change the picture, so that the file is refused.
	Fault bool `json:"fault,omitempty"`

	fate  fate
	path  string // of its file
	part  *part
	shape []int64
}

// leftovers lists the tensors that no component claims, with what is known of each. In a file with a known component every tensor is either
// claimed or listed here.
func (s *source) leftovers() []Unused {
	if len(s.parts) == 0 {
		return nil // not a model
	}
	if s.left != nil {
		return s.left
	}
	used := s.claimed()
	s.left = []Unused{}
	for i, f := range s.files {
		for k, t := range f.Tensors {
			if used[i][k] == nil {
				s.left = append(s.left, s.judge(s.owner[i], f.Path, t))
			}
		}
	}
	return s.left
}

// judge decides how a tensor is treated that no component claims.
func (s *source) judge(owner, path string, t Tensor) Unused {
	u := Unused{Name: t.Name, path: path, fate: idle, shape: t.Shape}
	rest := plainName(t.Name)
	if at := s.belongs(owner, t.Name); at < len(s.parts) {
		p := s.parts[at]
		outer := strings.TrimSuffix(p.prefix, "text_model.")
		if rest = strings.TrimPrefix(rest, outer); owner != "" || outer != "" || len(s.parts) == 1 || p.begins(rest) {
			u.part, u.Component, u.fate = p, p.component, refused
		}
	}
	for i := range extras {
		x := &extras[i]
		if x.fits(u.part, t, rest) {
			if u.What = x.what; u.part != nil || x.fate != refused {
				u.fate = x.fate
			}
			break
		}
	}
	u.Fault = u.fate == refused
	return u
}

// begins reports whether a name begins like one of the part's own names.
func (p *part) begins(name string) bool {
	first, _, _ := strings.Cut(name, ".")
	for _, c := range p.claims {
		if rest := strings.TrimPrefix(c.Spec.Name, first); rest != c.Spec.Name && (rest == "" || rest[0] == '.') {
			return true
		}
	}
	return false
}

// UnusedWarnings names the unusual tensors that nothing uses.
func (r Report) UnusedWarnings() []string { return unusedWarnings(r.Unused) }

// unusedWarnings names the tensors that nothing uses, one sentence for each kind.
func unusedWarnings(list []Unused) (out []string) {
	count, first, order := map[string]int{}, map[string]string{}, []string{}
	for _, u := range list {
		if u.fate != idle {
			continue
		}
		if count[u.What]++; count[u.What] == 1 {
			first[u.What], order = u.Name, append(order, u.What)
		}
	}
	for _, what := range order {
		text := "nothing uses the tensor " + quoteName(first[what])
		if count[what] > 1 {
			text = "nothing uses " + group(count[what]) + " of the tensors, among them " + quoteName(first[what])
		}
		if what != "" {
			text += " (" + what + ")"
		}
		out = append(out, text)
	}
	return out
}
