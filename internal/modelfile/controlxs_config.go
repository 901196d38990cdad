package modelfile

import (
	"fmt"
	"slices"
)

// ControlXSConfig is the part of a ControlNet-XS's config that its weights do not tell.
type ControlXSConfig struct {
	Heads             []int    `json:"num_attention_heads,omitempty"` // of all levels, or of each
	MaxNormNumGroups  int      `json:"max_norm_num_groups,omitempty" range:"1 65536"`
	TimeEmbeddingMix  *float64 `json:"time_embedding_mix,omitempty"`         // nil: 1
	ChannelOrder      string   `json:"conditioning_channel_order,omitempty"` // "rgb" or "bgr"
	LearnTime         *bool    `json:"learn_time_embedding,omitempty"`
	BlockOutChannels  []int    `json:"block_out_channels,omitempty"`
	BaseBlockChannels []int    `json:"base_block_out_channels,omitempty"`
}

// isXSConfig reports whether a config.json is a ControlNet-XS's.
func isXSConfig(o object) bool {
	return o.values["_class_name"] == "ControlNetXSAdapter" || o.has("base_block_out_channels")
}

func (c *ControlXSConfig) read(o object) {
	o.fill(c)
	if c.ChannelOrder != "" && c.ChannelOrder != "rgb" && c.ChannelOrder != "bgr" {
		panic(o.bad("conditioning_channel_order", "%s; known are rgb and bgr", quoteName(c.ChannelOrder)))
	}
	if m := c.TimeEmbeddingMix; m != nil && !(*m >= 0 && *m <= 1) {
		panic(o.bad("time_embedding_mix", "%v is not in 0 to 1", *m))
	}
	for _, n := range c.Heads {
		if n < 1 || n > maxSide {
			panic(o.bad("num_attention_heads", "%d heads", n))
		}
	}
}

// HeadsOf are the heads of each of so many levels; nil if the configuration does not say them.
func (c ControlXSConfig) HeadsOf(levels int) []int {
	if len(c.Heads) == 1 {
		return slices.Repeat(c.Heads, levels)
	}
	if len(c.Heads) != levels {
		return nil
	}
	return c.Heads
}

// checkXS makes sure that a ControlNet-XS and its configuration belong together.
func checkXS(p *part, d Dims, c Config) error {
	if p.component != "controlnet" || d.ControlNet == nil || d.ControlNet.XS == nil {
		return nil
	}
	x, s := d.ControlNet.XS, c.ControlXS
	bad := func(field, remedy, format string, args ...any) error {
		return &Error{Kind: ErrConfig, Path: p.fileOf(""), Field: field, Found: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	const config = "give the ControlNet-XS's own config.json beside the file"
	heads := s.HeadsOf(len(x.Channels))
	switch {
	case len(s.Heads) == 0:
		return bad("num_attention_heads", "put the ControlNet-XS's config.json beside the file, or give the diffusers folder",
			"not stated, and the weights do not tell it")
	case heads == nil:
		return bad("num_attention_heads", config, "%d numbers for %d levels", len(s.Heads), len(x.Channels))
	case len(s.BlockOutChannels) > 0 && !slices.Equal(s.BlockOutChannels, x.Channels):
		return bad("block_out_channels", config, "%v, and the file has %v", s.BlockOutChannels, x.Channels)
	case len(s.BaseBlockChannels) > 0 && !slices.Equal(s.BaseBlockChannels, x.Base):
		return bad("base_block_out_channels", config, "%v, and the file is for %v", s.BaseBlockChannels, x.Base)
	case s.LearnTime != nil && *s.LearnTime != x.LearnsTime:
		return bad("learn_time_embedding", config, "%v, and of the file it is %v", *s.LearnTime, x.LearnsTime)
	case s.TimeEmbeddingMix != nil && *s.TimeEmbeddingMix < 1 && !x.LearnsTime:
		return bad("time_embedding_mix", config, "%v, and the file has no time embedding to mix", *s.TimeEmbeddingMix)
	}
	for l, ch := range x.Channels {
		inner := []int{x.Inner[l]}
		if l == len(x.Channels)-1 {
			inner = append(inner, x.MiddleInner)
		}
		for _, width := range inner {
			if width > 0 && width != ch/heads[l]*heads[l] {
				return bad("num_attention_heads", config, "%d heads on level %d, and the file has attentions of %d channels there", heads[l], l, width)
			}
		}
	}
	return nil
}
