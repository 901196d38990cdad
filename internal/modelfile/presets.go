package modelfile

// The dimensions of published models, from their configuration files.

// SDXLBase returns the dimensions of SDXL base 1.0; inChannels is 4, or 9 for the inpainting UNet.
func SDXLBase(inChannels int) Dims {
	return Dims{
		UNet: &UNetDims{
			InChannels: inChannels, OutChannels: 4, Channels: []int{320, 640, 1280}, Resnets: []int{2, 2, 2},
			DownDepth: [][]int{{0, 0}, {2, 2}, {10, 10}}, UpDepth: [][]int{{0, 0, 0}, {2, 2, 2}, {10, 10, 10}},
			MiddleResnets: 2, MiddleDepth: 10, ContextDim: 2048, LabelDim: 1280 + 6*256, TimeDim: 1280,
		},
		VAE:          SDXLVAE(),
		TextEncoder:  &TextDims{VocabSize: 49408, MaxTokens: 77, Width: 768, Layers: 12, Intermediate: 3072},
		TextEncoder2: bigG(),
	}
}

// SDXLRefiner returns the dimensions of SDXL refiner 1.0: the second text encoder only, five size ids.
func SDXLRefiner() Dims {
	return Dims{
		UNet: &UNetDims{
			InChannels: 4, OutChannels: 4, Channels: []int{384, 768, 1536, 1536}, Resnets: []int{2, 2, 2, 2},
			DownDepth: [][]int{{0, 0}, {4, 4}, {4, 4}, {0, 0}}, UpDepth: [][]int{{0, 0, 0}, {4, 4, 4}, {4, 4, 4}, {0, 0, 0}},
			MiddleResnets: 2, MiddleDepth: 4, ContextDim: 1280, LabelDim: 1280 + 5*256, TimeDim: 1536,
		},
		VAE:          SDXLVAE(),
		TextEncoder2: bigG(),
	}
}

// SDXLVAE returns the dimensions of SDXL's VAE.
func SDXLVAE() *VAEDims {
	ch := []int{128, 256, 512, 512}
	return &VAEDims{LatentChannels: 4, EncoderChannels: ch, DecoderChannels: ch, EncoderResnets: 2, DecoderResnets: 3,
		QuantConv: true, PostQuantConv: true}
}

func bigG() *TextDims {
	return &TextDims{VocabSize: 49408, MaxTokens: 77, Width: 1280, Layers: 32, Intermediate: 5120, ProjectionDim: 1280}
}

// NanoRefiner returns the dimensions of a very small SDXL refiner for models of Nano's dimensions: four levels with attention
// at the middle two, the second text encoder only, five size ids.
func NanoRefiner() Dims {
	base := Nano()
	return Dims{
		UNet: &UNetDims{
			InChannels: 4, OutChannels: 4, Channels: []int{32, 64, 128, 128}, Resnets: []int{2, 2, 2, 2},
			DownDepth: [][]int{{0, 0}, {1, 1}, {1, 1}, {0, 0}}, UpDepth: [][]int{{0, 0, 0}, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}},
			MiddleResnets: 2, MiddleDepth: 1, ContextDim: 64, LabelDim: 64 + 5*256, TimeDim: 128,
		},
		VAE:          base.VAE,
		TextEncoder2: base.TextEncoder2,
	}
}

// Nano returns the dimensions of a very small SDXL base like the embedded model's: heads of 64, width
// 64 for both text encoders. It is meant for tests.
func Nano() Dims {
	ch := []int{16, 32, 64, 64}
	text := TextDims{VocabSize: 49408, MaxTokens: 77, Width: 64, Layers: 3, Intermediate: 256}
	text2 := text
	text2.ProjectionDim = 64
	return Dims{
		UNet: &UNetDims{
			InChannels: 4, OutChannels: 4, Channels: []int{32, 64, 128}, Resnets: []int{2, 2, 2},
			DownDepth: [][]int{{0, 0}, {1, 1}, {1, 1}}, UpDepth: [][]int{{0, 0, 0}, {1, 1, 1}, {1, 1, 1}},
			MiddleResnets: 2, MiddleDepth: 1, ContextDim: 128, LabelDim: 64 + 6*256, TimeDim: 128,
		},
		VAE: &VAEDims{LatentChannels: 4, EncoderChannels: ch, DecoderChannels: ch, EncoderResnets: 1, DecoderResnets: 2,
			QuantConv: true, PostQuantConv: true},
		TextEncoder:  &text,
		TextEncoder2: &text2,
	}
}

// SDXLControlNet returns the dimensions of the published ControlNets for SDXL base.
func SDXLControlNet() Dims {
	u := *SDXLBase(4).UNet
	u.OutChannels, u.UpDepth = 0, nil
	return Dims{ControlNet: &ControlNetDims{UNet: u, HintChannels: []int{16, 16, 32, 32, 96, 96, 256}}}
}

// SDXLControlNetUnion returns the dimensions of the published Union ControlNet with six kinds of control.
func SDXLControlNetUnion() Dims {
	d := SDXLControlNet()
	d.ControlNet.HintChannels = []int{48, 48, 96, 96, 192, 192, 384}
	d.ControlNet.Types, d.ControlNet.FuseWidth, d.ControlNet.FuseLayers = 6, 320, 1
	return d
}

// SDXLTAESD returns the dimensions of TAESD-XL.
func SDXLTAESD() Dims {
	return Dims{TAESD: &TAESDDims{LatentChannels: 4, Channels: 64, EncoderBlocks: []int{1, 3, 3, 3}, DecoderBlocks: []int{3, 3, 3, 1}}}
}

// ESRGANx4 returns the dimensions of the published four-times ESRGAN and Real-ESRGAN models.
func ESRGANx4() Dims {
	return Dims{Upscaler: &UpscalerDims{InChannels: 3, Channels: 64, Growth: 32, Blocks: 23, Upsamplings: 2}}
}

// NanoControlNet returns the dimensions of a ControlNet for a UNet of Nano's.
func NanoControlNet() Dims {
	u := *Nano().UNet
	u.OutChannels, u.UpDepth = 0, nil
	return Dims{ControlNet: &ControlNetDims{UNet: u, HintChannels: []int{8, 8, 16, 16, 24, 24, 32}}}
}

// NanoControlNetUnion is NanoControlNet with six kinds of control.
func NanoControlNetUnion() Dims {
	d := NanoControlNet()
	d.ControlNet.Types, d.ControlNet.FuseWidth, d.ControlNet.FuseLayers = 6, 32, 1
	return d
}
