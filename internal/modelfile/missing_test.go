//go:build !race

package modelfile

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is missing together is named too: levels, blocks, layers, pairs and halves. Each case removes the tensors of a pattern.
func TestWhatIsMissingTogetherIsNamed(t *testing.T) {
	const original, diffusers = LayoutOriginal, LayoutDiffusers
	for _, c := range []struct {
		preset, role string
		layout       Layout
		without      string // a regular expression
		names        string // what the error is to say; "": one of the tensors removed
	}{
		{"nano", "model", original, `input_blocks\.[78]\.`, ""},
		{"nano", "model", original, `input_blocks\.(6\.0\.op|[78]\.)`, "input_blocks."},
		{"nano", "model", diffusers, `unet\.down_blocks\.2\.`, ""},
		{"nano", "model", original, `output_blocks\.[678]\.`, ""},
		{"nano", "model", original, `output_blocks\.[012]\.`, ""},
		{"nano", "model", diffusers, `unet\.up_blocks\.2\.`, ""},
		{"nano", "model", diffusers, `unet\.up_blocks\.0\.`, ""},
		{"nano", "model", original, `input_blocks\.3\.0\.op`, ""},
		{"nano", "model", diffusers, `down_blocks\.0\.downsamplers`, ""},
		{"nano", "model", original, `output_blocks\.2\.2\.conv`, ""},
		{"nano", "model", diffusers, `up_blocks\.0\.upsamplers`, ""},
		{"nano", "model", original, `input_blocks\.5\.`, ""},
		{"nano", "model", diffusers, `unet\.down_blocks\.1\.(resnets|attentions)\.1\.`, ""},
		{"nano", "model", original, `middle_block\.0`, ""},
		{"nano", "model", original, `middle_block\.1\.`, "middle_block.1"},
		{"nano", "model", original, `middle_block\.2`, ""},
		{"nano", "model", original, `middle_block`, ""},
		{"nano", "model", original, `first_stage_model\.quant_conv`, ""},
		{"nano", "model", diffusers, `post_quant_conv`, ""},
		{"nano", "model", diffusers, `mid_block\.resnets\.1`, ""},
		{"nano", "model", diffusers, `unet\.mid_block`, ""},
		{"nano", "model", original, `transformer_blocks\.0\.norm1`, ""},
		{"nano", "model", original, `attn2\.to_[kv]`, ""},
		{"nano", "model", original, `middle_block\.1\.transformer_blocks`, "middle_block.1"}, // norm and projections are left over
		{"nano", "model", original, `input_blocks\.[1245]\.0\.in_layers\.2`, ""},
		{"nano", "model", original, `in_layers\.2`, ""},
		{"nano", "model", original, `(in_layers|out_layers|emb_layers)`, ""},
		{"nano", "model", original, `model\.diffusion_model\.(input_blocks\.[1-9]|middle|output|time|out)`, ""},
		{"nano", "model", original, `model\.diffusion_model\.(input_blocks\.[1-9]|middle|output|time|label|out)`, "without size conditioning"},
		{"nano", "model", original, `label_emb`, "without size conditioning"},
		{"nano", "model", original, `time_embed`, ""},
		{"nano", "model", original, `diffusion_model.*\.bias`, ""},
		{"nano", "model", diffusers, `time_embedding`, ""},
		{"nano", "model", diffusers, `add_embedding\.linear_1`, ""},
		{"nano", "model", diffusers, `unet\.conv_in`, ""},
		{"nano", "model", diffusers, `unet\.conv_out`, ""},
		{"nano-refiner", "model", original, `input_blocks\.(9|10|11)\.`, ""},
		{"nano-refiner", "model", original, `input_blocks\.1[01]\.`, ""},
		{"nano-refiner", "model", original, `embedders\.1.*resblocks\.1\.`, ""},
		{"nano", "model", original, `text_model\.encoder\.layers\.1\.`, ""},
		{"nano", "model", original, `text_model\.encoder\.layers\.0\.`, ""},
		{"nano", "model", original, `layer_norm1`, ""},
		{"nano", "model", original, `text_model\.embeddings`, ""},
		{"nano", "model", original, `resblocks\..\.ln_1`, ""},
		{"nano", "model", original, `embedders\.1.*(token|positional)_embedding`, ""},
		{"nano-controlnet", "controlnet", original, `zero_convs\.4\.`, ""},
		{"nano-controlnet", "controlnet", original, `zero_convs\.8\.`, ""},
		{"nano-controlnet", "controlnet", diffusers, `controlnet_down_blocks\.4\.`, ""},
		{"nano-controlnet", "controlnet", diffusers, `controlnet_mid_block`, ""},
		{"nano-controlnet", "controlnet", original, `input_hint_block\.0\.`, ""},
		{"nano-controlnet", "controlnet", original, `input_hint_block\.8\.`, ""},
		{"nano-controlnet", "controlnet", diffusers, `controlnet_cond_embedding\.blocks\.3`, ""},
		{"nano-controlnet", "controlnet", diffusers, `controlnet_cond_embedding\.conv_out`, ""},
		{"nano-controlnet", "controlnet", diffusers, `down_blocks\.2\.(resnets|attentions)`, ""},
		{"nano-controlnet-union", "controlnet", diffusers, `task_embedding|spatial_ch`, ""},
		{"nano-controlnet-union", "controlnet", diffusers, `transformer_layes`, ""},
		{"nano-t2i-adapter", "controlnet", original, `conv_in`, ""},
		{"nano-t2i-adapter", "controlnet", original, `body\.0\.`, ""},
		{"nano-t2i-adapter", "controlnet", original, `body\.[67]\.block2`, ""},
		{"nano-t2i-adapter", "controlnet", diffusers, `body\.1\.in_conv`, ""},
		{"nano-t2i-adapter", "controlnet", diffusers, `block1\.bias`, ""},
		{"nano-controlnet-xs", "controlnet", diffusers, `control_to_base_for_conv_in`, ""},
		{"nano-controlnet-xs", "controlnet", diffusers, `^conv_in`, ""},
		{"nano-controlnet-xs", "controlnet", diffusers, `up_connections\.0\.`, ""},
		{"nano-controlnet-xs", "controlnet", diffusers, `down_blocks\.1\.(base_to_ctrl|ctrl_to_base)`, ""},
		{"nano-controlnet-xs", "controlnet", diffusers, `down_blocks\.2\.resnets\.1\.`, ""},
		{"nano-controlnet-xs-time", "controlnet", diffusers, `time_embedding\.linear_2`, ""},
		{"vae", "vae", original, `encoder\.down\.0\.block\.0\.conv1`, ""},
		{"vae", "vae", original, `decoder\.up\.3\.block\.0\.conv1`, ""},
		{"vae", "vae", original, `encoder\.down\.0\.block\.0\.`, ""},
		{"vae", "vae", original, `encoder\.down\.2\.`, ""},
		{"vae", "vae", diffusers, `decoder\.up_blocks\.1\.`, ""},
		{"vae", "vae", diffusers, `decoder\.mid_block`, ""},
		{"vae", "vae", original, `encoder\.down\.3\.`, ""},
		{"vae", "vae", original, `decoder\.up\.3\.`, ""},
		{"vae", "vae", diffusers, `decoder\.up_blocks\.3\.`, ""},
		{"vae", "vae", original, `decoder\.(up|mid)`, ""},
		{"vae", "vae", original, `block\..\.conv1`, ""},
		{"vae", "vae", diffusers, `decoder\.conv_in`, ""},
		{"taesd", "taesd", diffusers, `encoder\.layers\.4\.`, "encoder.layers.4."},
		{"taesd", "taesd", diffusers, `decoder\.layers\.3\.`, ""},
		{"taesd", "taesd", diffusers, `decoder\.layers\.6\.`, ""},
		{"taesd", "taesd", diffusers, `coder\.layers\.0\.`, ""},
		{"esrgan", "upscaler", diffusers, `body\.7\.`, ""},
		{"esrgan", "upscaler", original, `RDB2`, ""},
		{"esrgan", "upscaler", diffusers, `conv_up1`, ""},
		{"nano-yolov8", "detector", original, `model\.0\.`, ""},
		{"nano-yolov8", "detector", original, `model\.4\.m\.1\.`, "model.4.cv2"},
		{"nano-yolov8", "detector", original, `running_var`, ""},
		{"nano-yolov8", "detector", original, `model\.22\.cv3\.`, ""},
	} {
		t.Run(c.preset+" "+string(c.layout)+" without "+c.without, func(t *testing.T) {
			t.Parallel()
			pattern := regexp.MustCompile(c.without)
			var removed []string
			left := slices.DeleteFunc(inMemory(Preset(c.preset), c.layout), func(x Tensor) bool {
				gone := pattern.MatchString(x.Name)
				if gone {
					removed = append(removed, strconv.Quote(x.Name))
				}
				return gone
			})
			require.NotEmpty(t, removed)
			for _, a := range asked {
				err := a.ask(opened(left), c.role)
				if c.names != "" {
					require.ErrorContains(t, err, c.names, a.who)
					continue
				}
				require.ErrorIs(t, err, ErrTensor, a.who)
				named := slices.ContainsFunc(removed, func(name string) bool { return strings.Contains(err.Error(), "tensor "+name) })
				require.True(t, named, "%s: %v", a.who, err)
			}
		})
	}
}

