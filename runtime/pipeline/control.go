package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// control is one of a job's ControlNets, ready to be asked. Semantics are those of StableDiffusionXLControlNetPipeline, single and
// multi; mode control is its guess_mode.
type control struct {
	net        *controlNet
	spec       controlnet.Net
	hint       backend.Tensor // of the control picture; the same in every step
	second     backend.Tensor // the same at the size of a second pass
	scales     []float32      // weight of each residual
	start, end float64        // fractions of the evaluations between which it acts
	positive   bool           // it acts in the positive half of guidance only
	kind       int            // of a Union net
}

// checkControls validates what a request says of its ControlNets, with their pictures read, and finds their files.
func (p *Pipeline) checkControls(r request.Request, errs *request.Errors) {
	for i, n := range r.ControlNets {
		at := func(key string) string { return fmt.Sprintf("controlnet[%d].%s", i, key) }
		if err := netOf(n).Validate(); err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				key, text, _ := strings.Cut(line, ": ")
				errs.Add(at(key), "%s", text)
			}
			continue
		}
		if fileless(p.controls.backend) {
			continue
		}
		if _, err := soundNet(n.Model, p.config.ControlNetDirectories); err != nil {
			errs.Add(at("model"), "%v", err)
		}
	}
}

// soundNet finds the file of a ControlNet and checks that it holds one.
func soundNet(name string, directories []string) (string, error) {
	path, err := controlFile(name, directories)
	if err == nil {
		err = checkRole("controlnet", path)
	}
	return path, err
}

// netOf fills in the defaults of a [[controlnet]] table.
func netOf(n request.ControlNet) controlnet.Net {
	end := n.End
	if end == 0 {
		end = 1
	}
	return controlnet.Net{Image: n.Image.Image, Weight: number(n.Weight, 1), Start: n.Start, End: end,
		Mode: controlnet.Mode(cmp.Or(n.ControlMode, request.ControlBalanced)), Resize: controlnet.ResizeMode(cmp.Or(n.ResizeMode, string(controlnet.Crop))),
		Preprocessor: n.Preprocessor, Options: n.PreprocessorOptions}
}

// openControls opens the job's ControlNets and embeds their pictures.
func (j *job) openControls(ctx context.Context) error {
	for i, n := range j.req.ControlNets {
		c, err := j.openControl(ctx, n)
		if c != nil {
			j.controls = append(j.controls, c)
		}
		var invalid request.Errors
		if errors.As(err, &invalid) {
			return request.Errors{{Path: fmt.Sprintf("controlnet[%d].%s", i, invalid[0].Path), Message: invalid[0].Message}}
		}
		if err != nil {
			return fmt.Errorf("controlnet[%d]: %w", i, err)
		}
	}
	return nil
}

// openControl makes one net ready. With an error that comes after the net was opened, it is returned too, to be released.
func (j *job) openControl(ctx context.Context, n request.ControlNet) (*control, error) {
	path := n.Model
	if !fileless(j.p.controls.backend) {
		var err error
		if path, err = controlFile(n.Model, j.p.config.ControlNetDirectories); err != nil {
			return nil, err
		}
	}
	net, err := j.p.controls.acquire(ctx, path)
	if err != nil {
		return nil, err
	}
	spec := netOf(n)
	c := &control{net: net, spec: spec, start: spec.Start, end: spec.End, positive: spec.Mode == controlnet.Control}
	if c.kind, err = unionKind(n.UnionType, net.info.Control.Types); err != nil {
		return c, err
	}
	c.scales = residualScales(len(net.info.UNet.ResidualShapes(1, 1)), spec.Weight, spec.Mode)
	if c.hint, err = j.hintAt(ctx, c, j.req.Width, j.req.Height); err != nil || !j.req.Hires.On() {
		return c, err
	}
	c.second, err = j.hintAt(ctx, c, j.req.Hires.Width, j.req.Hires.Height)
	return c, err
}

// unionKind is the number of a kind of control among those a Union net tells apart; ordinary nets have none.
func unionKind(name string, kinds int) (int, error) {
	bad := func(format string, args ...any) error {
		return request.Errors{{Path: "union_type", Message: fmt.Sprintf(format, args...)}}
	}
	k := slices.Index(request.ControlUnionTypes, name)
	switch {
	case kinds == 0 && name == "":
		return 0, nil
	case kinds == 0:
		return 0, bad("is given, and the net is no Union net; leave it out")
	case name == "":
		return 0, bad("is missing; this is a Union net: say what the picture shows, one of %s", strings.Join(request.ControlUnionTypes[:min(kinds, len(request.ControlUnionTypes))], ", "))
	case k >= kinds:
		return 0, bad("%s is not among the %d kinds of this net", name, kinds)
	}
	return k, nil
}

