package fake

import (
	"context"
	"strings"

	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// upscale is the scale of the fake's upscaler.
const upscale = 2

// networkInfo describes the networks beside SDXL's own; false where cfg names none.
func networkInfo(cfg backend.ModelConfig, device string) (backend.ModelInfo, bool) {
	info := backend.ModelInfo{Layout: "diffusers", Precision: backend.PrecisionExact, PrecisionReason: "the fake computes in F32", Threads: 1}
	component := func(names ...string) {
		for _, name := range names {
			info.Components = append(info.Components, backend.ComponentInfo{Name: name, Present: true, Opened: true, Parameters: 1000,
				ParameterBytes: weightBytes[name], FileType: backend.TypeF32, Type: backend.TypeF32, Device: device})
		}
	}
	switch {
	case cfg.Files.ControlNet != "":
		info.Kind = backend.KindControlNet
		info.UNet = (&Backend{}).info(backend.ModelConfig{}).UNet
		info.UNet.OutChannels = 0
		info.Control = backend.ControlInfo{HintChannels: 3, HintDownscale: downscale}
		if strings.Contains(cfg.Files.ControlNet, "union") {
			info.Control.Types = 6
		}
		if strings.Contains(cfg.Files.ControlNet, "other") {
			info.UNet.Channels = []int{16, 16}
		}
		component("controlnet")
	case cfg.Files.TAESD != "":
		info.Kind = backend.KindTAESD
		info.VAE = backend.VAEInfo{LatentChannels: latentChannels, EncoderChannels: []int{8}, DecoderChannels: []int{8}, Downscale: downscale}
		component("vae_encoder", "vae_decoder")
	case cfg.Files.Upscaler != "":
		info.Kind = backend.KindUpscaler
		info.Upscaler = backend.UpscalerInfo{Scale: upscale, Channels: 8, Blocks: 1, Multiple: 1}
		component("upscaler")
	default:
		return info, false
	}
	return info, true
}

// EncodeHint takes the mean of each cell's pixels, the same for every channel.
func (m *model) EncodeHint(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	out, end, err := m.transform(ctx, OpEncodeHint, backend.StageControlHint, pixels, contract.EncodeHint)
	if err != nil {
		return out, err
	}
	defer end()
	c, h, w := pixels.Shape[1], pixels.Shape[2], pixels.Shape[3]
	width := m.info.UNet.ModelChannels
	cells := h / downscale * (w / downscale)
	for i, v := range pixels.Data {
		x, y, at := i%w, i/w%h, i/(c*h*w)
		for ch := range width {
			out.Data[(at*width+ch)*cells+y/downscale*(w/downscale)+x/downscale] += v / (3 * downscale * downscale)
		}
	}
	return out, nil
}

// ControlNet adds to every residual of a row its scale times the mean of the row's hint.
func (m *model) ControlNet(ctx context.Context, in backend.ControlInput, residuals []float32) error {
	rows, err := contract.ControlNet(m.info, in, len(residuals))
	if err := m.check(err); err != nil {
		return err
	}
	n, h, w := in.Sample.Shape[0], in.Sample.Shape[2], in.Sample.Shape[3]
	end, err := m.compute(ctx, Call{Op: OpControlNet, Timestep: in.Timesteps[0]},
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

// lean is how far image i's residuals draw the latents: the mean of the middle's.
func (m *model) lean(in backend.UNetInput, n, i, h, w int) float32 {
	if in.Residuals == nil {
		return 0
	}
	shapes := m.info.UNet.ResidualShapes(h, w)
	last := shapes[len(shapes)-1]
	each := last[0] * last[1] * last[2]
	return latentScale * meanOf(in.Residuals[len(in.Residuals)-n*each:], n, i)
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
