package request

// DefaultFeather is the pixels that stand for a zero Outpaint.Feather.
const DefaultFeather = 32

// Outpaint makes a picture larger than init_image on some sides and paints what is new: the [outpaint] table. Its zero
// value is none of it; a zero field of another means what its default tag says.
type Outpaint struct {
	Left    int `json:"left,omitempty" key:"left" default:"0"`
	Right   int `json:"right,omitempty" key:"right" default:"0"`
	Top     int `json:"top,omitempty" key:"top" default:"0"`
	Bottom  int `json:"bottom,omitempty" key:"bottom" default:"0"`
	Feather int `json:"feather,omitempty" key:"feather" default:"32"`
}

// On reports whether a side grows.
func (o Outpaint) On() bool { return o.Left != 0 || o.Right != 0 || o.Top != 0 || o.Bottom != 0 }

// Paints reports whether a request repaints a part of a picture: inpainting or outpainting.
func (r Request) Paints() bool { return !r.MaskImage.IsZero() || r.Outpaint.On() }

func (r Request) validateOutpaint(c checker) {
	o := r.Outpaint
	if o == (Outpaint{}) {
		return
	}
	if !o.On() {
		c.fail("outpaint", "adds no pixels on any side; give left, right, top or bottom")
	}
	if r.InitImage.IsZero() {
		c.fail("outpaint", "there is no init_image to enlarge; give one")
	}
	if r.Width != 0 && r.Width <= o.Left+o.Right || r.Height != 0 && r.Height <= o.Top+o.Bottom {
		c.fail("outpaint", "leaves nothing of init_image in %d x %d; width and height are those of the enlarged picture", r.Width, r.Height)
	}
}
