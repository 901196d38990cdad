//go:build !race

package modelfile

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/fault"
)

// ControlNet-XS are known by their tensors, under every prefix and with one of them missing. Other files that have one are refused by name.
func TestControlXSKinds(t *testing.T) {
	plain := inMemory(Preset("nano-controlnet-xs"), LayoutDiffusers)
	under := slices.Clone(plain)
	for i := range under {
		under[i].Name = "controlnet." + under[i].Name
	}
	with := func(names ...string) (out []Tensor) {
		out = slices.Clone(plain)
		for _, name := range names {
			out = append(out, further(name, F16, 16, 4, 3, 3))
		}
		return out
	}
	sd := Preset("nano-controlnet-xs")
	sd.ControlNet.XS.ContextDim = 1024
	for name, c := range map[string]struct {
		tensors []Tensor
		reason  string
	}{
		"plain":         {plain, ""},
		"under a name":  {under, ""},
		"SD 2.1":        {inMemory(sd, LayoutDiffusers), "a ControlNet-XS for Stable Diffusion 2.x"},
		"fused":         {with("ctrl_conv_in.weight", "base_conv_in.weight"), "a UNet that a ControlNet-XS was fused into"},
		"authors' code": {with("control_model.enc_zero_convs_out.0.weight"), "a ControlNet-XS in the layout of its authors' code"},
	} {
		s := opened(slices.Clone(c.tensors))
		r, err := s.report()
		require.NoError(t, err, name)
		require.Equal(t, KindControlNetXS, r.Kind, name)
		if c.reason != "" {
			require.Contains(t, r.Reason, "not supported: "+c.reason, name)
			continue
		}
		require.Empty(t, r.Reason, name)
		require.Empty(t, r.Unused, name)
		require.Equal(t, Preset("nano-controlnet-xs").ControlNet.XS, r.Dims.ControlNet.XS, name)
		require.ErrorContains(t, s.check(r, []Kind{KindControlNetXS}), "put the ControlNet-XS's config.json beside the file", name)
	}
	s := opened(with("down_blocks.0.resnets.0.extra.weight"))
	r, err := s.report()
	require.NoError(t, err)
	r.Config.ControlXS.Heads = []int{1, 2, 2}
	require.ErrorContains(t, s.check(r, []Kind{KindControlNetXS}), "nothing here uses it", "left over")
}

// Each tensor of a ControlNet-XS that is missing is named.
func TestControlXSMissing(t *testing.T) {
	all := inMemory(Preset("nano-controlnet-xs-time"), LayoutDiffusers)
	for i, missing := range all {
		s := opened(slices.Delete(slices.Clone(all), i, i+1))
		r, err := s.report()
		require.NoError(t, err, missing.Name)
		r.Config.ControlXS.Heads = []int{1, 3, 4}
		require.ErrorContains(t, s.check(r, []Kind{KindControlNetXS}), missing.Name)
	}
}

// The config.json of a ControlNet-XS says what its weights do not.
func TestControlXSConfig(t *testing.T) {
	for text, says := range map[string]string{
		`{"_class_name": "ControlNetXSAdapter", "num_attention_heads": [1, 2, 2], "time_embedding_mix": 0.95, "max_norm_num_groups": 4,
			"conditioning_channel_order": "bgr", "learn_time_embedding": false, "block_out_channels": [16, 32, 64]}`: "",
		`{"_class_name": "ControlNetXSAdapter", "num_attention_heads": 2}`:                                    "",
		`{"_class_name": "ControlNetXSAdapter", "num_attention_heads": 0}`:                                    "0 heads",
		`{"_class_name": "ControlNetXSAdapter", "conditioning_channel_order": "rbg"}`:                         "known are rgb and bgr",
		`{"_class_name": "ControlNetXSAdapter", "time_embedding_mix": 1.5}`:                                   "1.5 is not in 0 to 1",
		`{"base_block_out_channels": [32, 64, 128], "block_out_channels": "all", "num_attention_heads": [1]}`: "block_out_channels",
	} {
		path := filepath.Join(t.TempDir(), "config.json")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		o, err := readObject(path)
		require.NoError(t, err)
		var c Config
		err = fault.Catch(func() { c.readComponent("controlnet", o) })
		if says != "" {
			require.ErrorContains(t, err, says, text)
			continue
		}
		require.NoError(t, err, text)
		require.Len(t, c.ControlXS.HeadsOf(3), 3)
		require.Zero(t, c.UNet)
	}
}