// residualScales weighs a net's residuals: evenly, or where the net is not to be balanced with the prompt from a tenth at the
// first to all at the middle, as diffusers' guess_mode does (torch.logspace(-1, 0)).
func residualScales(n int, weight float64, mode controlnet.Mode) []float32 {
	scales := make([]float32, n)
	for i := range scales {
		scales[i] = float32(weight)
		if mode != controlnet.Balanced {
			scales[i] *= float32(math.Pow(10, -1+float64(i)/float64(n-1)))
		}
	}
	return scales
}

// closeControls gives the nets back at the end of the call.
func (j *job) closeControls() {
	for _, c := range j.controls {
		if err := j.p.controls.release(c.net); err != nil {
			j.warn(fmt.Sprintf("closing a ControlNet: %v", err))
		}
	}
	j.controls = nil
}

// acts reports whether the net acts in evaluation i of n, as diffusers' controlnet_keep decides.
func (c *control) acts(i, n int) bool {
	return float64(i)/float64(n) >= c.start && float64(i+1)/float64(n) <= c.end
}

// controlResiduals sums up what the nets that act in evaluation i add to the UNet's input k of g, or leaves nil there. Nets belong to the
// base: a refiner has another UNet.
func (j *job) controlResiduals(ctx context.Context, g *guided, k int, b *batch, scaled []float32, i int) error {
	in := &g.inputs[k]
	in.Residuals = nil
	if g.expert != &j.base {
		return nil
	}
	rows := in.Sample.Shape[0]
	positive := 0 // the first row of the positive half
	switch {
	case g.guidance && len(g.inputs) == 1:
		positive = rows / 2
	case g.guidance && k == 0:
		positive = rows
	}
	for _, c := range j.controls {
		first := 0
		if c.positive {
			first = positive
		}
		if first == rows || !c.acts(i, b.controlSteps) {
			continue
		}
		if in.Residuals == nil {
			in.Residuals = g.residualsOf(k, b)
		}
		if err := c.net.model.ControlNet(ctx, c.input(in, b, scaled, first), in.Residuals); err != nil {
			return fmt.Errorf("ControlNet %s: %w", ModelName(c.net.path), err)
		}
	}
	return nil
}

// input is what the net is asked for rows first ... of the UNet's input. It sees the plain latents where the UNet has more channels.
func (c *control) input(in *backend.UNetInput, b *batch, scaled []float32, first int) backend.ControlInput {
	rows := in.Sample.Shape[0]
	sample := backend.NewTensor(rows-first, b.channels, b.height, b.width)
	per, hint := len(scaled)/b.count, c.hint
	if b.second {
		hint = c.second
	}
	for row := range rows - first {
		copy(sample.Data[row*per:], b.image(scaled, (first+row)%b.count))
	}
	return backend.ControlInput{Sample: sample, Timesteps: in.Timesteps[first:], Context: rowsFrom(in.Context, first), Pooled: rowsFrom(in.Pooled, first),
		SizeIDs: rowsFrom(in.SizeIDs, first), Hint: hint, Scales: c.scales, Type: c.kind, Rows: rows, FirstRow: first}
}

// rowsFrom is a tensor without its first rows.
func rowsFrom(t backend.Tensor, first int) backend.Tensor {
	shape := slices.Clone(t.Shape)
	per := len(t.Data) / shape[0]
	shape[0] -= first
	return backend.Tensor{Shape: shape, Data: t.Data[first*per:]}
}

// residualsOf returns the zeroed buffer for the residuals of input k.
func (g *guided) residualsOf(k int, b *batch) []float32 {
	if g.residuals == nil {
		g.residuals = make([][]float32, len(g.inputs))
	}
	if g.residuals[k] == nil {
		g.residuals[k] = make([]float32, g.expert.info.UNet.ResidualCount(g.inputs[k].Sample.Shape[0], b.height, b.width))
	} else {
		clear(g.residuals[k])
	}
	return g.residuals[k]
}

// hintPixels turns a control picture into a ControlNet's input, [1, 3, height, width] in [0, 1].
func hintPixels(img image.Image) backend.Tensor {
	rgb := picture.Opaque(img)
	w, h := rgb.Rect.Dx(), rgb.Rect.Dy()
	t := backend.NewTensor(1, 3, h, w)
	for p := range w * h {
		for c := range 3 {
			t.Data[c*w*h+p] = float32(rgb.Pix[4*p+c]) / 255
		}
	}
	return t
}
