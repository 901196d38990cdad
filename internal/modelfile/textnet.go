package modelfile

import (
	"fmt"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TextDims describes a CLIP text encoder.
type TextDims struct {
	VocabSize     int `json:"vocab_size"` // 49408
	MaxTokens     int `json:"max_tokens"` // 77
	Width         int `json:"width"`
	Layers        int `json:"layers"`
	Intermediate  int `json:"intermediate_size"` // 4 x width
	ProjectionDim int `json:"projection_dim"`    // 0: no projection
}

// locateTexts finds both text encoders; nil for one that is not there.
func locateTexts(t *table) (one, two *part) {
	one, two = locateClip(t, prefixes["text_encoder"]), locateClip(t, prefixes["text_encoder_2"])
	if two == nil {
		two = locateOpenCLIP(t)
	}
	if one == nil && two == nil {
		if one = locateClip(t, []string{""}); one != nil && looksSecond(t, one) {
			one, two = nil, one
		}
	}
	if one != nil {
		one.component = "text_encoder"
	}
	if two != nil {
		two.component = "text_encoder_2"
	}
	return one, two
}

func locateClip(t *table, prefixes []string) *part {
	const token = "embeddings.token_embedding.weight"
	for _, p := range prefixes {
		for _, inner := range []string{"text_model.", ""} {
			if !t.has(p + inner + token) {
				continue
			}
			layout := LayoutDiffusers
			if strings.HasPrefix(p, "cond") {
				layout = LayoutOriginal
			}
			return &part{layout: layout, prefix: p + inner}
		}
	}
	return lostClip(t, prefixes)
}

// lostClip finds an encoder with transformers' names if its token embedding is missing.
func lostClip(t *table, prefixes []string) *part {
	var inner []string
	for _, p := range prefixes {
		inner = append(inner, p+"text_model.", p)
	}
	p := t.lost("text_encoder", false, inner, LayoutDiffusers)
	if p != nil && strings.HasPrefix(p.prefix, "cond") {
		p.layout = LayoutOriginal
	}
	return p
}

// locateOpenCLIP finds an encoder with OpenCLIP's names.
func locateOpenCLIP(t *table) *part {
	p := probe(t, "text_encoder_2", prefixes["open_clip"], "transformer.resblocks.0.ln_1.weight", "")
	if p == nil {
		p = t.lost("text_encoder_2", false, prefixes["open_clip"], LayoutOriginal)
	}
	if p != nil {
		p.openCLIP = true
	}
	return p
}

// looksSecond tells OpenCLIP-bigG from CLIP-L in a file of one text encoder with transformers' names: by
// the published widths, else by the projection, which only the second has.
func looksSecond(t *table, p *part) bool {
	width := t.dim(p.prefix+"embeddings.token_embedding.weight", 1)
	if width == 0 {
		width = t.dim(p.prefix+"final_layer_norm.weight", 0)
	}
	switch width {
	case 768:
		return false
	case 1280:
		return true
	}
	for _, name := range p.fullNames(projection) {
		if t.has(name) {
			return true
		}
	}
	return false
}

// isTextEncoder reports whether a component is a text encoder.
func isTextEncoder(component string) bool { return strings.HasPrefix(component, "text_encoder") }

func (t *TextDims) lacks() string {
	if t.Width == 0 || t.MaxTokens == 0 || t.Layers == 0 || t.Intermediate == 0 {
		return "its embeddings or first layer"
	}
	return ""
}

// projection is the one name of a text encoder that lies beside text_model.
const projection = "text_projection.weight"

// specs has transformers' names, which the original layout uses for the first encoder too. They are
// relative to "...text_model.", except the projection, which lies beside text_model.
func (t *TextDims) specs(b *specs) {
	if b.openCLIP {
		t.openCLIP(b)
		return
	}
	if !b.diffusers {
		b.optional("embeddings.position_ids", RolePositionIDs, 1, t.MaxTokens)
	}
	b.add(both("embeddings.token_embedding.weight"), RoleEmbedding, backend.UseTable, t.VocabSize, t.Width)
	b.add(both("embeddings.position_embedding.weight"), RolePosition, backend.UseTable, t.MaxTokens, t.Width)
	for i := range t.Layers {
		b.clipLayer(both(fmt.Sprintf("encoder.layers.%d", i)), t.Width, t.Intermediate)
	}
	b.norm(both("final_layer_norm"), t.Width)
	if t.ProjectionDim != 0 {
		b.add(both(projection), RoleWeight, backend.UseSensitive, t.ProjectionDim, t.Width)
	}
}

// clipLayer is one layer of CLIP's encoders with transformers' names.
func (b *specs) clipLayer(l pair, width, inner int) {
	b.norm(l.and(".layer_norm1"), width)
	b.linear(l.and(".self_attn.q_proj"), RoleWeight, width, width)
	b.linear(l.and(".self_attn.k_proj"), RoleWeight, width, width)
	b.linear(l.and(".self_attn.v_proj"), RoleWeight, width, width)
	b.linear(l.and(".self_attn.out_proj"), RoleResidual, width, width)
	b.norm(l.and(".layer_norm2"), width)
	b.linear(l.and(".mlp.fc1"), RoleWeight, width, inner)
	b.linear(l.and(".mlp.fc2"), RoleResidual, inner, width)
}

// openCLIP has OpenCLIP's names, relative to "...model.": q, k and v in one matrix, and a projection that
// is multiplied from the right.
func (t *TextDims) openCLIP(b *specs) {
	b.add(pair{"positional_embedding", "embeddings.position_embedding.weight"}, RolePosition, backend.UseTable, t.MaxTokens, t.Width)
	if t.ProjectionDim != 0 {
		b.add(pair{"text_projection", projection}, RoleWeight, backend.UseSensitive, t.Width, t.ProjectionDim).Canonical[0].Transpose = true
	}
	b.optional("logit_scale", RoleLogitScale)
	for i := range t.Layers {
		l := pair{fmt.Sprintf("transformer.resblocks.%d", i), fmt.Sprintf("encoder.layers.%d", i)}
		b.norm(pair{l.file + ".ln_1", l.canonical + ".layer_norm1"}, t.Width)
		for _, kind := range []string{"weight", "bias"} {
			s := &Spec{}
			if kind == "weight" {
				s = b.add(both(l.file+".attn.in_proj_weight"), RoleWeight, backend.UseMatrix, 3*t.Width, t.Width)
			} else {
				s = b.add(both(l.file+".attn.in_proj_bias"), RoleBias, backend.UseVector, 3*t.Width)
			}
			s.Canonical = nil
			for n, proj := range []string{"q", "k", "v"} {
				s.Canonical = append(s.Canonical, CanonicalPart{Part: n, Parts: 3,
					Name: CanonicalTensor(b.component, fmt.Sprintf("%s.self_attn.%s_proj.%s", l.canonical, proj, kind))})
			}
		}
		b.linear(pair{l.file + ".attn.out_proj", l.canonical + ".self_attn.out_proj"}, RoleResidual, t.Width, t.Width)
		b.norm(pair{l.file + ".ln_2", l.canonical + ".layer_norm2"}, t.Width)
		b.linear(pair{l.file + ".mlp.c_fc", l.canonical + ".mlp.fc1"}, RoleWeight, t.Width, t.Intermediate)
		b.linear(pair{l.file + ".mlp.c_proj", l.canonical + ".mlp.fc2"}, RoleResidual, t.Intermediate, t.Width)
	}
	b.add(pair{"token_embedding.weight", "embeddings.token_embedding.weight"}, RoleEmbedding, backend.UseTable, t.VocabSize, t.Width)
	b.norm(pair{"ln_final", "final_layer_norm"}, t.Width)
}

func inferText(p *part) *TextDims {
	t := &TextDims{}
	token, place, layers := "embeddings.token_embedding.weight", "embeddings.position_embedding.weight", "encoder.layers"
	norm1, norm2, wide, narrow, final := "layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2", "final_layer_norm"
	if p.openCLIP {
		token, place, layers = "token_embedding.weight", "positional_embedding", "transformer.resblocks"
		norm1, norm2, wide, narrow, final = "ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj", "ln_final"
	}
	t.Layers = max(1, p.numbered(layers, 4*maxBlocks))
	widths := []side{{token, 1}, {place, 1}, {final + ".weight", 0}, {final + ".bias", 0}}
	var inner []side
	for i := range t.Layers {
		layer := fmt.Sprintf("%s.%d.", layers, i)
		widths = append(widths, side{layer + norm1 + ".weight", 0}, side{layer + norm2 + ".weight", 0}, side{layer + narrow + ".weight", 0})
		inner = append(inner, side{layer + wide + ".weight", 0}, side{layer + wide + ".bias", 0}, side{layer + narrow + ".weight", 1})
	}
	t.VocabSize, t.MaxTokens, t.Width, t.Intermediate = p.told(token, 0), p.told(place, 0), p.agreed(widths...), p.agreed(inner...)
	if p.component == "text_encoder" {
		return t // SDXL does not use the first encoder's projection, if a file has it
	}
	t.ProjectionDim = unknown // the second's it needs
	for _, name := range p.fullNames(projection) {
		outputs := 0
		if isTransposed(name) {
			outputs = 1
		}
		if n := p.table.dim(name, outputs); n > 0 {
			t.ProjectionDim = n
			break
		}
	}
	return t
}

// isTransposed tells OpenCLIP's projection, a bare parameter that is multiplied from the right, from the weight of a linear layer.
func isTransposed(name string) bool { return strings.HasSuffix(name, "text_projection") }
