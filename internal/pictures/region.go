package pictures

import (
	"image"
	"image/draw"

	"github.com/daguerre-go/daguerre/internal/picture"
)

// region is the part of a picture that is worked on where only what a mask marks is: all that is not black, with a border, widened to the
// proportions of width and height as far as the picture reaches. It is diffusers' get_crop_region. A black mask has no such part; it is all
// then.
func region(mask *image.Gray, width, height, border int) image.Rectangle {
	size := mask.Rect.Size()
	var marked image.Rectangle
	for y := range size.Y {
		for x := range size.X {
			if mask.Pix[y*mask.Stride+x] != 0 {
				marked = marked.Union(image.Rect(x, y, x+1, y+1))
			}
		}
	}
	if marked.Empty() {
		return mask.Rect
	}
	part := marked.Inset(-border).Intersect(mask.Rect)
	wanted := float64(width) / float64(height)
	if w, h := part.Dx(), part.Dy(); float64(w)/float64(h) > wanted {
		part.Min.Y, part.Max.Y = widen(part.Min.Y, part.Max.Y, int(float64(w)/wanted-float64(h)), size.Y)
	} else {
		part.Min.X, part.Max.X = widen(part.Min.X, part.Max.X, int(float64(h)*wanted-float64(w)), size.X)
	}
	return part
}

// widen makes a span longer by n, evenly at both ends as far as there is room within [0, end).
func widen(low, high, n, end int) (from, to int) {
	low, high = low-n/2, high+n-n/2
	if over := high - end; over > 0 {
		low, high = low-over, high-over
	}
	if low < 0 {
		low, high = 0, high-low
	}
	return low, min(high, end)
}

// inside is the largest size of a picture's proportions within width x height, and outside the smallest that covers it; rounded down.
func inside(img *image.NRGBA, width, height int) (w, h int) {
	return fitted(img.Rect.Dx(), img.Rect.Dy(), width, height, width*img.Rect.Dy() < img.Rect.Dx()*height)
}

func outside(img *image.NRGBA, width, height int) (w, h int) {
	return fitted(img.Rect.Dx(), img.Rect.Dy(), width, height, width*img.Rect.Dy() > img.Rect.Dx()*height)
}

// fitted keeps the width and follows with the height, or the other way round.
func fitted(ownWidth, ownHeight, width, height int, keepWidth bool) (w, h int) {
	if keepWidth {
		return width, max(ownHeight*width/ownWidth, 1)
	}
	return max(ownWidth*height/ownHeight, 1), height
}

// fit scales a picture to lie within width x height, and fills what is left beside it with its border, as diffusers' resize mode fill does.
func fit(img *image.NRGBA, width, height int) *image.NRGBA {
	w, h := inside(img, width, height)
	scaled := picture.Resize(img, w, h)
	left, top := width/2-w/2, height/2-h/2
	out := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			copy(out.Pix[out.PixOffset(x, y):][:4], edge(scaled, x-left, y-top))
		}
	}
	return out
}

// edge is a pixel of a picture. Beyond the border it is what Pillow makes of an empty box there: its cubic filter lies half a pixel beyond
// the border, and weighs the last two pixels with 9 to -1.
func edge(img *image.NRGBA, x, y int) []byte {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	nx, ny := min(max(x, 0), w-1), min(max(y, 0), h-1)
	at := img.Pix[img.PixOffset(nx, ny):][:4]
	if nx == x && ny == y {
		return at
	}
	next := img.Pix[img.PixOffset(min(max(nx+sign(nx-x), 0), w-1), min(max(ny+sign(ny-y), 0), h-1)):][:4]
	out := []byte{0, 0, 0, 255}
	for c := range 3 {
		out[c] = byte(min(max((9*int(at[c])-int(next[c])+4)>>3, 0), 255))
	}
	return out
}

func sign(n int) int { return min(max(n, -1), 1) }

// cover scales a picture to cover width x height, and cuts off evenly what is too much, as diffusers' resize mode crop does.
func cover(img *image.NRGBA, width, height int) *image.NRGBA {
	w, h := outside(img, width, height)
	scaled := picture.Resize(img, w, h)
	out := image.NewNRGBA(image.Rect(0, 0, width, height))
	draw.Draw(out, scaled.Rect.Add(image.Pt(width/2-w/2, height/2-h/2)), scaled, image.Point{}, draw.Src)
	return out
}
