package prepare

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/identity"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// IPAdapter is one of a request's IP-Adapters.
type IPAdapter struct {
	request.IPAdapter
	Path      string      // of its weights
	ID        identity.ID // of that file, when it was found; zero: the backend has no files
	Encoder   string      // of the image encoder's weights; empty: none is needed
	EncoderID identity.ID
	Dims      modelfile.IPAdapterDims
	Scales    []float32 // of each cross attention of the UNet, in the order of diffusers' attn_processors
	Shortcut  float64

	EncoderTokens int // of a picture's hidden states
}

// Acts reports whether the adapter has a weight anywhere. One without is not opened: the picture is the same bit for bit.
func (a *IPAdapter) Acts() bool {
	return slices.ContainsFunc(a.Scales, func(x float32) bool { return x != 0 })
}

// Pictures is how many pictures, embeddings or faces the adapter is shown.
func (a *IPAdapter) Pictures() int {
	switch {
	case len(a.Images) > 0:
		return len(a.Images)
	case !a.Embeds.IsZero() && len(a.Embeds.Shape) > 2:
		return a.Embeds.Shape[1]
	case len(a.Faces.Shape) > 1:
		return a.Faces.Shape[len(a.Faces.Shape)-2]
	}
	return 1
}

// ipAdapters finds the files of a request's IP-Adapters and checks what they say of each other and of the model. Inputs are read.
func (t *Target) ipAdapters(r request.Request, errs *request.Errors) []IPAdapter {
	var out []IPAdapter
	for i, said := range r.IPAdapters {
		before := len(*errs)
		at := func(key string) string { return fmt.Sprintf("ip_adapter[%d].%s", i, key) }
		a := IPAdapter{IPAdapter: said, Path: said.Model}
		if !t.Fileless {
			t.findIP(&a, at, errs)
			r.IPAdapters[i].ImageEncoder = a.ImageEncoder // for the manifest, where it was found
		}
		if len(*errs) == before {
			t.checkShown(&a, r.OnlyMasked(), at, errs)
			a.Scales = blockScales(t.Attentions, cmp.Or(t.Info.UNet.Attentions, len(a.Dims.Layers)), number(said.Weight, 1), said.BlockWeights,
				at("block_weights"), errs)
			a.Shortcut = shortcutOf(&a, at, errs)
		}
		out = append(out, a)
	}
	return out
}

// findIP finds an adapter and its image encoder, and reads their headers.
func (t *Target) findIP(a *IPAdapter, at func(string) string, errs *request.Errors) {
	var err error
	if a.Path, err = models.FindNet("ip_adapter", a.Model, t.IPAdapters); err == nil {
		a.ID, err = identity.Of(a.Path)
	}
	var report modelfile.Report
	if err == nil {
		report, err = modelfile.Inspect(a.Path)
	}
	if err != nil {
		errs.AddFile(at("model"), "%v", err)
		return
	}
	a.Dims = *report.Dims.IPAdapter
	if wrong := t.unfit(a.Dims); wrong != "" {
		errs.AddFile(at("model"), "%s: %s", a.Path, wrong)
		return
	}
	if len(a.Images) == 0 {
		return
	}
	if a.Dims.EmbedDim == 0 {
		errs.Add(at("images"), "are given, and this adapter takes embeddings of faces only; give them as faces, and leave images out")
		return
	}
	encoder := cmp.Or(a.ImageEncoder, t.ImageEncoder)
	if encoder == "" {
		fits := t.encodersOf(a.Dims)
		switch len(fits) {
		case 0:
			errs.Add(at("image_encoder"), "is missing; pictures need CLIP's image encoder%s: name its file here, or as image_encoder in [model], "+
				"or put it into a folder of ip_adapter_directories", trainedWith(a.Dims.EmbedDim, a.Dims.Plus()))
			return
		case 1:
			encoder = fits[0]
			a.ImageEncoder = encoder
		default:
			errs.Add(at("image_encoder"), "is missing, and %d files of ip_adapter_directories fit: name one of %s", len(fits),
				strings.Join(fits, ", "))
			return
		}
	}
	if a.Encoder, err = models.FindNet("image_encoder", encoder, t.IPAdapters); err == nil {
		a.EncoderID, err = identity.Of(a.Encoder)
	}
	if err == nil {
		report, err = modelfile.Inspect(a.Encoder)
	}
	if err != nil {
		errs.AddFile(at("image_encoder"), "%v", err)
		return
	}
	a.EncoderTokens = report.Dims.ImageEncoder.Tokens
	if wrong := encoderUnfit(a.Dims, report.Dims.ImageEncoder); wrong != "" {
		errs.AddFile(at("image_encoder"), "%s: %s", a.Encoder, wrong)
	}
}

// encodersOf lists the image encoders in the folders of adapters that fit an adapter. They are told by their dimensions.
func (t *Target) encodersOf(d modelfile.IPAdapterDims) (fits []string) {
	if t.IPAdapters == nil {
		return nil
	}
	files, _ := t.IPAdapters.List() // a folder that is missing holds none
	for _, f := range files {
		path, err := models.FindNet("image_encoder", f.Path, t.IPAdapters)
		if err != nil {
			continue // it is something else
		}
		if report, err := modelfile.Inspect(path); err == nil && encoderUnfit(d, report.Dims.ImageEncoder) == "" {
			fits = append(fits, f.Path)
		}
	}
	return fits
}

