package memory

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Fit is what Fitted goes by for the graphs of one owner.
type Fit struct {
	Dims           modelfile.Dims
	HeadDim        int  // of the UNet's attention; 0: 64
	FlashAttention bool // no scores are kept in memory
}

// Fitted returns a Compute that needs no backend. Its formulas are what the buffers of a CPU were found to be, in floats per latent cell,
// pixel or token; tests hold them to FitError against the backend. tile says how large the tiles of a picture are, in latent cells.
//
// They are the moments in which most is alive at once: in a UNet the last resnets of the way up, where the skips have arrived, or the
// attention of the first level that has any; in a VAE the last level, which has the picture's size and twice the channels when it begins.
func Fitted(fits map[string]Fit, tile func(height, width int) (int, int)) Compute {
	return func(q Query) (int64, error) {
		f, ok := fits[q.Owner]
		if !ok {
			return 0, fmt.Errorf("%w: nothing is known of %q", ErrNotMeasured, q.Owner)
		}
		n, ok := f.floats(q, tile)
		if !ok {
			return 0, fmt.Errorf("%w: stage %d of %q", ErrNotMeasured, q.Stage, q.Owner)
		}
		return 4 * n, nil
	}
}

// FitError is by how much of the true size Fitted may be wrong, for buffers from 256 px up. The constants are those of convolutions that
// pack nothing; kernels that do (on AVX2 pictures in F32, with AMX in BF16) take more or less, which no header tells.
const FitError = 0.35

// Floats alive at once; see Fitted.
const (
	fitUNet          = 11.5 // times the channels of the first level, per cell
	fitShallow       = 6    // the same, where only the last resnets are computed
	fitAttention     = 14   // times the channels of the level, per token, where scores are kept
	fitXS            = 4    // a ControlNet-XS inside adds one part of so many
	fitRegions       = 3    // the same, for each text in a part of the picture: queries and results
	fitDecode        = 6.5  // times the channels of the first level, per pixel
	fitDecodeLevels  = 5.5625
	fitEncode        = 3
	fitMiddle        = 5 // times the channels of the last level, per cell
	fitTAESDDecode   = 3.25
	fitText          = 11  // times the width, per token
	fitDetector      = 3.5 // times the channels of the first stage, per pixel; generous, not fitted: the test does not hold it to FitError
	fitUpscale       = 3   // times the channels, per pixel of the enlarged tile
	fitUpscaleTile   = 256
	fitSlicedScores  = 64 << 20
	fitTextConstants = 77*77 + 1024
)

func (f Fit) floats(q Query, tile func(int, int) (int, int)) (int64, bool) {
	n, h, w := int64(max(q.Batch, 1)), int64(q.Height), int64(q.Width)
	d := f.Dims
	switch {
	case q.Stage == backend.StageText && d.TextEncoder != nil:
		return n*tokensPerChunk*int64(d.TextEncoder.Width)*fitText + fitTextConstants, true
	case q.Stage == backend.StageText2 && d.TextEncoder2 != nil:
		return n*tokensPerChunk*int64(d.TextEncoder2.Width)*fitText + fitTextConstants, true
	case q.Stage == backend.StageUNet && d.UNet != nil:
		n := f.unet(*d.UNet, q)
		if q.XS != "" {
			n += n / fitXS
		}
		return n, true
	case q.Stage == backend.StageFeatures && d.UNet != nil:
		return f.features(*d.UNet, q), true
	case q.Stage == backend.StageControlHint && d.ControlNet != nil && d.ControlNet.T2IAdapter != nil:
		a := d.ControlNet.T2IAdapter
		return n * h * w * int64(2*64*max(a.Picture, 1)+a.Channels[0]), true // the pixels twice, and four of the first blocks' cells
	case q.Stage == backend.StageControl && d.ControlNet != nil:
		return f.unet(d.ControlNet.UNet, q) + int64(q.Kinds*d.ControlNet.UNet.Channels[0])*h*w, true
	case q.Stage == backend.StageControlHint && d.ControlNet != nil && d.ControlNet.XS != nil:
		return n * 64 * h * w * int64(3+2*d.ControlNet.XS.HintChannels[0]), true
	case q.Stage == backend.StageControlHint && d.ControlNet != nil && len(d.ControlNet.HintChannels) > 0:
		return n * 64 * h * w * int64(3+2*d.ControlNet.HintChannels[0]), true
	case q.Stage == backend.StageImageEncode && d.ImageEncoder != nil:
		return n * int64(d.ImageEncoder.Tokens) * int64(d.ImageEncoder.Width) * fitText, true
	case q.Stage == backend.StageIPAdapter && d.IPAdapter != nil:
		return f.ipAdapter(*d.IPAdapter, q), true
	case q.Stage == backend.StageUpscale && d.Upscaler != nil:
		return n * min(h, fitUpscaleTile) * min(w, fitUpscaleTile) * int64(d.Upscaler.Channels) << (2 * d.Upscaler.Upsamplings) * fitUpscale, true
	case q.Stage == backend.StageDetect && d.Detector != nil:
		return n * h * w * int64(fitDetector*float64(d.Detector.Widths[0])), true
	case q.Stage == backend.StageVAEDecode && d.TAESD != nil:
		return int64(fitTAESDDecode * float64(d.TAESD.Channels) * float64(64*n*h*w)), true
	case q.Stage == backend.StageVAEEncode && d.TAESD != nil:
		return n * 64 * h * w * int64(3*d.TAESD.Channels+3), true
	case q.Stage == backend.StageVAEDecode && d.VAE != nil && len(d.VAE.DecoderChannels) > 0:
		return f.vae(d.VAE.DecoderChannels, q, tile, true), true
	case q.Stage == backend.StageVAEEncode && d.VAE != nil && len(d.VAE.EncoderChannels) > 0:
		return f.vae(d.VAE.EncoderChannels, q, tile, false), true
	}
	return 0, false
}

