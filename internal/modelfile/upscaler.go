package modelfile

import (
	"fmt"
	"strings"
)

// UpscalerDims describes an ESRGAN generator (RRDBNet).
type UpscalerDims struct {
	InChannels  int `json:"in_channels"` // 3; 12 or 48 where the picture is folded by 2 or 4 first
	Channels    int `json:"channels"`    // 64
	Growth      int `json:"growth"`      // 32
	Blocks      int `json:"blocks"`      // 23
	Upsamplings int `json:"upsamplings"` // 2: four times as large
}

// firstESRGAN turns the names of ESRGAN's first publication into BasicSR's, and asFirstESRGAN turns them back.
var (
	firstESRGAN = strings.NewReplacer("RRDB_trunk.", "body.", ".RDB", ".rdb", "trunk_conv.", "conv_body.", "upconv1.", "conv_up1.",
		"upconv2.", "conv_up2.", "HRconv.", "conv_hr.")
	asFirstESRGAN = strings.NewReplacer("conv_body.", "trunk_conv.", "body.", "RRDB_trunk.", ".rdb", ".RDB", "conv_up1.", "upconv1.",
		"conv_up2.", "upconv2.", "conv_hr.", "HRconv.")
)

func locateUpscaler(t *table) *part {
	for name := range t.tensors {
		if strings.Contains(name, "RRDB_trunk.") {
			t.rename(firstESRGAN.Replace, asFirstESRGAN.Replace)
			break
		}
	}
	return probe(t, "upscaler", prefixes["upscaler"], "model.1.sub.0.RDB1.conv1.0.weight", "body.0.rdb1.conv1.weight")
}

func seekUpscaler(t *table) *part {
	return t.lost("upscaler", true, prefixes["upscaler"], LayoutOriginal, LayoutDiffusers)
}

func (u *UpscalerDims) lacks() string {
	if u.Channels == 0 || u.Growth == 0 {
		return "its first convolution"
	}
	return ""
}

// specs has BasicSR's names, or those of ESRGAN's older, sequential form as the original layout.
func (u *UpscalerDims) specs(b *specs) {
	c := u.Channels
	b.conv(b.pick("model.0", "conv_first"), RoleWeight, u.InChannels, c, 3)
	for i := range u.Blocks {
		for k := 1; k <= 3; k++ {
			for j := 1; j <= 5; j++ {
				out, role := u.Growth, RoleWeight
				if j == 5 {
					out, role = c, RoleResidual
				}
				b.conv(b.denseConv(i, k, j), role, c+(j-1)*u.Growth, out, 3)
			}
		}
	}
	b.conv(b.pick(fmt.Sprintf("model.1.sub.%d", u.Blocks), "conv_body"), RoleResidual, c, c, 3)
	for i := 1; i <= u.Upsamplings; i++ {
		b.conv(b.pick(fmt.Sprintf("model.%d", 3*i), fmt.Sprintf("conv_up%d", i)), RoleWeight, c, c, 3)
	}
	b.conv(b.pick(fmt.Sprintf("model.%d", 3*u.Upsamplings+2), "conv_hr"), RoleWeight, c, c, 3)
	b.conv(b.pick(fmt.Sprintf("model.%d", 3*u.Upsamplings+4), "conv_last"), RoleOut, c, 3, 3)
}

func (b *specs) denseConv(block, dense, conv int) pair {
	return b.pick(fmt.Sprintf("model.1.sub.%d.RDB%d.conv%d.0", block, dense, conv), fmt.Sprintf("body.%d.rdb%d.conv%d", block, dense, conv))
}

func inferUpscaler(p *part) *UpscalerDims {
	b := p.names()
	first := b.pick("model.0", "conv_first").file
	u := &UpscalerDims{InChannels: p.told(first+".weight", 1)}
	if b.diffusers {
		u.Blocks = p.numbered("body", 4*maxBlocks)
		for u.Upsamplings < maxLevels && p.under(fmt.Sprintf("conv_up%d", u.Upsamplings+1), fmt.Sprintf("conv_up%d", u.Upsamplings+2)) {
			u.Upsamplings++
		}
	} else {
		u.Blocks = p.numbered("model.1.sub", 4*maxBlocks) - 1 // the last is the convolution behind them
		u.Upsamplings = min(max(0, p.numbered("model", 4*maxBlocks)-5)/3, maxLevels)
	}
	u.Blocks = max(u.Blocks, 1)
	widths := []side{{first + ".weight", 0}, {first + ".bias", 0}}
	var growth []side
	for i := range u.Blocks {
		for k := 1; k <= 3; k++ {
			widths = append(widths, side{b.denseConv(i, k, 1).file + ".weight", 1}, side{b.denseConv(i, k, 5).file + ".weight", 0})
			growth = append(growth, side{b.denseConv(i, k, 1).file + ".weight", 0}, side{b.denseConv(i, k, 1).file + ".bias", 0})
		}
	}
	u.Channels, u.Growth = p.agreed(widths...), p.agreed(growth...)
	return u
}
