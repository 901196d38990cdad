package vae

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Verdict sums a CheckReport up.
type Verdict string

// The verdicts.
const (
	Good Verdict = "good" // pictures come back as they went in
	Fair Verdict = "fair" // usable, with what Reasons say
	Bad  Verdict = "bad"  // pictures are lost
)

// The bounds of the verdicts. SDXL's VAE brings photographs back at 30 dB and more.
const (
	goodPSNR, fairPSNR         = 25.0, 17.0 // dB, of the worst picture
	goodSSIM, fairSSIM         = 0.80, 0.50
	goodShift, fairShift       = 4.0, 16.0 // of 255, of the worst channel
	goodTiled                  = 40.0      // dB from the undivided picture
	goodSeam                   = 0.05      // of the surroundings' energy
	lowestScaled, highestScale = 0.3, 3.0  // standard deviation of scaled latents; UNets are trained on 1
)

// Sample is a picture to check a VAE with: [1, 3, H, W] in [-1, 1], sides multiples of the VAE's downscale.
type Sample struct {
	Name   string
	Pixels backend.Tensor
}

// CheckOptions say how Check works; the zero value is the default.
type CheckOptions struct {
	Policy        Policy                // of the tiled pass; Tiling is on whatever it says
	ScalingFactor float64               // of the VAE's latents; 0: unknown
	Progress      func(done, total int) // called after each step; may be nil
}

// PictureReport is what became of one picture on the way through encoder and decoder.
type PictureReport struct {
	Name        string     `json:"name"`
	Width       int        `json:"width"`
	Height      int        `json:"height"`
	PSNR        float64    `json:"psnr_db"`
	SSIM        float64    `json:"ssim"`
	ColourShift [3]float64 `json:"colour_shift"`    // mean difference of red, green, blue, of 255
	NotFinite   int        `json:"not_finite"`      // values of the decoder's output
	Fault       Fault      `json:"fault,omitempty"` // of encoder or decoder
	Seconds     float64    `json:"seconds"`         // encoding and decoding
}

// TileReport compares the decoder by tiles with the undivided one, on the largest picture.
type TileReport struct {
	Name       string  `json:"name"`
	Tiles      int     `json:"tiles"`
	TileSize   int     `json:"tile_size"` // pixels
	Parts      bool    `json:"shared_statistics"`
	PSNR       float64 `json:"psnr_db"`
	SeamExcess float64 `json:"seam_excess"` // of the surroundings' energy; see SeamExcess
	Bytes      int64   `json:"bytes"`       // of the compute buffer
	WholeBytes int64   `json:"whole_bytes"`
}

// CheckReport is what Check finds.
type CheckReport struct {
	Precision     backend.Precision `json:"precision"`
	Type          backend.Type      `json:"type"` // of the decoder's weights in memory
	ScalingFactor float64           `json:"scaling_factor,omitempty"`
	LatentStd     float64           `json:"latent_std"` // of the encoder's means over all pictures
	Pictures      []PictureReport   `json:"pictures"`
	Tiled         *TileReport       `json:"tiled,omitempty"` // nil where no picture is larger than a tile, or a fault makes it pointless
	Verdict       Verdict           `json:"verdict"`
	Reasons       []string          `json:"reasons"` // for a verdict that is not good
}