// ipAdapter is the results, which all stay until the end, and the resampler's layers.
func (f Fit) ipAdapter(a modelfile.IPAdapterDims, q Query) int64 {
	values := 0
	for _, c := range a.Layers {
		values += 2 * c
	}
	return int64(max(q.Batch, 1)) * int64(a.Tokens*values+(q.ImageTokens+a.Tokens)*(a.EmbedDim+4*a.Hidden))
}

// unet is the larger of the way up and the first attention.
func (f Fit) unet(u modelfile.UNetDims, q Query) int64 {
	cells := int64(q.Height) * int64(q.Width)
	c := int64(u.Channels[0])
	inputs, regional := int64(u.LabelDim)+c, int64(0)
	texts := int64(cmp.Or(q.Texts, max(q.Batch, 1))) * int64(q.Tokens) * int64(u.ContextDim)
	most := int64(fitUNet*float64(c))*cells + int64(u.InChannels)*cells
	h, w := int64(q.Height), int64(q.Width)
	for l, depths := range u.DownDepth {
		if !f.FlashAttention && len(depths) > 0 && depths[0] > 0 {
			tokens, width := h*w, int64(u.Channels[l])
			scores := width / int64(cmp.Or(f.HeadDim, 64)) * tokens * tokens
			if q.AttentionSlicing {
				scores = min(scores, fitSlicedScores/4)
			}
			most = max(most, scores+fitAttention*width*tokens+int64(u.InChannels)*cells)
		}
		if len(depths) > 0 && depths[0] > 0 {
			regional = max(regional, fitRegions*int64(u.Channels[l])*h*w*int64(q.Regions.Count*q.Regions.Rows))
		}
		h, w = (h+1)/2, (w+1)/2
	}
	return max(int64(max(q.Batch, 1))*(most+inputs), regional) + texts + f.blocks(u, q)
}

// blocks are what T2I-Adapters add, which is an input of the UNet.
func (f Fit) blocks(u modelfile.UNetDims, q Query) int64 {
	info := backend.UNetInfo{Channels: u.Channels}
	for _, depths := range u.DownDepth {
		info.TransformerDepth = append(info.TransformerDepth, slices.Max(append([]int{0}, depths...)))
	}
	return int64(q.BlockRows) * int64(info.BlockCount(q.Height, q.Width))
}

// features are what a UNet keeps. Beside a deep feature there is the buffer of a second graph, which ends as the whole one does.
func (f Fit) features(u modelfile.UNetDims, q Query) (n int64) {
	h, w := int64(q.Height), int64(q.Width)
	last := len(u.Channels) - 1
	for l, channels := range u.Channels {
		if q.Keep == backend.KeepDeep && q.Branch <= u.Resnets[l] {
			rows, wide := int64(max(q.Batch, 1)), int64(channels)
			if q.Branch == u.Resnets[l] { // it comes from the level below
				wide = int64(u.Channels[min(l+1, last)])
			}
			switch {
			case q.Use == backend.FeaturesStore:
				return rows * wide * h * w
			case l > 0:
				return rows*wide*h*w + f.unet(u, q)
			case q.Branch < u.Resnets[0]:
				return rows * (wide + fitShallow*int64(channels)) * h * w
			}
			f.FlashAttention = true // the first level has no attention
			return rows*wide*h*w + f.unet(u, q)
		}
		q.Branch -= u.Resnets[l] + 1
		blocks := 0
		for _, depths := range [][]int{u.DownDepth[l], u.UpDepth[l]} {
			for _, depth := range depths {
				blocks += depth
			}
		}
		if l == last {
			blocks += u.MiddleDepth
		}
		n += int64(blocks) * int64(channels) * h * w
		h, w = (h+1)/2, (w+1)/2
	}
	return int64(max(q.Batch, 1)) * n
}

// vae is the larger of the last level and the middle, whose attention sees the whole picture.
func (f Fit) vae(channels []int, q Query, tile func(int, int) (int, int), decode bool) int64 {
	n, cells := int64(1), int64(q.Height)*int64(q.Width)
	if q.Together {
		n = int64(max(q.Batch, 1))
	}
	first, last := float64(channels[0]), int64(channels[len(channels)-1])
	unit := int64(1) << (len(channels) - 1)
	middle := fitMiddle*last + 8
	if !f.FlashAttention {
		scores := cells * cells
		if q.AttentionSlicing {
			scores = min(scores, fitSlicedScores/4)
		}
		middle += scores / max(cells, 1)
	}
	levels := fitDecode * first
	if !decode {
		levels = fitEncode*first + 3
	}
	area := cells
	if q.Tiled {
		h, w := tile(q.Height, q.Width)
		area = int64(h) * int64(w)
		if decode {
			levels = fitDecodeLevels * first
		}
	}
	return n * max(cells*middle, int64(levels*float64(area*unit*unit)))
}
