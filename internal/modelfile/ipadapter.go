package modelfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// IPAdapterDims describes the half of an IP-Adapter that sees pictures: a projection to tokens, and two matrices for each cross attention
// of the UNet.
type IPAdapterDims struct {
	EmbedDim   int   `json:"embed_dim,omitempty"` // of what it takes from an image encoder: 1280; 0: nothing
	FaceDim    int   `json:"face_dim,omitempty"`  // of a face's embedding: 512; 0: it takes none
	ContextDim int   `json:"context_dim"`         // of a token: 2048
	Tokens     int   `json:"tokens"`              // of a picture: 4; 16 of Plus
	Layers     []int `json:"layers"`              // channels of each cross attention, in the order of diffusers' attn_processors

	// Of the resampler of Plus. Depth 0: there is none.
	Depth    int `json:"depth,omitempty"`      // 4
	Hidden   int `json:"hidden,omitempty"`     // 1280
	Attended int `json:"attended,omitempty"`   // width of its heads together: 1280
	Inner    int `json:"inner,omitempty"`      // of its feed-forward layers: 5120
	FaceIn   int `json:"face_inner,omitempty"` // of the layer that a face goes through first
}

// Plus reports whether it takes the image encoder's hidden states, not one embedding for a picture.
func (a *IPAdapterDims) Plus() bool { return a.Depth > 0 }

// The tensor of the first cross attention in h94's files and in those of diffusers' names. attn_processors has the self attentions, too.
const (
	firstIP      = "ip_adapter.1.to_k_ip.weight"
	diffusersIP  = ".attn2.processor.to_k_ip.0.weight"
	diffusersIPV = ".attn2.processor.to_v_ip.0.weight"
	hidProj      = "encoder_hid_proj.image_projection_layers.0."
)

func locateIPAdapter(t *table) *part {
	if t.has(firstIP) {
		return &part{component: "ip_adapter", layout: LayoutOriginal}
	}
	var blocks []string
	for name := range t.tensors {
		if block, ok := strings.CutSuffix(name, diffusersIP); ok {
			blocks = append(blocks, block)
		}
	}
	if len(blocks) > 0 && !t.has("unet.conv_in.weight") && !t.has("conv_in.weight") {
		renameIP(t, blocks)
		return &part{component: "ip_adapter", layout: LayoutDiffusers}
	}
	for name := range t.tensors {
		if strings.HasPrefix(name, "image_proj.") || strings.HasPrefix(name, "ip_adapter.") && strings.Contains(name, "_ip.") {
			return &part{component: "ip_adapter", layout: LayoutOriginal}
		}
	}
	return nil
}

// renameIP numbers the cross attentions of a file of diffusers' names in the order of attn_processors: down blocks, up blocks, middle.
func renameIP(t *table, blocks []string) {
	rank := func(block string) string {
		for i, group := range []string{"down_blocks", "up_blocks", "mid_block"} {
			if strings.Contains(block, group) {
				return fmt.Sprint(i)
			}
		}
		return ""
	}
	slices.SortFunc(blocks, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), natural(a, b)) })
	to, back := map[string]string{}, map[string]string{}
	for i, block := range blocks {
		for ours, theirs := range map[string]string{"to_k_ip": diffusersIP, "to_v_ip": diffusersIPV} {
			name := fmt.Sprintf("layers.%d.%s.weight", i, ours)
			to[block+theirs], back[name] = name, block+theirs
		}
	}
	t.rename(func(name string) string {
		if ours, ok := to[name]; ok {
			return ours
		}
		if at := strings.Index(name, hidProj); at >= 0 {
			return "image_proj." + name[at+len(hidProj):]
		}
		return name
	}, func(name string) string {
		if theirs, ok := back[name]; ok {
			return theirs
		}
		if rest, ok := strings.CutPrefix(name, "image_proj."); ok {
			return hidProj + rest
		}
		return name
	})
}

