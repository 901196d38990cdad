package modelfile

import "fmt"

// Layout names a convention for tensor names.
type Layout string

// The layouts. LayoutOriginal is that of Stability AI's generative-models (input_blocks, OpenCLIP's
// resblocks); LayoutDiffusers is that of diffusers and transformers.
const (
	LayoutOriginal  Layout = "original"
	LayoutDiffusers Layout = "diffusers"
	LayoutMixed     Layout = "mixed"
	LayoutKohya     Layout = "kohya" // of LoRA files
)

// Role says what a tensor does, which is what its initial values depend on.
type Role int

// The roles.
const (
	RoleWeight      Role = iota // a matrix or convolution kernel
	RoleResidual                // the last matrix of a residual branch
	RoleOut                     // the model's last convolution
	RoleBias                    // zero at first
	RoleNorm                    // a norm's gain, one at first
	RoleEmbedding               // token embeddings
	RolePosition                // position embeddings
	RoleLogitScale              // OpenCLIP's temperature, a scalar SDXL does not use
	RolePositionIDs             // 0, 1, 2, ... as I64
)

// Spec is a tensor that an architecture has.
type Spec struct {
	Component string // "unet", "vae", "text_encoder", "text_encoder_2", "controlnet", "taesd", "upscaler"
	Name      string // without the component's prefix
	Shape     []int64
	Role      Role
	Optional  bool     // not needed to compute
	Aliases   []string // other names under which it occurs
}

// FanIn returns the number of inputs of one output: the product of all dimensions but the first.
func (s Spec) FanIn() int64 {
	if len(s.Shape) < 2 {
		return 1
	}
	n, _ := product(s.Shape[1:])
	return n
}

// Dims holds every dimension of a model; absent components are nil.
type Dims struct {
	UNet         *UNetDims `json:"unet,omitempty"`
	VAE          *VAEDims  `json:"vae,omitempty"`
	TextEncoder  *TextDims `json:"text_encoder,omitempty"`
	TextEncoder2 *TextDims `json:"text_encoder_2,omitempty"`

	ControlNet *ControlNetDims `json:"controlnet,omitempty"`
	TAESD      *TAESDDims      `json:"taesd,omitempty"`
	Upscaler   *UpscalerDims   `json:"upscaler,omitempty"`
}

// UNetDims describes an SDXL UNet. Levels are counted from the highest resolution.
type UNetDims struct {
	InChannels    int     `json:"in_channels"` // 4; 9 for inpainting
	OutChannels   int     `json:"out_channels"`
	Channels      []int   `json:"channels"`            // per level: 320 640 1280
	Resnets       []int   `json:"resnets"`             // per level on the way down; one more on the way up
	DownDepth     [][]int `json:"down_depth"`          // transformer blocks behind each resnet; 0: no attention
	UpDepth       [][]int `json:"up_depth"`            // the same on the way up, by level (not by order of execution)
	MiddleResnets int     `json:"middle_resnets"`      // 2
	MiddleDepth   int     `json:"middle_depth"`        // 0: no attention
	ContextDim    int     `json:"context_dim"`         // 2048
	LabelDim      int     `json:"label_dim,omitempty"` // pooled + 256 x size ids; 0: no label embedding (SD 1.x, 2.x)
	TimeDim       int     `json:"time_dim"`            // of the time embedding: 4 x channels[0]
	ConvAttention bool    `json:"conv_proj,omitempty"` // proj_in and proj_out are 1x1 convolutions (SD 1.x)
}

// VAEDims describes an AutoencoderKL. Channels are in the encoder's order for both halves; a half
// without channels is absent.
type VAEDims struct {
	LatentChannels  int   `json:"latent_channels"`
	EncoderChannels []int `json:"encoder_channels"` // 128 256 512 512
	DecoderChannels []int `json:"decoder_channels"`
	EncoderResnets  int   `json:"encoder_resnets"` // per level: 2
	DecoderResnets  int   `json:"decoder_resnets"` // per level: 3
	QuantConv       bool  `json:"quant_conv"`
	PostQuantConv   bool  `json:"post_quant_conv"`
}

// TextDims describes a CLIP text encoder.
type TextDims struct {
	VocabSize     int `json:"vocab_size"` // 49408
	MaxTokens     int `json:"max_tokens"` // 77
	Width         int `json:"width"`
	Layers        int `json:"layers"`
	Intermediate  int `json:"intermediate_size"` // 4 x width
	ProjectionDim int `json:"projection_dim"`    // 0: no projection
}