// unfit says why an adapter does not go with the model's UNet; "" where it does.
func (t *Target) unfit(d modelfile.IPAdapterDims) string {
	if len(t.Attentions) == 0 {
		return ""
	}
	context := t.Attentions[0].Context
	if len(d.Layers) != len(t.Attentions) || d.ContextDim != context {
		return fmt.Sprintf("the IP-Adapter is for %d attentions and tokens of %d channels, the model's UNet has %d and %d: it is for another "+
			"model", len(d.Layers), d.ContextDim, len(t.Attentions), context)
	}
	for i, a := range t.Attentions {
		if d.Layers[i] != a.Width {
			return fmt.Sprintf("the IP-Adapter's attention %d has %d channels, the model's UNet has %d there: it is for another model", i,
				d.Layers[i], a.Width)
		}
	}
	return ""
}

// encoderUnfit says why an image encoder does not go with an adapter; "" where it does.
func encoderUnfit(d modelfile.IPAdapterDims, e *modelfile.ImageEncoderDims) string {
	switch {
	case d.Plus() && e.Width != d.EmbedDim:
		return fmt.Sprintf("this is %s, whose hidden states have a width of %d, and the IP-Adapter takes %d: give the image encoder that it was "+
			"trained with%s", e, e.Width, d.EmbedDim, trainedWith(d.EmbedDim, true))
	case !d.Plus() && e.ProjectionDim == 0:
		return "it has no projection (visual_projection), which this IP-Adapter takes; give CLIPVisionModelWithProjection's file"
	case !d.Plus() && e.ProjectionDim != d.EmbedDim:
		return fmt.Sprintf("this is %s, whose embeddings have a width of %d, and the IP-Adapter takes %d: give the image encoder that it was "+
			"trained with%s", e, e.ProjectionDim, d.EmbedDim, trainedWith(d.EmbedDim, false))
	}
	return ""
}

// trainedWith names the published encoder of a width.
func trainedWith(width int, hidden bool) string {
	names := map[int]string{1024: "ViT-H", 1280: "ViT-bigG", 768: "ViT-L"}
	if hidden {
		names = map[int]string{1280: "ViT-H", 1664: "ViT-bigG", 1024: "ViT-L"}
	}
	if name := names[width]; name != "" {
		return ", " + name
	}
	return ""
}

// checkShown checks the shapes of embeddings and faces, and how many there are.
func (t *Target) checkShown(a *IPAdapter, onlyMasked bool, at func(string) string, errs *request.Errors) {
	fail := func(key string, array request.Array, format string, args ...any) {
		add := errs.Add
		if array.Path != "" {
			add = errs.AddFile
		}
		add(at(key), format, args...)
	}
	d := a.Dims
	if !a.Embeds.IsZero() && a.Embeds.Shape != nil {
		if wrong := embedsUnfit(d, a.Embeds.Shape); wrong != "" {
			fail("embeds", a.Embeds, "%s", wrong)
			return
		}
	}
	faces := a.Faces.Shape
	switch {
	case d.FaceDim == 0 && !a.Faces.IsZero():
		fail("faces", a.Faces, "are given, and this is no FaceID adapter; leave them out")
	case d.FaceDim > 0 && a.Faces.IsZero():
		errs.Add(at("faces"), "are missing; this is a FaceID adapter, which takes embeddings of %d numbers by InsightFace in a .npy file",
			d.FaceDim)
	case d.FaceDim > 0 && faces != nil && !facesFit(faces, d.FaceDim):
		fail("faces", a.Faces, "have shape %v; expected [faces, %d], or diffusers' [2, faces, %d] with the negative half first", faces, d.FaceDim,
			d.FaceDim)
	case d.FaceDim > 0 && d.EmbedDim > 0 && len(a.Images) == 0 && a.Embeds.IsZero():
		errs.Add(at("images"), "are missing; FaceID Plus takes a picture of each face beside its embedding")
	case d.FaceDim > 0 && d.EmbedDim > 0 && faces != nil && len(a.Images) > 0 && len(a.Images) != facesOf(faces):
		errs.Add(at("images"), "there are %d for %d faces; give a picture for each", len(a.Images), facesOf(faces))
	}
	if len(a.Masks) > 0 && onlyMasked {
		errs.Add(at("masks"), "cannot be used with inpaint.only_masked: only a part of the picture is painted then, and masks of ip_adapter are "+
			"of the whole; leave one of them out")
	}
	if n := a.Pictures(); len(a.Masks) > 1 && len(a.Masks) != n {
		errs.Add(at("masks"), "there are %d for %d pictures; give one for each, or one for all", len(a.Masks), n)
	}
}

