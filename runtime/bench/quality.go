package bench

import (
	"fmt"
	"image"
	"math"

	"github.com/daguerre-go/daguerre/internal/checker"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// EqualPSNR stands for the infinite PSNR of equal pictures, which JSON cannot say. Nothing else is as high: one value of a
// picture of 2048 x 2048 pixels that is off by one makes 119 dB.
const EqualPSNR = 120.0

// quality is how far a case's pictures are from those of its reference, on the same noise. What is not said to be a median is the
// worst of all pictures.
type quality struct {
	Reference    string  `json:"reference"` // its key
	Pictures     int     `json:"pictures"`
	NMSE         float64 `json:"latent_nmse"`       // median of |a-b|^2 / |b|^2 of the final latents
	NMSEWorst    float64 `json:"latent_nmse_worst"` //
	Cosine       float64 `json:"latent_cosine"`     // median
	CosineWorst  float64 `json:"latent_cosine_worst"`
	PSNR         float64 `json:"psnr_db"` // median, of 8-bit values over all channels; EqualPSNR at most
	PSNRWorst    float64 `json:"psnr_db_worst"`
	SSIM         float64 `json:"ssim"` // median, of the luma
	SSIMWorst    float64 `json:"ssim_worst"`
	EqualPicture int     `json:"equal_pictures"` // bit for bit
}

// checked counts what the checker of the nano models saw in a case's pictures.
type checked struct {
	Pictures   int     `json:"pictures"`
	Colour     int     `json:"colour"`
	Background int     `json:"background"`
	Shape      int     `json:"shape"`
	Right      int     `json:"right"` // everything that was asked for
	IoU        float64 `json:"mean_iou"`
}

// compareImages holds a case's pictures against the reference's, in the same order.
func compareImages(have, want []keptFiles) (*quality, error) {
	if len(have) != len(want) {
		return nil, fmt.Errorf("%d pictures, and %d of the reference", len(have), len(want))
	}
	if len(have) == 0 {
		return nil, nil
	}
	q := &quality{Pictures: len(have)}
	var nmse, cosine, psnr, ssim []float64
	for i := range have {
		a, x, err := have[i].load()
		if err != nil {
			return nil, err
		}
		b, y, err := want[i].load()
		if err != nil {
			return nil, err
		}
		if len(a.Data) != len(b.Data) {
			return nil, fmt.Errorf("latents of shape %v, and %v of the reference", a.Shape, b.Shape)
		}
		e, c := latentDistance(a.Data, b.Data)
		if x.Rect != y.Rect {
			return nil, fmt.Errorf("a picture of %v, and %v of the reference", x.Rect.Size(), y.Rect.Size())
		}
		s, t := pixelsOf(x), pixelsOf(y)
		db := min(vae.PSNR(s, t), EqualPSNR)
		if db == EqualPSNR {
			q.EqualPicture++
		}
		nmse, cosine, psnr, ssim = append(nmse, e), append(cosine, c), append(psnr, db), append(ssim, vae.SSIM(s, t))
	}
	n, c, p, s := summarize(nmse), summarize(cosine), summarize(psnr), summarize(ssim)
	q.NMSE, q.NMSEWorst, q.Cosine, q.CosineWorst = n.Median, n.Max, c.Median, c.Min
	q.PSNR, q.PSNRWorst, q.SSIM, q.SSIMWorst = p.Median, p.Min, s.Median, s.Min
	return q, nil
}

// load reads what was kept of a picture.
func (k keptFiles) load() (latents npy.Array, img *image.NRGBA, err error) {
	if latents, err = npy.ReadFile(k.Latents); err == nil {
		img, err = picture.Load(k.Picture)
	}
	return latents, img, err
}

// latentDistance returns |a-b|^2 / |b|^2 and the cosine of the angle between a and b. Zero vectors are equal to each other and at a
// right angle to all else.
func latentDistance(a, b []float32) (nmse, cosine float64) {
	var d, aa, bb, ab float64
	for i := range b {
		x, y := float64(a[i]), float64(b[i])
		d += (x - y) * (x - y)
		aa, bb, ab = aa+x*x, bb+y*y, ab+x*y
	}
	if d == 0 {
		return 0, 1
	}
	if aa == 0 || bb == 0 {
		return d / max(bb, math.SmallestNonzeroFloat64), 0
	}
	return d / bb, ab / math.Sqrt(aa*bb)
}

// pixelsOf is a picture as [1, 3, H, W] in [-1, 1].
func pixelsOf(img *image.NRGBA) backend.Tensor {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	t := backend.NewTensor(1, 3, h, w)
	for y := range h {
		for x := range w {
			for c := range 3 {
				t.Data[(c*h+y)*w+x] = float32(img.Pix[y*img.Stride+4*x+c])/127.5 - 1
			}
		}
	}
	return t
}

// checkImages has the checker look at pictures of the nano models' prompts.
func checkImages(images []keptFiles) (*checked, error) {
	var s checker.Summary
	for _, k := range images {
		img, err := picture.Load(k.Picture)
		if err != nil {
			return nil, err
		}
		r, err := checker.Score(img, k.Prompt)
		if err != nil {
			return nil, err
		}
		s.Add(r)
	}
	if s.N == 0 {
		return nil, nil
	}
	return &checked{Pictures: s.N, Colour: s.Colour, Background: s.Background, Shape: s.Shape, Right: s.All,
		IoU: s.SumIoU / float64(s.N)}, nil
}
