package detect

import (
	"image"
	"math"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// grey fills what a picture leaves of its frame.
const grey = 114

// frame is where a picture lies in what the network sees: scaled so that its longest side fits, in the middle.
type frame struct {
	w, h           int // of all
	innerW, innerH int // of the scaled picture
	left, top      int // of it
	fromW, fromH   int // of the picture
}

// frameOf scales a picture of w x h to a longest side of size. The frame's sides are the next multiples.
func frameOf(w, h, size, multiple int) frame {
	scale := min(float64(size)/float64(h), float64(size)/float64(w))
	f := frame{fromW: w, fromH: h, innerW: max(rounded(float64(w)*scale), 1), innerH: max(rounded(float64(h)*scale), 1)}
	place := func(inner int) (all, before int) {
		rest := float64((size-inner)%multiple) / 2
		before = rounded(rest - 0.1)
		return inner + before + rounded(rest+0.1), before
	}
	f.w, f.left = place(f.innerW)
	f.h, f.top = place(f.innerH)
	return f
}

func rounded(v float64) int { return int(math.RoundToEven(v)) }

// back turns a box of the frame into one of the picture, as ultralytics does: it takes the scale and the border from the sizes alone.
func (f frame) back(b *Box) {
	gain := min(float64(f.h)/float64(f.fromH), float64(f.w)/float64(f.fromW))
	border := func(all, from int) float64 { return float64(rounded((float64(all)-float64(from)*gain)/2 - 0.1)) }
	x, y := border(f.w, f.fromW), border(f.h, f.fromH)
	within := func(v, border float64, most int) float64 { return min(max((v-border)/gain, 0), float64(most)) }
	b.Left, b.Right = within(b.Left, x, f.fromW), within(b.Right, x, f.fromW)
	b.Top, b.Bottom = within(b.Top, y, f.fromH), within(b.Bottom, y, f.fromH)
}

// pixels is the picture in its frame as [1, 3, h, w] in [0, 1].
func (f frame) pixels(img *image.NRGBA) backend.Tensor {
	t := backend.NewTensor(1, 3, f.h, f.w)
	for i := range t.Data {
		t.Data[i] = float32(grey) / 255
	}
	columns, rows := taps(f.innerW, f.fromW, true), taps(f.innerH, f.fromH, false)
	line := func(y int) []int32 { // a row of the picture at the frame's width, in parts of coefficients
		out := make([]int32, 3*f.innerW)
		for x, tap := range columns {
			a, b := img.PixOffset(img.Rect.Min.X+tap.at[0], img.Rect.Min.Y+y), img.PixOffset(img.Rect.Min.X+tap.at[1], img.Rect.Min.Y+y)
			for c := range 3 {
				out[3*x+c] = int32(img.Pix[a+c])*tap.weight[0] + int32(img.Pix[b+c])*tap.weight[1]
			}
		}
		return out
	}
	lines := map[int][]int32{} // two at a time
	for y, tap := range rows {
		for at := range lines {
			if at != tap.at[0] && at != tap.at[1] {
				delete(lines, at)
			}
		}
		for _, at := range tap.at {
			if lines[at] == nil {
				lines[at] = line(at)
			}
		}
		upper, lower := lines[tap.at[0]], lines[tap.at[1]]
		for x := range f.innerW {
			for c := range 3 {
				v := (tap.weight[0]*(upper[3*x+c]>>4))>>16 + (tap.weight[1]*(lower[3*x+c]>>4))>>16
				t.Data[(c*f.h+f.top+y)*f.w+f.left+x] = float32(uint8(min(max((v+2)>>2, 0), 255))) / 255
			}
		}
	}
	return t
}

// tap says which two pixels of an axis make one, and by how much, in parts of 2048: OpenCV scales bytes so, and detectors were trained on
// its pictures.
type tap struct {
	at     [2]int
	weight [2]int32
}

const whole = 2048

// taps scales an axis of from pixels to so many. At the ends columns take one pixel alone, and rows one twice.
func taps(to, from int, columns bool) []tap {
	out := make([]tap, to)
	scale := 1 / (float64(to) / float64(from))
	for i := range out {
		place := float32((float64(i)+0.5)*scale - 0.5)
		at := int(math.Floor(float64(place)))
		part := place - float32(at)
		if columns && (at < 0 || at >= from-1) {
			part = 0
		}
		second := int32(math.RoundToEven(float64(part * whole)))
		first := int32(math.RoundToEven(float64((1 - part) * whole)))
		inside := func(k int) int { return min(max(k, 0), from-1) }
		out[i] = tap{at: [2]int{inside(at), inside(at + 1)}, weight: [2]int32{first, second}}
	}
	return out
}