// Specs lists every tensor of one component in the given layout, in the order of the computation, or
// nil if the model has no such component.
func (d Dims) Specs(component string, layout Layout) []Spec {
	b := &specs{component: component, diffusers: layout == LayoutDiffusers}
	switch {
	case component == "unet" && d.UNet != nil:
		b.unet(d.UNet)
	case component == "vae" && d.VAE != nil:
		b.vae(d.VAE)
	case component == "controlnet" && d.ControlNet != nil:
		b.controlNet(d.ControlNet)
	case component == "taesd" && d.TAESD != nil:
		b.taesd(d.TAESD)
	case component == "upscaler" && d.Upscaler != nil:
		b.upscaler(d.Upscaler)
	case component == "text_encoder" && d.TextEncoder != nil:
		b.clip(d.TextEncoder, layout)
	case component == "text_encoder_2" && d.TextEncoder2 != nil && b.diffusers:
		b.clip(d.TextEncoder2, layout)
	case component == "text_encoder_2" && d.TextEncoder2 != nil:
		b.openCLIP(d.TextEncoder2)
	}
	return b.list
}

// specs collects tensors; the helpers take the name in the original and in diffusers' layout.
type specs struct {
	component string
	diffusers bool
	list      []Spec
}

func (b *specs) pick(original, diffusers string) string {
	if b.diffusers {
		return diffusers
	}
	return original
}

func (b *specs) add(name string, role Role, shape ...int) *Spec {
	s := Spec{Component: b.component, Name: name, Role: role, Shape: make([]int64, len(shape))}
	for i, d := range shape {
		s.Shape[i] = int64(d)
	}
	b.list = append(b.list, s)
	return &b.list[len(b.list)-1]
}

func (b *specs) norm(name string, width int) {
	b.add(name+".weight", RoleNorm, width)
	b.add(name+".bias", RoleBias, width)
}

func (b *specs) linear(name string, role Role, in, out int) {
	b.add(name+".weight", role, out, in)
	b.add(name+".bias", RoleBias, out)
}

func (b *specs) conv(name string, role Role, in, out, kernel int) {
	b.add(name+".weight", role, out, in, kernel, kernel)
	b.add(name+".bias", RoleBias, out)
}

// Names inside the UNet. n counts input or output blocks from 0 as the original layout does.
func (b *specs) downNames(l, i, n int) (res, attn string) {
	return b.pick(fmt.Sprintf("input_blocks.%d.0", n), fmt.Sprintf("down_blocks.%d.resnets.%d", l, i)),
		b.pick(fmt.Sprintf("input_blocks.%d.1", n), fmt.Sprintf("down_blocks.%d.attentions.%d", l, i))
}

func (b *specs) downsample(l, n int) string {
	return b.pick(fmt.Sprintf("input_blocks.%d.0.op", n), fmt.Sprintf("down_blocks.%d.downsamplers.0.conv", l))
}

func (b *specs) upNames(k, i, n int) (res, attn string) {
	return b.pick(fmt.Sprintf("output_blocks.%d.0", n), fmt.Sprintf("up_blocks.%d.resnets.%d", k, i)),
		b.pick(fmt.Sprintf("output_blocks.%d.1", n), fmt.Sprintf("up_blocks.%d.attentions.%d", k, i))
}

func (b *specs) resConv1(res string) string { return res + b.pick(".in_layers.2", ".conv1") }

func (b *specs) resnet(name string, in, out, time int) {
	b.norm(name+b.pick(".in_layers.0", ".norm1"), in)
	b.conv(b.resConv1(name), RoleWeight, in, out, 3)
	b.linear(name+b.pick(".emb_layers.1", ".time_emb_proj"), RoleWeight, time, out)
	b.norm(name+b.pick(".out_layers.0", ".norm2"), out)
	b.conv(name+b.pick(".out_layers.3", ".conv2"), RoleResidual, out, out, 3)
	if in != out {
		b.conv(name+b.pick(".skip_connection", ".conv_shortcut"), RoleWeight, in, out, 1)
	}
}