// facesFit reports whether a shape is [dim], [faces, dim] or diffusers' [2 or 1, faces, dim].
func facesFit(shape []int, dim int) bool {
	n := len(shape)
	return n > 0 && n < 4 && shape[n-1] == dim && (n < 3 || shape[0] < 3)
}

func facesOf(shape []int) int {
	if len(shape) < 2 {
		return 1
	}
	return shape[len(shape)-2]
}

// embedsUnfit says what is wrong with the shape of saved embeddings; "" if nothing.
func embedsUnfit(d modelfile.IPAdapterDims, shape []int) string {
	if d.EmbedDim == 0 {
		return "are given, and this adapter takes embeddings of faces only; give them as faces"
	}
	n := 3
	form := fmt.Sprintf("[2, pictures, %d] with the negative half first, or [1, pictures, %d]", d.EmbedDim, d.EmbedDim)
	if d.Plus() {
		n, form = 4, fmt.Sprintf("[2, pictures, tokens, %d] with the negative half first", d.EmbedDim)
	}
	if len(shape) != n || shape[n-1] != d.EmbedDim || shape[0] > 2 || shape[0] < 1 || shape[1] < 1 {
		return fmt.Sprintf("have shape %v; this adapter takes %s", shape, form)
	}
	if d.Plus() && shape[0] == 1 {
		return "have no negative half, which this adapter needs for guidance; save them with save_embeds or diffusers"
	}
	return ""
}

// shortcutOf is what the part of the picture is multiplied by in FaceID Plus; 0: there is no shortcut.
func shortcutOf(a *IPAdapter, at func(string) string, errs *request.Errors) float64 {
	both := a.Dims.FaceDim > 0 && a.Dims.EmbedDim > 0
	if a.IPAdapter.Shortcut != nil {
		if !both && *a.IPAdapter.Shortcut != 0 {
			errs.Add(at("shortcut"), "is given, and this is no FaceID Plus adapter; leave it out")
		}
		return *a.IPAdapter.Shortcut
	}
	if both && strings.Contains(strings.ToLower(filepath.Base(a.Path)), "plusv2") {
		return 1
	}
	return 0
}

// blockScales spreads an adapter's weight over the cross attentions, as diffusers' set_ip_adapter_scale does with a number or with a
// dictionary. n is their number where nothing else is known of them.
func blockScales(list []models.Attention, n int, weight float64, blocks map[string]any, at string, errs *request.Errors) []float32 {
	out := make([]float32, max(n, len(list)))
	for i := range out {
		out[i] = float32(weight)
	}
	if len(blocks) == 0 {
		return out
	}
	if len(list) == 0 {
		errs.Add(at, "the blocks of this model's UNet are not known, so that weights of blocks cannot be used")
		return out
	}
	checkBlockNames(list, blocks, at, errs)
	for i, a := range list {
		x, err := blockWeight(list, a, blocks)
		if err != "" {
			errs.Add(at+"."+err, "has another number of weights than the block has transformers")
			return out
		}
		out[i] = float32(weight * x)
	}
	return out
}

// checkBlockNames refuses names of blocks that have no attention.
func checkBlockNames(list []models.Attention, blocks map[string]any, at string, errs *request.Errors) {
	known := map[string][]string{}
	for _, a := range list {
		name := fmt.Sprintf("block_%d", a.Block)
		if k := known[a.Part]; a.Part != "mid" && (len(k) == 0 || k[len(k)-1] != name) {
			known[a.Part] = append(k, name)
		}
	}
	for part, value := range blocks {
		table, _ := value.(map[string]any)
		for name := range table {
			if part == "mid" {
				errs.Add(at+".mid", "is a table, and the middle has one block; give a number")
			} else if !strings.Contains(strings.Join(known[part], " ")+" ", name+" ") {
				errs.Add(at+"."+part+"."+name, "is no block with attention; there are %s", strings.Join(known[part], ", "))
			}
		}
	}
}

// blockWeight is what a dictionary says of one cross attention. It names the entry whose list has a wrong length.
func blockWeight(list []models.Attention, a models.Attention, blocks map[string]any) (x float64, wrong string) {
	value, ok := blocks[a.Part]
	name := a.Part
	if table, isTable := value.(map[string]any); isTable {
		name = fmt.Sprintf("%s.block_%d", a.Part, a.Block)
		value, ok = table[fmt.Sprintf("block_%d", a.Block)]
	}
	if !ok {
		return 0, ""
	}
	values, isList := value.([]any)
	if !isList {
		return asNumber(value), ""
	}
	count := 0
	for _, b := range list {
		if b.Part == a.Part && b.Block == a.Block {
			count = max(count, b.Index+1)
		}
	}
	switch len(values) {
	case 1:
		return asNumber(values[0]), ""
	case count:
		return asNumber(values[a.Index]), ""
	}
	return 0, name
}

// asNumber is a number of a table, whose kinds were checked.
func asNumber(value any) float64 {
	switch x := value.(type) {
	case int64:
		return float64(x)
	case int:
		return float64(x)
	case float64:
		return x
	case fmt.Stringer: // of JSON
		var f float64
		_, _ = fmt.Sscan(x.String(), &f)
		return f
	}
	return 0
}
