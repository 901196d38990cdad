package convert

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/fault"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/modelfile/writer"
)

// item is one tensor with its type decided.
type item struct {
	modelfile.Used
	to   modelfile.DType
	size int64 // in bytes, as written
	why  string
}

// plan is every tensor of the output, in order.
type plan struct {
	items []item
	total int64    // bytes of the input
	left  []string // tensors that computing does not need, of types that the format does not have
}

// The reasons for a type other than the one asked for.
const (
	whyRule      = "rule"
	whySmall     = "norm or bias"
	whySensitive = "kept at a higher precision"
	whyConv      = "convolution: no rows of whole blocks"
	whyVAE       = "the VAE is kept at a higher precision"
	whyInteger   = "no weight"
	whyMarker    = "says how the UNet was trained"
	whyRow       = "its rows are no whole blocks"
)

// newPlan decides every tensor's type:
//
//   - one-dimensional tensors (norms, biases) and scalars stay as they are;
//   - embeddings, the time and label embedding, text projections, the first and the last convolution have 16 bits or more;
//   - so have convolutions, whose rows are no whole blocks, and the VAE, which is small and paints every pixel;
//   - matrices get the type, or a larger one where their rows are no whole blocks of it;
//   - numbers that are no weights, such as position ids, stay as they are, and so do marker tensors.
//
// Rules come before all of these but the last, as far as the type is possible.
func newPlan(c *modelfile.Collection, opt Options) *plan {
	bad := func(format string, args ...any) {
		panic(fmt.Errorf("%w: "+format, append([]any{ErrOptions}, args...)...))
	}
	if !slices.Contains(Types, opt.Type) {
		bad("the type %q is unknown; known are %s", opt.Type, strings.Join(typeNames(), ", "))
	}
	if opt.Format != modelfile.FormatSafetensors && opt.Format != modelfile.FormatGGUF {
		bad("the format %q cannot be written; known are %s and %s", opt.Format, modelfile.FormatSafetensors, modelfile.FormatGGUF)
	}
	used := make([]bool, len(opt.Rules))
	p := &plan{}
	names := map[string]bool{}
	for _, t := range c.Tensors {
		if names[t.Unique] {
			bad("two tensors would be named %q", t.Unique)
		}
		names[t.Unique] = true
		if _, ggml := t.DType.GGML(); len(t.Canonical) == 0 && (!t.DType.Known() || opt.Format == modelfile.FormatGGUF && !ggml) &&
			!t.DType.Float() {
			p.left = append(p.left, t.Unique)
			continue
		}
		p.items = append(p.items, decide(t, opt, used))
		p.total += t.Size
	}
	for i, u := range used {
		if !u {
			bad("the rule %q matches no tensor; `daguerre models inspect` shows what there is", opt.Rules[i])
		}
	}
	if p.quantizes() && opt.Format == modelfile.FormatSafetensors {
		bad("safetensors has no quantized types: give the output a name that ends in .gguf")
	}
	return p
}

func decide(t modelfile.Used, opt Options, used []bool) item {
	it := item{Used: t, to: opt.Type}
	if !t.DType.Float() && !t.DType.Quantized() {
		it.to, it.why = t.DType, whyInteger
		fault.Check(it.finish(opt))
		return it
	}
	forced := false
	for i, r := range opt.Rules {
		if r.Pattern != nil && r.Pattern.MatchString(t.Unique) || r.Pattern == nil && r.Component == t.Component {
			it.to, forced, used[i], it.why = r.Type, r.Pattern != nil, true, whyRule
		}
	}
	if !forced {
		it.keep(it.to)
	}
	it.fit()
	fault.Check(it.finish(opt))
	return it
}

// sensitive are layers that steer everything and are small, in the original layout and diffusers'.
var sensitive = regexp.MustCompile(`(^|\.)(time_embed|label_emb|time_embedding|add_embedding|text_projection|logit_scale)(\.|$)|` +
	`(^|\.)(input_blocks\.0\.0|out\.2|conv_in|conv_out)\.weight$`)