// transformer is SpatialTransformer / Transformer2DModel; its inner names are the same in both layouts.
func (b *specs) transformer(name string, u *UNetDims, ch, depth int) {
	b.norm(name+".norm", ch)
	proj := func(part string, role Role) {
		if u.ConvAttention {
			b.conv(name+part, role, ch, ch, 1)
		} else {
			b.linear(name+part, role, ch, ch)
		}
	}
	proj(".proj_in", RoleWeight)
	for d := range depth {
		t := fmt.Sprintf("%s.transformer_blocks.%d", name, d)
		for attn, context := range []int{ch, u.ContextDim} {
			a := fmt.Sprintf("%s.attn%d", t, attn+1)
			b.add(a+".to_q.weight", RoleWeight, ch, ch)
			b.add(a+".to_k.weight", RoleWeight, ch, context)
			b.add(a+".to_v.weight", RoleWeight, ch, context)
			b.linear(a+".to_out.0", RoleResidual, ch, ch)
		}
		b.linear(t+".ff.net.0.proj", RoleWeight, ch, 8*ch) // GEGLU: value and gate
		b.linear(t+".ff.net.2", RoleResidual, 4*ch, ch)
		b.norm(t+".norm1", ch)
		b.norm(t+".norm2", ch)
		b.norm(t+".norm3", ch)
	}
	proj(".proj_out", RoleResidual)
}

func (b *specs) unet(u *UNetDims) {
	last := len(u.Channels) - 1
	ch, skips := b.unetDown(u)
	b.middle(u, ch)
	n := 0
	for l := last; l >= 0; l-- {
		for i := range u.Resnets[l] + 1 {
			res, attn := b.upNames(last-l, i, n)
			skip := skips[len(skips)-1]
			skips = skips[:len(skips)-1]
			b.resnet(res, ch+skip, u.Channels[l], u.TimeDim)
			ch = u.Channels[l]
			up := 1
			if depth := u.UpDepth[l][i]; depth > 0 {
				b.transformer(attn, u, ch, depth)
				up = 2
			}
			if i == u.Resnets[l] && l > 0 {
				b.conv(b.pick(fmt.Sprintf("output_blocks.%d.%d.conv", n, up), fmt.Sprintf("up_blocks.%d.upsamplers.0.conv", last-l)), RoleWeight, ch, ch, 3)
			}
			n++
		}
	}
	b.norm(b.pick("out.0", "conv_norm_out"), ch)
	b.conv(b.pick("out.2", "conv_out"), RoleOut, ch, u.OutChannels, 3)
}

// unetDown is everything before the middle. It returns the channels at its end and of every skip connection.
func (b *specs) unetDown(u *UNetDims) (ch int, skips []int) {
	base, last := u.Channels[0], len(u.Channels)-1
	b.linear(b.pick("time_embed.0", "time_embedding.linear_1"), RoleWeight, base, u.TimeDim)
	b.linear(b.pick("time_embed.2", "time_embedding.linear_2"), RoleWeight, u.TimeDim, u.TimeDim)
	if u.LabelDim > 0 {
		b.linear(b.pick("label_emb.0.0", "add_embedding.linear_1"), RoleWeight, u.LabelDim, u.TimeDim)
		b.linear(b.pick("label_emb.0.2", "add_embedding.linear_2"), RoleWeight, u.TimeDim, u.TimeDim)
	}
	b.conv(b.pick("input_blocks.0.0", "conv_in"), RoleWeight, u.InChannels, base, 3)
	n := 1
	ch, skips = base, []int{base}
	for l, out := range u.Channels {
		for i := range u.Resnets[l] {
			res, attn := b.downNames(l, i, n)
			b.resnet(res, ch, out, u.TimeDim)
			ch = out
			if depth := u.DownDepth[l][i]; depth > 0 {
				b.transformer(attn, u, ch, depth)
			}
			skips = append(skips, ch)
			n++
		}
		if l < last {
			b.conv(b.downsample(l, n), RoleWeight, ch, ch, 3)
			skips = append(skips, ch)
			n++
		}
	}
	return ch, skips
}

func (b *specs) middle(u *UNetDims, ch int) {
	b.resnet(b.pick("middle_block.0", "mid_block.resnets.0"), ch, ch, u.TimeDim)
	next := 1
	if u.MiddleDepth > 0 {
		b.transformer(b.pick("middle_block.1", "mid_block.attentions.0"), u, ch, u.MiddleDepth)
		next = 2
	}
	if u.MiddleResnets > 1 {
		b.resnet(b.pick(fmt.Sprintf("middle_block.%d", next), "mid_block.resnets.1"), ch, ch, u.TimeDim)
	}
}
