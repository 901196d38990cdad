package fake

import (
	"context"
	"strings"

	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// upscale is the scale of the fake's upscaler.
const upscale = 2

// networkInfo makes of a base model's description that of a network beside it, if one is named, and returns its components.
func networkInfo(info *backend.ModelInfo, files backend.Files) []string {
	base := *info
	network := func(kind backend.Kind) { // with nothing of the base model
		*info = backend.ModelInfo{Kind: kind, Layout: "diffusers", Precision: base.Precision, PrecisionReason: base.PrecisionReason, Threads: 1}
	}
	switch {
	case files.ControlNet != "":
		network(backend.KindControlNet)
		info.UNet = base.UNet
		info.UNet.InChannels, info.UNet.OutChannels = latentChannels, 0
		info.Control = backend.ControlInfo{HintChannels: 3, HintDownscale: downscale}
		if strings.Contains(files.ControlNet, "union") {
			info.Control.Types = 6
		}
		if strings.Contains(files.ControlNet, "other") {
			info.UNet.Channels = []int{16, 16}
		}
		if strings.Contains(files.ControlNet, "control-xs") {
			info.Control.XSChannels = 4
		}
		if strings.Contains(files.ControlNet, "t2i") {
			info.UNet = backend.UNetInfo{}
			info.Control = backend.ControlInfo{HintChannels: 3, HintDownscale: 2 * downscale, FeatureChannels: []int{8, 16, 16},
				FeatureDownscale: []int{2 * downscale, 2 * downscale, 2 * downscale}}
		}
		return []string{"controlnet"}
	case files.TAESD != "":
		network(backend.KindTAESD)
		info.VAE = base.VAE
		info.VAE.NormNumGroups = 0
		return []string{"vae_encoder", "vae_decoder"}
	case files.Upscaler != "":
		network(backend.KindUpscaler)
		info.Upscaler = backend.UpscalerInfo{Scale: upscale, Channels: 8, Blocks: 1, Multiple: 1}
		return []string{"upscaler"}
	case files.Detector != "":
		network(backend.KindDetector)
		info.Detector = backend.DetectorInfo{Classes: 2, Bins: 4, Multiple: 32}
		return []string{"detector"}
	}
	return nil
}

// EncodeHint takes the mean of each cell's pixels, the same for every channel. All features of a T2I-Adapter are the mean of the picture.
func (m *model) EncodeHint(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	out, end, err := m.transform(ctx, OpEncodeHint, backend.StageControlHint, pixels, contract.EncodeHint)
	if err != nil {
		return out, err
	}
	defer end()
	c, h, w := pixels.Shape[1], pixels.Shape[2], pixels.Shape[3]
	if control := m.info.Control; control.IsT2IAdapter() {
		n := pixels.Shape[0]
		at := 0
		for _, s := range control.FeatureShapes(h, w) {
			each := s[0] * s[1] * s[2]
			for i := range n * each {
				out.Data[at+i] = meanOf(pixels.Data, n, i/each)
			}
			at += n * each
		}
		return out, nil
	}
	width := out.Shape[1]
	cells := h / downscale * (w / downscale)
	for i, v := range pixels.Data {
		x, y, at := i%w, i/w%h, i/(c*h*w)
		for ch := range width {
			out.Data[(at*width+ch)*cells+y/downscale*(w/downscale)+x/downscale] += v / (3 * downscale * downscale)
		}
	}
	return out, nil
}

// ControlNet adds to every residual of a row its scale times the mean of the row's hint, or of several hints their weighted sum.
func (m *model) ControlNet(ctx context.Context, in backend.ControlInput, residuals []float32) error {
	rows, err := contract.ControlNet(m.info, in, len(residuals))
	if err := m.check(err); err != nil {
		return err
	}
	if in.OnDevice != nil {
		if residuals, err = onDevice(m.info.UNet, in.OnDevice, rows, in.Sample); err != nil {
			return m.check(err)
		}
	}
	n, h, w := in.Sample.Shape[0], in.Sample.Shape[2], in.Sample.Shape[3]
	end, err := m.compute(ctx, Call{Op: OpControlNet, Timestep: in.Timesteps[0], OnDevice: in.OnDevice != nil},
		backend.ComputeQuery{Stage: backend.StageControl, Batch: n, Height: h, Width: w, ContextTokens: in.Context.Shape[1]})
	if err != nil {
		return err
	}
	defer end()
	hints := in.Hint.Shape[0]
	level := 0
	for k, s := range m.info.UNet.ResidualShapes(h, w) {
		each := s[0] * s[1] * s[2]
		for i := range n {
			mean := meanOf(in.Hint.Data, hints, i%hints)
			if len(in.Kinds) > 0 {
				mean = 0
				for k, kind := range in.Kinds {
					mean += kind.Weight * meanOf(in.Hint.Data, hints, k)
				}
			}
			row := residuals[level+(in.FirstRow+i)*each:][:each]
			for p := range row {
				row[p] += in.Scales[k] * mean
			}
		}
		level += rows * each
	}
	return nil
}

func meanOf(values []float32, parts, part int) float32 {
	n := len(values) / parts
	var sum float32
	for _, v := range values[part*n : (part+1)*n] {
		sum += v
	}
	return sum / float32(n)
}

// lean is how far image i's residuals, features of T2I-Adapters and ControlNet-XS draw the latents: the mean of the middle's.
func (m *model) lean(in backend.UNetInput, n, i, h, w int) (lean float32) {
	if in.BlockRows > 0 {
		shapes := m.info.UNet.BlockShapes(h, w)
		last := shapes[len(shapes)-1]
		middle := in.Blocks[len(in.Blocks)-in.BlockRows*last[0]*last[1]*last[2]:]
		lean = latentScale * meanOf(middle, in.BlockRows, i%in.BlockRows)
	}
	if in.XS.Net != nil {
		lean += latentScale * in.XS.Scale * meanOf(in.XS.Hint.Data, 1, 0)
	}
	if in.Residuals == nil {
		return lean
	}
	shapes := m.info.UNet.ResidualShapes(h, w)
	last := shapes[len(shapes)-1]
	each := last[0] * last[1] * last[2]
	return lean + latentScale*meanOf(in.Residuals[len(in.Residuals)-n*each:], n, i)
}

// Detect finds a box of the first class where a cell of 32 x 32 pixels is lighter than grey; it reaches a cell to each side.
func (m *model) Detect(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	out, end, err := m.transform(ctx, OpDetect, backend.StageDetect, pixels, contract.Detect)
	if err != nil {
		return out, err
	}
	defer end()
	const cell, sure, bins = 32, 20, 4
	n, h, w := pixels.Shape[0], pixels.Shape[2], pixels.Shape[3]
	anchors, rows := out.Shape[2], out.Shape[1]
	first := anchors - h/cell*(w/cell)
	for i := range n {
		of := out.Data[i*rows*anchors:][:rows*anchors]
		for a := range anchors {
			for side := range 4 {
				of[(side*bins+1)*anchors+a] = sure
			}
			of[4*bins*anchors+a], of[(4*bins+1)*anchors+a] = -sure, -sure
			if k := a - first; k >= 0 {
				middle := (k/(w/cell)*cell+cell/2)*w + k%(w/cell)*cell + cell/2
				of[4*bins*anchors+a] = 4 * (pixels.Data[i*3*h*w+middle] - 0.5)
			}
		}
	}
	return out, nil
}

// Upscale repeats every pixel.
func (m *model) Upscale(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	out, end, err := m.transform(ctx, OpUpscale, backend.StageUpscale, pixels, contract.Upscale)
	if err != nil {
		return out, err
	}
	defer end()
	h, w := pixels.Shape[2], pixels.Shape[3]
	for i := range out.Data {
		x, y, plane := i%(upscale*w), i/(upscale*w)%(upscale*h), i/(upscale*upscale*w*h)
		out.Data[i] = pixels.Data[(plane*h+y/upscale)*w+x/upscale]
	}
	return out, nil
}