// natural compares names with their numbers as numbers.
func natural(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		n, m := numberOf(x[i]), numberOf(y[i])
		if c := cmp.Or(cmp.Compare(n, m), strings.Compare(x[i], y[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

// ipAdapterKind refuses adapters for other models by name.
func ipAdapterKind(_ *part, d Dims) (Kind, string) {
	a := d.IPAdapter
	other := map[int]string{768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x"}[a.ContextDim]
	if other == "" && len(a.Layers) == sd1Attentions {
		other = "Stable Diffusion 1.x"
	}
	if other != "" {
		return KindIPAdapter, fmt.Sprintf("not supported: an IP-Adapter for %s (%d attentions, tokens of %d channels); SDXL's have 70 and "+
			"2,048", other, len(a.Layers), a.ContextDim)
	}
	return KindIPAdapter, ""
}

// sd1Attentions is how many cross attentions a UNet of Stable Diffusion 1.x has.
const sd1Attentions = 16

func (a *IPAdapterDims) lacks() string {
	switch {
	case len(a.Layers) == 0 || a.ContextDim <= 0:
		return "its matrices for the UNet's attentions"
	case a.Tokens <= 0 || a.EmbedDim <= 0 && a.FaceDim <= 0:
		return "its projection"
	}
	return ""
}

// width is that of the tokens before the resampler's last layer.
func (a *IPAdapterDims) width() int {
	if a.Depth > 0 {
		return a.Hidden
	}
	return a.ContextDim
}

// specs has h94's names as the original layout, and those that diffusers turns them into.
func (a *IPAdapterDims) specs(b *specs) {
	const p = "image_proj."
	w := a.width()
	switch {
	case a.FaceDim > 0:
		first := "proj.net.0.proj"
		second := "proj.net.2"
		if a.Depth == 0 {
			first, second = "ff.net.0.proj", "ff.net.2"
		}
		b.sensitive(b.pick(p+"proj.0", p+first), a.FaceDim, a.FaceIn)
		b.sensitive(b.pick(p+"proj.2", p+second), a.FaceIn, w*a.Tokens)
		b.norm(both(p+"norm"), w)
	case a.Depth == 0:
		b.sensitive(b.pick(p+"proj", p+"image_embeds"), a.EmbedDim, w*a.Tokens)
		b.norm(both(p+"norm"), w)
	default:
		b.add(both(p+"latents"), RolePosition, backend.UseTable, 1, a.Tokens, w)
	}
	if a.Depth > 0 {
		a.resampler(b)
	}
	for i, c := range a.Layers {
		l := b.pick(fmt.Sprintf("ip_adapter.%d", 2*i+1), fmt.Sprintf("layers.%d", i))
		b.add(l.and(".to_k_ip.weight"), RoleWeight, backend.UseMatrix, c, a.ContextDim)
		b.add(l.and(".to_v_ip.weight"), RoleWeight, backend.UseMatrix, c, a.ContextDim)
	}
}

// resampler has the layers that look at the picture's hidden states.
func (a *IPAdapterDims) resampler(b *specs) {
	p := both("image_proj.")
	if a.FaceDim > 0 {
		p = b.pick("image_proj.perceiver_resampler.", "image_proj.")
	}
	b.sensitive(p.and("proj_in"), a.EmbedDim, a.Hidden)
	b.sensitive(p.and("proj_out"), a.Hidden, a.ContextDim)
	b.norm(p.and("norm_out"), a.ContextDim)
	for i := range a.Depth {
		l := p.and(fmt.Sprintf("layers.%d.", i))
		b.norm(b.or(l, "0.norm1", "ln0"), a.Hidden)
		b.norm(b.or(l, "0.norm2", "ln1"), a.Hidden)
		b.add(b.or(l, "0.to_q.weight", "attn.to_q.weight"), RoleWeight, backend.UseMatrix, a.Attended, a.Hidden)
		if b.diffusers {
			b.add(l.and("attn.to_k.weight"), RoleWeight, backend.UseMatrix, a.Attended, a.Hidden)
			b.add(l.and("attn.to_v.weight"), RoleWeight, backend.UseMatrix, a.Attended, a.Hidden)
		} else {
			s := b.add(l.and("0.to_kv.weight"), RoleWeight, backend.UseMatrix, 2*a.Attended, a.Hidden)
			s.Canonical = nil
			for n, proj := range []string{"k", "v"} {
				s.Canonical = append(s.Canonical, CanonicalPart{Part: n, Parts: 2,
					Name: CanonicalTensor(b.component, fmt.Sprintf("%sattn.to_%s.weight", l.canonical, proj))})
			}
		}
		b.add(b.or(l, "0.to_out.weight", "attn.to_out.0.weight"), RoleResidual, backend.UseMatrix, a.Hidden, a.Attended)
		b.norm(b.or(l, "1.0", "ff.0"), a.Hidden)
		b.add(b.or(l, "1.1.weight", "ff.1.net.0.proj.weight"), RoleWeight, backend.UseMatrix, a.Inner, a.Hidden)
		b.add(b.or(l, "1.3.weight", "ff.1.net.2.weight"), RoleResidual, backend.UseMatrix, a.Hidden, a.Inner)
	}
}

func inferIPAdapter(p *part) *IPAdapterDims {
	a, n := &IPAdapterDims{}, p.names()
	count := p.numbered("layers", 4*maxBlocks)
	if !n.diffusers {
		count = (p.numbered("ip_adapter", 4*maxBlocks) + 1) / 2
	}
	var contexts []side
	for i := range count {
		l := n.pick(fmt.Sprintf("ip_adapter.%d", 2*i+1), fmt.Sprintf("layers.%d", i)).file
		k, v := l+".to_k_ip.weight", l+".to_v_ip.weight"
		contexts = append(contexts, side{k, 1}, side{v, 1})
		a.Layers = append(a.Layers, p.agreed(side{k, 0}, side{v, 0}))
	}
	a.ContextDim = p.agreed(contexts...)
	const proj = "image_proj."
	inner := proj
	if p.under(proj + "perceiver_resampler") {
		inner = proj + "perceiver_resampler."
	}
	if a.Depth = p.numbered(inner+"layers", maxBlocks); a.Depth > 0 {
		l := inner + "layers.0."
		a.EmbedDim, a.Hidden = p.told(inner+"proj_in.weight", 1), p.told(inner+"proj_in.weight", 0)
		a.Attended = p.told(l+n.pick("0.to_q", "attn.to_q").file+".weight", 0)
		a.Inner = p.told(l+n.pick("1.1", "ff.1.net.0.proj").file+".weight", 0)
		a.Tokens = p.told(proj+"latents", 1)
	}
	first, second := n.pick(proj+"proj.0.weight", proj+"ff.net.0.proj.weight").file, n.pick(proj+"proj.2.weight", proj+"ff.net.2.weight").file
	if a.Depth > 0 {
		first, second = n.pick(first, proj+"proj.net.0.proj.weight").file, n.pick(second, proj+"proj.net.2.weight").file
	}
	outputs := 0
	if p.under(strings.TrimSuffix(first, ".weight")) {
		a.FaceDim, a.FaceIn, outputs = p.told(first, 1), p.told(first, 0), p.told(second, 0)
	} else if a.Depth == 0 {
		whole := n.pick(proj+"proj.weight", proj+"image_embeds.weight").file
		a.EmbedDim, outputs = p.told(whole, 1), p.told(whole, 0)
	}
	if w := a.width(); outputs > 0 && w > 0 {
		a.Tokens = outputs / w
	}
	return a
}