// Check sends pictures through a model's encoder and decoder and judges what comes back. Nothing is repeated in another
// precision: a fault is reported as it is. Cancelling ctx stops it between two calls or, on a CPU, inside one.
func Check(ctx context.Context, m backend.Model, samples []Sample, o CheckOptions) (CheckReport, error) {
	info := m.Info()
	r := CheckReport{Precision: info.Precision, ScalingFactor: o.ScalingFactor}
	for _, c := range info.Components {
		if c.Name == "vae_decoder" {
			r.Type = c.Type
		}
	}
	var largest int
	latents, whole := make([]backend.Tensor, len(samples)), make([]backend.Tensor, len(samples))
	var sum, square, count float64
	for i, s := range samples {
		began := time.Now()
		var err error
		var p PictureReport
		if p, latents[i], whole[i], err = roundTrip(ctx, m, s); err != nil {
			return r, fmt.Errorf("picture %s: %w", s.Name, err)
		}
		p.Seconds = time.Since(began).Seconds()
		for _, v := range latents[i].Data {
			sum, square, count = sum+float64(v), square+float64(v)*float64(v), count+1
		}
		r.Pictures = append(r.Pictures, p)
		if len(s.Pixels.Data) > len(samples[largest].Pixels.Data) {
			largest = i
		}
		o.report(i+1, len(samples)+1)
	}
	r.LatentStd = math.Sqrt(max(square/count-sum/count*sum/count, 0))
	if len(samples) > 0 && r.Pictures[largest].Fault == "" {
		t, err := checkTiles(ctx, m, latents[largest], whole[largest], o.Policy)
		if err != nil {
			return r, fmt.Errorf("picture %s by tiles: %w", samples[largest].Name, err)
		}
		if r.Tiled = t; t != nil {
			t.Name = samples[largest].Name
		}
	}
	o.report(len(samples)+1, len(samples)+1)
	r.judge()
	return r, nil
}

func (o CheckOptions) report(done, total int) {
	if o.Progress != nil {
		o.Progress(done, total)
	}
}

// roundTrip encodes a picture, takes the distribution's mean and decodes it.
func roundTrip(ctx context.Context, m backend.Model, s Sample) (p PictureReport, latents, out backend.Tensor, err error) {
	p = PictureReport{Name: s.Name}
	_, p.Height, p.Width, err = pictureShape("pixels", s.Pixels)
	if err != nil {
		return p, latents, out, err
	}
	moments, err := m.EncodeImage(ctx, s.Pixels)
	if err != nil {
		return p, latents, out, fmt.Errorf("encoding: %w", err)
	}
	shape := []int{1, moments.Shape[1] / 2, moments.Shape[2], moments.Shape[3]}
	latents = backend.Tensor{Shape: shape, Data: moments.Data[:len(moments.Data)/2]}
	if notFinite(moments.Data) >= 0 {
		p.Fault, p.NotFinite = NotFinite, len(s.Pixels.Data)
		return p, latents, s.Pixels, nil
	}
	if out, err = m.DecodeLatents(ctx, latents); err != nil {
		return p, latents, out, fmt.Errorf("decoding: %w", err)
	}
	p.Fault = faultOf(out)
	if p.Fault == Black && faultOf(s.Pixels) == Black {
		p.Fault = "" // so it should be
	}
	for _, v := range out.Data {
		if v-v != 0 {
			p.NotFinite++
		}
	}
	p.PSNR, p.SSIM, p.ColourShift = PSNR(out, s.Pixels), SSIM(out, s.Pixels), ColourShift(s.Pixels, out)
	return p, latents, out, nil
}

// checkTiles decodes latents by tiles and compares with the whole; nil where one tile is enough.
func checkTiles(ctx context.Context, m backend.Model, latents, whole backend.Tensor, policy Policy) (*TileReport, error) {
	h, w, unit := latents.Shape[2], latents.Shape[3], max(m.Info().VAE.Downscale, 1)
	policy.Tiling = On
	if policy.TileSize == 0 { // small enough to divide the picture
		policy.TileSize = min(max(min(h, w)*unit/2, MinTileSize), DefaultTileSize)
	}
	plan, err := policy.PlanDecode(m, 1, h, w)
	if err != nil || plan.Tiles == 1 {
		return nil, err
	}
	undivided, err := Policy{Tiling: Off}.PlanDecode(m, 1, h, w)
	if err != nil {
		return nil, err
	}
	tiled, err := plan.decode(ctx, m, latents)
	if err != nil {
		return nil, err
	}
	rows, columns := plan.Seams(unit)
	return &TileReport{Tiles: plan.Tiles, TileSize: policy.TileSize, Parts: plan.Parts, PSNR: PSNR(tiled, whole),
		SeamExcess: SeamExcess(tiled, whole, rows, columns), Bytes: plan.Bytes, WholeBytes: undivided.Bytes}, nil
}