// keep raises the precision of what should not have a low one.
func (it *item) keep(want modelfile.DType) {
	guarded := it.Specified && (it.Role == modelfile.RoleEmbedding || it.Role == modelfile.RolePosition) || sensitive.MatchString(it.Name) ||
		strings.Contains(it.Name, "embedding")
	switch {
	case it.Marker:
		it.to, it.why = it.wide(modelfile.F32), whyMarker
	case len(it.Shape) < 2 || it.Specified && (it.Role == modelfile.RoleNorm || it.Role == modelfile.RoleBias):
		it.to, it.why = it.wide(modelfile.F32), whySmall
	case !want.Quantized() && !guarded:
	case guarded:
		it.to, it.why = it.atLeast16(want), whySensitive
	case it.Component == "vae":
		it.to, it.why = it.atLeast16(want), whyVAE
	}
}

// wide is the input's type, or plain where that is not one of the three common ones.
func (it *item) wide(plain modelfile.DType) modelfile.DType {
	switch it.DType {
	case modelfile.F32, modelfile.F16, modelfile.BF16:
		return it.DType
	}
	return plain
}

// atLeast16 is F32 if that is wanted, else the input's 16 bits, or F16.
func (it *item) atLeast16(want modelfile.DType) modelfile.DType {
	if want == modelfile.F32 {
		return want
	}
	if t := it.wide(modelfile.F16); t != modelfile.F32 {
		return t
	}
	return modelfile.F16
}

// smaller blocks of about as many bits, for rows that the K types' blocks of 256 do not divide.
var smallBlocks = map[modelfile.DType]modelfile.DType{"Q2_K": "IQ4_NL", "Q3_K": "IQ4_NL", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}

// fit takes a type whose blocks the tensor's rows are made of.
func (it *item) fit() {
	if !it.to.Quantized() {
		return
	}
	if len(it.Shape) != 2 {
		it.to, it.why = it.atLeast16(it.to), whyConv
		return
	}
	row := it.Shape[1]
	for it.to.Quantized() {
		if _, ok := it.to.Bytes(it.Elements(), row); ok {
			return
		}
		it.why = whyRow
		if t, ok := smallBlocks[it.to]; ok {
			it.to = t
		} else {
			it.to = it.atLeast16(it.to)
		}
	}
}

// finish computes the size and makes sure that the output's format has the tensor.
func (it *item) finish(opt Options) error {
	row := int64(1)
	if n := len(it.Shape); n > 0 {
		row = it.Shape[n-1]
	}
	size, ok := it.to.Bytes(it.Elements(), row)
	_, known := it.to.GGML()
	switch {
	case !ok:
		return fmt.Errorf("%w: tensor %q of shape %v has no size in %s", ErrOptions, it.Unique, it.Shape, it.to)
	case opt.Format == modelfile.FormatGGUF && !known:
		return fmt.Errorf("%w: tensor %q is of type %s, which GGUF has not: write safetensors", ErrOptions, it.Unique, it.to)
	case opt.Format == modelfile.FormatGGUF && len(it.Shape) > writer.GGUFMaxDims:
		return fmt.Errorf("%w: tensor %q has %d dimensions, GGUF %d at most: write safetensors", ErrOptions, it.Unique, len(it.Shape),
			writer.GGUFMaxDims)
	case (it.to.Quantized() || it.DType.Quantized()) && opt.Quantizer == nil && !opt.size:
		return fmt.Errorf("%w: tensor %q from %s to %s needs the native library", ErrOptions, it.Unique, it.DType, it.to)
	}
	it.size = size
	return nil
}

func (p *plan) quantizes() bool {
	return slices.ContainsFunc(p.items, func(it item) bool { return it.to.Quantized() })
}

// bytes is the size of the output's data.
func (p *plan) bytes() int64 {
	var n int64
	for _, it := range p.items {
		n += it.size
	}
	return n
}

func (p *plan) tensors() []writer.Tensor {
	list := make([]writer.Tensor, len(p.items))
	for i, it := range p.items {
		list[i] = writer.Tensor{Name: it.Unique, DType: it.to, Shape: it.Shape, Size: it.size}
	}
	return list
}
