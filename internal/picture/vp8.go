package picture

import "image"

// fromVP8 converts what a lossy WebP holds to red, green and blue, with the values that libwebp gives: BT.601 of limited range (black is
// 16, white 235), in libwebp's fixed point (yuv.h there). Go's own conversion of image.YCbCr is JPEG's, of full range. The chroma of a
// pixel is 9:3:3:1 of the four nearest samples, as libwebp's default ("fancy") upsampling computes it.
func fromVP8(m *image.YCbCr) *image.NRGBA {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	columns, rows := (w+1)/2, (h+1)/2
	for y := range h {
		luma := m.Y[y*m.YStride:]
		near, far := chromaAt(y, rows)
		near, far = near*m.CStride, far*m.CStride
		for x := range w {
			at, beside := chromaAt(x, columns)
			u := mixChroma(m.Cb[near+at], m.Cb[near+beside], m.Cb[far+at], m.Cb[far+beside])
			v := mixChroma(m.Cr[near+at], m.Cr[near+beside], m.Cr[far+at], m.Cr[far+beside])
			lit := int(luma[x]) * 19077 >> 8
			to := out.Pix[y*out.Stride+4*x:][:4]
			to[0] = clipVP8(lit + v*26149>>8 - 14234)
			to[1] = clipVP8(lit - u*6419>>8 - v*13320>>8 + 8708)
			to[2] = clipVP8(lit + u*33050>>8 - 17685)
			to[3] = 255
		}
	}
	return out
}

// chromaAt gives two samples along one axis: the one that a pixel is in, and its nearest neighbour. At the borders both are the same.
func chromaAt(i, samples int) (at, beside int) {
	at = i / 2
	beside = at - 1 + 2*(i%2)
	if beside < 0 || beside >= samples {
		beside = at
	}
	return at, beside
}

// mixChroma weighs the nearest sample by 9, its neighbours along both axes by 3, and the one across by 1, with libwebp's rounding.
func mixChroma(nearest, beside, below, across uint8) int {
	a, b, c, d := int(nearest), int(beside), int(below), int(across)
	return ((a+3*b+3*c+d+8)>>3 + a) >> 1
}

// clipVP8 drops the 6 bits of fraction.
func clipVP8(v int) uint8 { return uint8(min(max(v, 0), 1<<14-1) >> 6) }
