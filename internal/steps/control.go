package steps

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/pictures"
	"github.com/daguerre-go/daguerre/internal/prepare"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// NewControl makes a net ready: its picture is embedded for every size of the request. canvas is what the request paints on, nil if it
// paints all.
func NewControl(ctx context.Context, net models.Model, spec prepare.Control, r *request.Request, canvas pictures.Canvas) (*Control, error) {
	c := &Control{net: net, spec: spec, canvas: canvas}
	var err error
	if c.kind, err = unionKind(spec.UnionType, net.Info.Control.Types); err != nil {
		return nil, err
	}
	residuals := len(net.Info.UNet.ResidualShapes(1, 1))
	if c.isT2I() {
		residuals = len(net.Info.Control.FeatureChannels)
	}
	c.scales = residualScales(residuals, spec.Weight, spec.Mode)
	if c.hint, err = c.hintAt(ctx, r, r.Width, r.Height); err != nil || !r.Hires.On() {
		return c, err
	}
	c.second, err = c.hintAt(ctx, r, r.Hires.Width, r.Hires.Height)
	return c, err
}

// hintAt embeds the control picture at a size in pixels. Of a pass by tiles each tile's part is embedded by itself.
func (c *Control) hintAt(ctx context.Context, r *request.Request, width, height int) (hints, error) {
	spec := c.spec.Net
	if c.canvas != nil {
		cut, err := c.canvas.Control(spec.Scaled, width, height)
		if err != nil {
			return nil, err
		}
		if cut != nil {
			spec.Image, spec.Resize = cut, controlnet.Stretch
		}
	}
	shown, err := spec.Map(width, height)
	if err != nil {
		return nil, err
	}
	pixels := pictures.HintPixels(shown)
	if c.net.Info.Control.HintChannels == 1 {
		pixels = pictures.GreyPixels(shown)
	}
	d := newTiles(r.TiledDiffusion, 1, height, width)
	if d == nil {
		whole, err := c.net.EncodeHint(ctx, c.enlarged(pixels))
		return hints{whole}, err
	}
	out := make(hints, len(d.at))
	for k := range out {
		part := backend.NewTensor(1, pixels.Shape[1], d.height, d.width)
		d.cut(part.Data, pixels.Data, k, height, width)
		if out[k], err = c.net.EncodeHint(ctx, c.enlarged(part)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// unionKind is the number of a kind of control among those that a Union net tells apart. Ordinary nets have none.
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
		return 0, bad("is missing; this is a Union net: say what the picture shows, one of %s",
			strings.Join(request.ControlUnionTypes[:min(kinds, len(request.ControlUnionTypes))], ", "))
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

// acts reports whether the net acts in evaluation i of n, as diffusers' controlnet_keep decides, and of an adapter its
// adapter_conditioning_factor.
func (c *Control) acts(i, n int) bool {
	if c.isT2I() {
		return float64(i)/float64(n) >= c.spec.Start && i < int(float64(n)*c.spec.End)
	}
	return float64(i)/float64(n) >= c.spec.Start && float64(i+1)/float64(n) <= c.spec.End
}

// nets are the batch's ControlNets, without T2I-Adapters and ControlNet-XS.
func (b *Batch) nets() []models.Model {
	var nets []models.Model
	for _, c := range b.lead().Controls {
		if c.isNet() {
			nets = append(nets, c.net)
		}
	}
	return nets
}

// control sums up what the nets that act in evaluation i add to input k, or leaves nil there. Nets belong to the base: a refiner has
// another UNet.
func (g *guided) control(ctx context.Context, k int, b *Batch, scaled []float32, i int) error {
	in := &g.inputs[k]
	in.Residuals, in.OnDevice = nil, nil
	if g.refiner {
		return nil
	}
	rows := in.Sample.Shape[0]
	positive := g.positive(k, rows, b)
	for _, c := range b.lead().Controls {
		first := 0
		if c.spec.Mode == controlnet.Control {
			first = positive
		}
		if !c.isNet() || first == rows || !c.acts(i, b.controlSteps) {
			continue
		}
		if in.Residuals == nil && in.OnDevice == nil {
			var err error
			if in.Residuals, in.OnDevice, err = b.residuals.zeros(rows, b.Height, b.Width); err != nil {
				return err
			}
		}
		asked := c.input(in, b, scaled, first)
		asked.OnDevice = in.OnDevice
		if err := c.net.ControlNet(ctx, asked, in.Residuals); err != nil {
			return fmt.Errorf("ControlNet %s: %w", models.Name(c.spec.Path), err)
		}
	}
	return nil
}

// input is what the net is asked for rows first ... of the UNet's input. It sees the plain latents where the UNet has more channels.
func (c *Control) input(in *backend.UNetInput, b *Batch, scaled []float32, first int) backend.ControlInput {
	rows := in.Sample.Shape[0]
	sample := backend.NewTensor(rows-first, b.Channels, b.Height, b.Width)
	per, hint := len(scaled)/b.Len(), c.hint
	if b.second {
		hint = c.second
	}
	for row := range rows - first {
		copy(sample.Data[row*per:], b.image(scaled, (first+row)%b.Len()))
	}
	return backend.ControlInput{Sample: sample, Timesteps: in.Timesteps[first:], Context: rowsFrom(in.Context, first),
		Pooled: rowsFrom(in.Pooled, first), SizeIDs: rowsFrom(in.SizeIDs, first), Hint: hint[b.at], Scales: c.scales, Type: c.kind,
		Kinds: c.kinds, Rows: rows,
		FirstRow: first, Regions: in.Regions}
}

// rowsFrom is a tensor without its first rows.
func rowsFrom(t backend.Tensor, first int) backend.Tensor {
	shape := slices.Clone(t.Shape)
	per := len(t.Data) / shape[0]
	shape[0] -= first
	return backend.Tensor{Shape: shape, Data: t.Data[first*per:]}
}

// isT2I reports whether the net is a T2I-Adapter. Its features are made once, as the hint, and are added inside the UNet.
func (c *Control) isT2I() bool { return c.net.Info.Control.IsT2IAdapter() }

// isXS reports whether the net is a ControlNet-XS, which becomes a part of the UNet's evaluation. A request has one at most.
func (c *Control) isXS() bool { return c.net.Info.Control.IsXS() }

// isNet reports whether the net is a ControlNet, which is evaluated by itself and leaves residuals.
func (c *Control) isNet() bool { return !c.isT2I() && !c.isXS() }

// enlarged repeats the last column and row of a control picture [1, channels, height, width] until the net can take its size: cells of a
// T2I-Adapter are larger than those of latents.
func (c *Control) enlarged(pixels backend.Tensor) backend.Tensor {
	n := max(c.net.Info.Control.HintDownscale, 1)
	h, w := pixels.Shape[2], pixels.Shape[3]
	if h%n == 0 && w%n == 0 {
		return pixels
	}
	out := backend.NewTensor(1, pixels.Shape[1], (h+n-1)/n*n, (w+n-1)/n*n)
	for i := range out.Data {
		x, y, plane := i%out.Shape[3], i/out.Shape[3]%out.Shape[2], i/(out.Shape[3]*out.Shape[2])
		out.Data[i] = pixels.Data[(plane*h+min(y, h-1))*w+min(x, w-1)]
	}
	return out
}