// judge fills in the verdict.
func (r *CheckReport) judge() {
	r.Verdict, r.Reasons = Good, []string{}
	say := func(v Verdict, format string, args ...any) {
		if v == Bad || r.Verdict == Good {
			r.Verdict = v
		}
		r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...))
	}
	grade := func(good, fair bool, format string, args ...any) {
		if !good {
			say(map[bool]Verdict{true: Fair, false: Bad}[fair], format, args...)
		}
	}
	for _, p := range r.Pictures {
		if p.Fault != "" {
			say(Bad, "%s: %s in %s", p.Name, p.Fault, r.Precision)
			continue
		}
		worst := max(math.Abs(p.ColourShift[0]), math.Abs(p.ColourShift[1]), math.Abs(p.ColourShift[2]))
		grade(p.PSNR >= goodPSNR, p.PSNR >= fairPSNR, "%s: it comes back at %.1f dB; %v or more is good", p.Name, p.PSNR, goodPSNR)
		grade(p.SSIM >= goodSSIM, p.SSIM >= fairSSIM, "%s: its structure comes back at %.2f (SSIM); %v or more is good", p.Name, p.SSIM, goodSSIM)
		grade(worst <= goodShift, worst <= fairShift, "%s: its colours shift by %.1f of 255; up to %v is good", p.Name, worst, goodShift)
	}
	if t := r.Tiled; t != nil {
		grade(t.PSNR >= goodTiled, true, "%s: tiles change it (%.1f dB from the undivided picture); turn tiling off (vae_tiling = \"off\")",
			t.Name, t.PSNR)
		grade(math.Abs(t.SeamExcess) <= goodSeam, true, "%s: tiles show (seam energy %+.1f %% of the surroundings')", t.Name, 100*t.SeamExcess)
	}
	if s := r.LatentStd * r.ScalingFactor; s > 0 && r.Verdict != Bad {
		grade(s >= lowestScaled && s <= highestScale, true,
			"its latents have a deviation of %.2f, but the UNet expects about 1: the scaling factor %v is probably that of another VAE",
			s, r.ScalingFactor)
	}
}

// Samples are built-in pictures of size x size pixels: slopes of colour, hard edges, and texture at several scales.
func Samples(size int) []Sample {
	paint := func(name string, f func(x, y float64, c int) float64) Sample {
		t := backend.NewTensor(1, 3, size, size)
		for i := range t.Data {
			c, y, x := i/(size*size), i/size%size, i%size
			t.Data[i] = float32(min(max(f((float64(x)+0.5)/float64(size), (float64(y)+0.5)/float64(size), c), -1), 1))
		}
		return Sample{name, t}
	}
	return []Sample{
		paint("slopes", func(x, y float64, c int) float64 {
			return []float64{1.6*x - 0.8, 1.6*y - 0.8, 0.8 * math.Cos(3*(x+y))}[c]
		}),
		paint("shapes", func(x, y float64, c int) float64 {
			v := []float64{-0.6, -0.2, 0.5}[c]
			if math.Hypot(x-0.35, y-0.4) < 0.22 {
				v = []float64{0.8, -0.7, -0.6}[c]
			}
			if math.Abs(x-0.68) < 0.14 && math.Abs(y-0.66) < 0.18 {
				v = []float64{0.7, 0.7, -0.5}[c]
			}
			return v
		}),
		paint("texture", func(x, y float64, c int) float64 {
			v := 0.0
			for k := range 12 {
				f, a := float64(2+3*k), 2.4*float64(k)+float64(c)
				v += math.Sin(2*math.Pi*f*(x*math.Cos(a)+y*math.Sin(a))+a) * 1.2 / float64(k+2)
			}
			return v / 1.5
		}),
	}
}
