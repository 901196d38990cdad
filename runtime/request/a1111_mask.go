package request

// defaultMaskBlur is what A1111 takes for the one of mask_blur_x and mask_blur_y that is not given.
const defaultMaskBlur = 4

// mask takes what A1111 and diffusers say of masks in several keys that have one here.
func (f foreign) mask() {
	if !f.masked {
		return // none of it means anything
	}
	f.maskBlur()
	if on, _ := numberedSwitch(f.get("inpaintfullres")); on != true && f.get("inpaint") == nil {
		delete(f.in, f.keys["inpaintfullrespadding"])
	}
	if v := f.get("paddingmaskcrop"); v != nil && f.get("inpaintfullres") == nil {
		inner, _ := f.get("inpaint").(map[string]any)
		if snakeKeys(inner)["only_masked"] == nil {
			f.put(f.in, "inpaint.only_masked", moved{true, f.moved("paddingmaskcrop").path})
		}
	}
}

// maskBlur makes one number of the blur's two directions.
func (f foreign) maskBlur() {
	x, y := f.get("maskblurx"), f.get("maskblury")
	if x == nil && y == nil {
		return
	}
	if f.get("maskblur") != nil {
		delete(f.in, f.keys["maskblurx"])
		delete(f.in, f.keys["maskblury"])
		return
	}
	of := func(value any) float64 {
		if value == nil {
			return defaultMaskBlur
		}
		n, _ := number(value)
		return n
	}
	if of(x) != of(y) {
		name := "maskblurx"
		if x == nil {
			name = "maskblury"
		}
		f.errs.Add(f.moved(name).path, "%v across and %v down are two blurs, and a mask has one here; give mask_blur", of(x), of(y))
		delete(f.in, f.keys["maskblurx"])
	}
	if x != nil {
		delete(f.in, f.keys["maskblury"])
	}
}
