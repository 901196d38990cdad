package modelfile

import (
	"fmt"
	"slices"
)

// fullLayers are the layers of SDXL's text encoders, by their widths.
var fullLayers = map[int]int{768: 12, 1280: 32}

// layerWarnings warns of a text encoder that is as wide as SDXL's but has another number of layers, and of a level of the UNet that has
// attention behind some of its blocks only. A file with whole layers missing looks like a smaller model; no tensor shows the difference.
func (d Dims) layerWarnings() (out []string) {
	for i, t := range []*TextDims{d.TextEncoder, d.TextEncoder2} {
		if t != nil && fullLayers[t.Width] > 0 && t.Layers != fullLayers[t.Width] {
			out = append(out, fmt.Sprintf("the %s text encoder has %d layers, but SDXL's encoder with %d channels has %d: pictures will differ",
				[]string{"first", "second"}[i], t.Layers, t.Width, fullLayers[t.Width]))
		}
	}
	if u := d.UNet; u != nil {
		for l := range u.DownDepth {
			depths := slices.Concat(u.DownDepth[l], u.UpDepth[l])
			if without := count(depths, 0); without > 0 && without < len(depths) {
				out = append(out, fmt.Sprintf("%d of the %d blocks on level %d of the UNet have no attention, the others have one: "+
					"if the file lacks it, pictures will differ", without, len(depths), l))
			}
		}
	}
	return out
}

func count(list []int, value int) (n int) {
	for _, v := range list {
		if v == value {
			n++
		}
	}
	return n
}