// A dimension of 0, or one that no network has, is an error that names the tensor. The others agree on what is right.
func TestAbsurdDimensionsAreNamed(t *testing.T) {
	for _, n := range networks {
		if n.spell != nil {
			continue
		}
		tensors := inMemory(n.dims, n.layout)
		for k := 0; k < len(tensors); k += 41 {
			x := tensors[k]
			for dim := range x.Shape {
				for _, size := range []int64{0, 1<<31 - 1, 1 << 40} {
					damaged := slices.Clone(tensors)
					damaged[k].Shape = slices.Clone(x.Shape)
					damaged[k].Shape[dim] = size
					a := asked[k%len(asked)]
					err := a.ask(opened(damaged), n.role)
					require.Error(t, err, "%s %s: %v", n.name, x.Name, damaged[k].Shape)
					require.ErrorContains(t, err, strconv.Quote(x.Name), "%s %v", a.who, damaged[k].Shape)
				}
			}
		}
	}
}

// Depths that differ, a half of a VAE, and components beside others stay what they were.
func TestWhatIsNotMissingIsTaken(t *testing.T) {
	for name, change := range map[string]func(d *Dims){
		"one deep block":             func(d *Dims) { d.UNet.DownDepth[1][1] = 5 },
		"one block without":          func(d *Dims) { d.UNet.UpDepth[1][2] = 0 },
		"no attention in the middle": func(d *Dims) { d.UNet.MiddleDepth = 0 },
		"one resnet in the middle":   func(d *Dims) { d.UNet.MiddleDepth, d.UNet.MiddleResnets = 0, 1 },
		"one resnet for each level":  oneResnet,
		"one level":                  oneLevel,
		"no text encoders":           func(d *Dims) { d.TextEncoder, d.TextEncoder2 = nil, nil },
		"no VAE":                     func(d *Dims) { d.VAE = nil },
		"a decoder alone":            func(d *Dims) { d.VAE.EncoderChannels, d.VAE.EncoderResnets, d.VAE.QuantConv = nil, 0, false },
		"an encoder alone":           func(d *Dims) { d.VAE.DecoderChannels, d.VAE.DecoderResnets, d.VAE.PostQuantConv = nil, 0, false },
		"a VAE without quant_conv":   func(d *Dims) { d.VAE.QuantConv, d.VAE.PostQuantConv = false, false },
		"a narrow MLP":               func(d *Dims) { d.TextEncoder.Intermediate = 64 },
	} {
		for _, layout := range []Layout{LayoutOriginal, LayoutDiffusers} {
			d := Preset("nano")
			change(&d)
			for _, a := range asked {
				s := opened(inMemory(d, layout))
				require.NoError(t, a.ask(s, "model"), "%s %s", name, a.who)
				require.Equal(t, d, s.dims, name)
			}
		}
	}
}

