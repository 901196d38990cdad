package fake

import (
	"context"
	"math"

	"github.com/daguerre-go/daguerre/internal/contract"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// UNet predicts noise as a model would that has seen very few pictures. With x0(prompt) the latents
// it wants to see and a the noise schedule's alphas_cumprod, the noise that would explain the sample exactly is
// (sample - sqrt(a) x0) / sqrt(1-a); the fake mixes nine parts of that with one part of the sample
// itself, so that what the seed brought does not vanish.
func (m *model) UNet(ctx context.Context, in backend.UNetInput, out []float32) error {
	if err := m.check(contract.UNet(m.info, in, len(out))); err != nil {
		return err
	}
	n, c, h, w := in.Sample.Shape[0], in.Sample.Shape[1], in.Sample.Shape[2], in.Sample.Shape[3]
	if in.OnDevice != nil {
		values, err := onDevice(m.info.UNet, in.OnDevice, n, in.Sample)
		if err != nil {
			return m.check(err)
		}
		in.Residuals = values
	}
	shift, err := m.loraShift(in.LoRAs, "unet")
	if err != nil {
		return err
	}
	kept, err := m.featuresOf(in)
	if err != nil {
		return err
	}
	end, err := m.compute(ctx, Call{Op: OpUNet, Timestep: in.Timesteps[0], LoRAs: firstWeights(in.LoRAs), Kept: in.Kept.Use,
		OnDevice: in.OnDevice != nil},
		backend.ComputeQuery{Stage: backend.StageUNet, Batch: n, Height: h, Width: w, ContextTokens: in.Context.Shape[1]})
	if err != nil {
		return err
	}
	defer end()
	cells := h * w
	for i := range n {
		target, regions := m.changed(in, i, m.target(in, i, rowOf(in.Context, i))), m.regions(in, i)
		lean := m.lean(in, n, i, h, w)
		for ch := range target {
			target[ch] += latentScale * shift[ch]
			if in.Guidance != nil {
				target[ch] += latentScale * in.Guidance[i] / 100
			}
		}
		a := alphasCumprod(float64(in.Timesteps[i]))
		keep, noise := float32(math.Sqrt(a)), float32(math.Sqrt(1-a))
		sample := in.Sample.Data[i*c*cells:][:c*cells]
		for ch := range latentChannels {
			for p := range cells {
				x := sample[ch*cells+p]
				target := regions(p, target)
				want := target[ch] + lean + 0.1*target[(ch+1)%latentChannels]*float32((p%w+p/w)%5-2)
				if c == 9 { // mask, then the masked picture
					want += 0.2*sample[4*cells+p] + 0.2*sample[(5+ch)*cells+p]
				}
				out[(i*latentChannels+ch)*cells+p] = 0.9*(x-keep*want)/noise + 0.1*x
			}
		}
	}
	if kept != nil {
		kept.apply(in, out)
	}
	return nil
}

// latentScale keeps what prompts ask for inside the range of colours, under SDXL's scaling factor of 0.13025 and
// with guidance.
const latentScale = 0.05

// target is the mean colour, in latents, that image i's conditioning asks for with a text.
func (m *model) target(in backend.UNetInput, i int, text []float32) [latentChannels]float32 {
	u := m.info.UNet
	tokens := in.Context.Shape[1]
	pooled := in.Pooled.Data[i*u.PooledDim:][:u.PooledDim]
	sizes := in.SizeIDs.Data[i*u.SizeIDs:][:u.SizeIDs]
	var out [latentChannels]float32
	for j, v := range text {
		out[j%latentChannels] += v / float32(tokens) * float32(1+j/u.ContextDim%7)
	}
	for j, v := range pooled {
		out[j%latentChannels] += v
	}
	for j, v := range sizes {
		out[j%latentChannels] += v / 8192
	}
	for ch := range out {
		out[ch] = latentScale * float32(math.Tanh(float64(out[ch])))
	}
	return out
}

// alphasCumprod is SDXL's noise schedule (scaled linear betas, 0.00085 to 0.012 over 1000 timesteps)
// at a timestep that need not be whole: exp of the integral of log(1-beta), held inside (0, 1).
func alphasCumprod(t float64) float64 {
	const low, high, steps = 0.029154759474226504, 0.10954451150103323, 1000 // square roots of the ends
	slope := (high - low) / (steps - 1)
	t = min(max(t+1, 0.5), steps)
	integral := (math.Pow(low+slope*t, 3) - math.Pow(low, 3)) / (3 * slope)
	return math.Exp(-integral)
}

// The VAE's channel matrices: decoding undoes encoding, decode x encode being the identity.
var (
	encodeMatrix = [latentChannels][3]float32{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {0.5, 0.25, 0.25}}
	decodeMatrix = [3][latentChannels]float32{
		{1 - 0.2*0.5, -0.2 * 0.25, -0.2 * 0.25, 0.2},
		{0.1 * 0.5, 1 + 0.1*0.25, 0.1 * 0.25, -0.1},
		{-0.3 * 0.5, -0.3 * 0.25, 1 - 0.3*0.25, 0.3},
	}
)

// encodedLogVariance is the log-variance the fake's encoder reports everywhere.
const encodedLogVariance = -8

// EncodeImage averages blocks of 8 x 8 pixels and mixes three channels into four.
func (m *model) EncodeImage(ctx context.Context, pixels backend.Tensor) (backend.Tensor, error) {
	out, end, err := m.transform(ctx, OpEncodeImage, backend.StageVAEEncode, pixels, contract.EncodeImage)
	if err != nil {
		return out, err
	}
	defer end()
	n, h, w := pixels.Shape[0], pixels.Shape[2], pixels.Shape[3]
	lh, lw := h/downscale, w/downscale
	for i := range n {
		for y := range lh {
			for x := range lw {
				var mean [3]float32
				for ch := range mean {
					for p := range downscale * downscale {
						mean[ch] += pixels.Data[((i*3+ch)*h+y*downscale+p/downscale)*w+x*downscale+p%downscale] / (downscale * downscale)
					}
				}
				for l, row := range encodeMatrix {
					out.Data[((i*2*latentChannels+l)*lh+y)*lw+x] = row[0]*mean[0] + row[1]*mean[1] + row[2]*mean[2]
					out.Data[((i*2*latentChannels+latentChannels+l)*lh+y)*lw+x] = encodedLogVariance
				}
			}
		}
	}
	return out, nil
}

// DecodeLatents mixes four channels into three and repeats every cell 8 x 8 times.
func (m *model) DecodeLatents(ctx context.Context, latents backend.Tensor) (backend.Tensor, error) {
	out, end, err := m.transform(ctx, OpDecodeLatents, backend.StageVAEDecode, latents, contract.DecodeLatents)
	if err != nil {
		return out, err
	}
	defer end()
	n, h, w := latents.Shape[0], latents.Shape[2], latents.Shape[3]
	ph, pw := h*downscale, w*downscale
	for i := range n {
		for ch, row := range decodeMatrix {
			for p := range ph * pw {
				cell := p/pw/downscale*w + p%pw/downscale
				var v float32
				for l, k := range row {
					v += k * latents.Data[(i*latentChannels+l)*h*w+cell]
				}
				out.Data[(i*3+ch)*ph*pw+p] = v
			}
		}
	}
	return out, nil
}
