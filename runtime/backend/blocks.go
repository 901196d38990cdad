package backend

// BlockShapes lists what T2I-Adapters add to a UNet, each [channels, height, width]: one for each down block, one for the middle. The
// latents are h x w. As in diffusers, a block with attention takes it before it halves the size, another block after that.
func (u UNetInfo) BlockShapes(h, w int) [][3]int {
	var shapes [][3]int
	for l, c := range u.Channels {
		here := [3]int{c, h, w}
		if l+1 < len(u.Channels) {
			h, w = (h+1)/2, (w+1)/2
		}
		if l >= len(u.TransformerDepth) || u.TransformerDepth[l] == 0 {
			here = [3]int{c, h, w}
		}
		shapes = append(shapes, here)
	}
	if len(shapes) > 0 {
		shapes = append(shapes, [3]int{u.Channels[len(u.Channels)-1], h, w})
	}
	return shapes
}

// IsT2IAdapter reports whether the net is a T2I-Adapter. It is not evaluated in the steps: EncodeHint makes its features.
func (c ControlInfo) IsT2IAdapter() bool { return len(c.FeatureChannels) > 0 }

// IsXS reports whether the net is a ControlNet-XS. It is not evaluated by itself, but inside the UNet: UNetInput.XS.
func (c ControlInfo) IsXS() bool { return c.XSChannels > 0 }

// FeatureShapes lists the features that a T2I-Adapter makes of a picture of h x w pixels, each [channels, height, width].
func (c ControlInfo) FeatureShapes(h, w int) [][3]int {
	var shapes [][3]int
	for i, channels := range c.FeatureChannels {
		n := c.FeatureDownscale[i]
		shapes = append(shapes, [3]int{channels, (h + n - 1) / n, (w + n - 1) / n})
	}
	return shapes
}

// BlockCount is the number of values of BlockShapes.
func (u UNetInfo) BlockCount(h, w int) int { return valuesOf(u.BlockShapes(h, w)) }

// FeatureCount is the number of values of FeatureShapes.
func (c ControlInfo) FeatureCount(h, w int) int { return valuesOf(c.FeatureShapes(h, w)) }

func valuesOf(shapes [][3]int) (n int) {
	for _, s := range shapes {
		n += s[0] * s[1] * s[2]
	}
	return n
}