// An encoder without its last layers looks like a smaller one. One of SDXL's widths is warned of.
func TestTextEncodersOfOtherDepthsAreWarnedOf(t *testing.T) {
	for layers, warns := range map[int]bool{31: true, 32: false} {
		d := Preset("text_encoder_2")
		d.TextEncoder2.Layers = layers
		s := opened(inMemory(d, LayoutDiffusers))
		r, err := s.report()
		require.NoError(t, err)
		m := &Model{}
		require.NoError(t, m.add("text_encoder_2", s))
		m.Dims = infer(m.parts)
		table, err := m.Table()
		require.NoError(t, err)
		for _, list := range [][]string{r.Warnings, table.Warnings} {
			require.Equal(t, warns, len(list) == 1, list)
			if warns {
				require.Contains(t, list[0], "the second text encoder has 31 layers, but SDXL's encoder with 1280 channels has 32")
			}
		}
	}
}

// A whole attention that is missing shows in no other tensor.
func TestAttentionOfSomeBlocksIsWarnedOf(t *testing.T) {
	d := Preset("nano")
	require.Empty(t, d.layerWarnings())
	last := len(d.UNet.Channels) - 1
	d.UNet.UpDepth[last][0] = 0
	s := opened(inMemory(d, LayoutOriginal))
	require.NoError(t, s.whole(Config{}))
	r, err := s.report()
	require.NoError(t, err)
	require.Len(t, r.Warnings, 1)
	require.Contains(t, r.Warnings[0], fmt.Sprintf("blocks on level %d of the UNet have no attention", last))
}

func oneResnet(d *Dims) {
	d.UNet.Resnets = []int{1, 1, 1}
	d.UNet.DownDepth, d.UNet.UpDepth = [][]int{{0}, {1}, {1}}, [][]int{{0, 0}, {1, 1}, {1, 1}}
}

func oneLevel(d *Dims) {
	d.UNet.Channels, d.UNet.Resnets = []int{32}, []int{2}
	d.UNet.DownDepth, d.UNet.UpDepth = [][]int{{1, 1}}, [][]int{{1, 1, 1}}
}
