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

// firstESRGAN turns the names of ESRGAN's first publication into BasicSR's.
var firstESRGAN = strings.NewReplacer("RRDB_trunk.", "body.", ".RDB", ".rdb", "trunk_conv.", "conv_body.", "upconv1.", "conv_up1.",
	"upconv2.", "conv_up2.", "HRconv.", "conv_hr.")

func locateUpscaler(t *table) *part {
	if probe(t, "upscaler", prefixes["upscaler"], "", "RRDB_trunk.0.RDB1.conv1.weight") != nil {
		t.rename(firstESRGAN.Replace)
	}
	return probe(t, "upscaler", prefixes["upscaler"], "model.1.sub.0.RDB1.conv1.0.weight", "body.0.rdb1.conv1.weight")
}

func (u *UpscalerDims) lacks() string {
	if u.Channels <= 0 || u.Growth <= 0 {
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
	first := b.pick("model.0.weight", "conv_first.weight").file
	u := &UpscalerDims{InChannels: p.dim(first, 1), Channels: p.dim(first, 0), Growth: p.dim(b.denseConv(0, 1, 1).file+".weight", 0)}
	for u.Blocks < 4*maxBlocks && p.has(b.denseConv(u.Blocks, 1, 1).file+".weight") {
		u.Blocks++
	}
	if b.diffusers {
		for u.Upsamplings < maxLevels && p.has(fmt.Sprintf("conv_up%d.weight", u.Upsamplings+1)) {
			u.Upsamplings++
		}
		return u
	}
	for u.Upsamplings < maxLevels && !p.has(fmt.Sprintf("model.%d.weight", 3*u.Upsamplings+2)) {
		u.Upsamplings++
	}
	return u
}
