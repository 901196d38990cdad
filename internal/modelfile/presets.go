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
