package picture

import (
	"image"
	"math"

	xdraw "golang.org/x/image/draw"
)

// Bicubic is Pillow's and torch's kernel of that name with antialiasing: Keys' with a = -1/2.
var Bicubic = xdraw.Kernel{Support: 2, At: func(t float64) float64 {
	switch t = math.Abs(t); {
	case t < 1:
		return (1.5*t-2.5)*t*t + 1
	case t < 2:
		return ((-0.5*t+2.5)*t-4)*t + 2
	}
	return 0
}}

// clipMean and clipDeviation are those of the colours that CLIP was trained with.
var (
	clipMean      = [3]float64{0.48145466, 0.4578275, 0.40821073}
	clipDeviation = [3]float64{0.26862954, 0.26130258, 0.27577711}
)

// CLIP makes of a picture what an image encoder of CLIP takes, [3, size, size], as transformers' CLIPImageProcessor: the shorter side gets
// the size by Bicubic, the middle is cut out, colours are normalised. Transparency is ignored.
func CLIP(img image.Image, size int) []float32 {
	from := Opaque(img)
	w, h := from.Rect.Dx(), from.Rect.Dy()
	width, height := size, size
	if w > h {
		width = size * w / h
	} else {
		height = size * h / w
	}
	from = resize(from, width, height, Bicubic)
	left, top := (width-size)/2, (height-size)/2
	out := make([]float32, 3*size*size)
	for y := range size {
		for x := range size {
			at := from.PixOffset(from.Rect.Min.X+left+x, from.Rect.Min.Y+top+y)
			for c := range 3 {
				out[(c*size+y)*size+x] = float32((float64(from.Pix[at+c])/255 - clipMean[c]) / clipDeviation[c])
			}
		}
	}
	return out
}

// Shrink resizes a plane of numbers by bicubic interpolation without antialiasing, as torch's interpolate(mode="bicubic",
// align_corners=False): the kernel is Keys' with a = -3/4, and the border's values go on beyond it.
func Shrink(plane []float32, width, height, toWidth, toHeight int) []float32 {
	columns, rows := cubicTaps(width, toWidth), cubicTaps(height, toHeight)
	out := make([]float32, toWidth*toHeight)
	for y, r := range rows {
		for x, c := range columns {
			var sum float32
			for i := range 4 {
				var line float32
				for k := range 4 {
					line += c.weights[k] * plane[r.at[i]*width+c.at[k]]
				}
				sum += r.weights[i] * line
			}
			out[y*toWidth+x] = sum
		}
	}
	return out
}

// cubic are the four neighbours of a place on a line, and their weights.
type cubic struct {
	at      [4]int
	weights [4]float32
}

func cubicTaps(n, many int) []cubic {
	const a = -0.75
	near := func(t float64) float64 { return ((a+2)*t-(a+3))*t*t + 1 }
	far := func(t float64) float64 { return ((a*t-5*a)*t+8*a)*t - 4*a }
	out := make([]cubic, many)
	for i := range out {
		place := (float64(i)+0.5)*float64(n)/float64(many) - 0.5
		first := int(math.Floor(place))
		t := place - float64(first)
		for k, w := range [4]float64{far(t + 1), near(t), near(1 - t), far(2 - t)} {
			out[i].at[k] = min(max(first-1+k, 0), n-1)
			out[i].weights[k] = float32(w)
		}
	}
	return out
}

// Grey is the brightness of an opaque picture's pixels in 0 to 1, as Pillow's convert("L") rounds it.
func Grey(img *image.NRGBA) []float32 {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	out := make([]float32, 0, w*h)
	for y := range h {
		line := img.Pix[img.PixOffset(img.Rect.Min.X, img.Rect.Min.Y+y):]
		for x := range w {
			r, g, b := int(line[4*x]), int(line[4*x+1]), int(line[4*x+2])
			out = append(out, float32((r*19595+g*38470+b*7471+1<<15)>>16)/255)
		}
	}
	return out
}
