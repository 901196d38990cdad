//go:build !race

package modelfile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// t2iTensors are an adapter's with a first convolution of so many inputs; edit renames a tensor, and leaves out what it makes "".
func t2iTensors(inputs int64, layout Layout, prefix string, edit func(name string) string) (out []Tensor) {
	for _, x := range inMemory(Preset("nano-t2i-adapter"), layout) {
		if x.Name == "conv_in.weight" {
			x = further(x.Name, F16, 32, inputs, 3, 3)
		}
		if x.Name = edit(x.Name); x.Name != "" {
			x.Name = prefix + x.Name
			out = append(out, x)
		}
	}
	return out
}

// T2I-Adapters are known by their tensors, in every spelling. Those that are not for SDXL are refused by name.
func TestT2IAdapterKinds(t *testing.T) {
	same := func(name string) string { return name }
	light := func(name string) string { // body.0.block1 of the original full one as body.0.body.0.block1
		if strings.HasPrefix(name, "conv_in") {
			return ""
		}
		for i := range 8 {
			name = strings.Replace(name, fmt.Sprintf("body.%d.block", i), fmt.Sprintf("body.%d.body.%d.block", i/2, i%2), 1)
		}
		return name
	}
	lightOf := func(layout Layout, prefix string, edit func(string) string) []Tensor {
		first := further(prefix+"body.0.in_conv.weight", F16, 32, 192, 1, 1)
		return append([]Tensor{first}, t2iTensors(192, layout, prefix, edit)...)
	}
	noFirst := func(name string) string {
		if strings.HasPrefix(name, "conv_in") {
			return ""
		}
		return name
	}
	for name, c := range map[string]struct {
		tensors []Tensor
		says    string // "": it is supported
	}{
		"original":               {t2iTensors(768, LayoutOriginal, "", same), ""},
		"original, grey":         {t2iTensors(256, LayoutOriginal, "", same), ""},
		"original, under a name": {t2iTensors(768, LayoutOriginal, "adapter.", same), ""},
		"diffusers":              {t2iTensors(768, LayoutDiffusers, "adapter.", same), ""},
		"diffusers, bare":        {t2iTensors(768, LayoutDiffusers, "", same), ""},
		"SD 1.5":                 {t2iTensors(192, LayoutOriginal, "", same), "a T2I-Adapter for Stable Diffusion 1.x"},
		"SD 1.5, grey":           {t2iTensors(64, LayoutDiffusers, "adapter.", same), "a T2I-Adapter for Stable Diffusion 1.x"},
		"light":                  {lightOf(LayoutOriginal, "", light), "a light T2I-Adapter"},
		"light, diffusers":       {lightOf(LayoutDiffusers, "adapter.", noFirst), "a light T2I-Adapter"},
		"other pictures":         {t2iTensors(1024, LayoutOriginal, "", same), "a T2I-Adapter whose first convolution has 1024 inputs"},
		"halved by convolutions": {append(t2iTensors(768, LayoutOriginal, "", same), further("body.4.down_opt.op.weight", F16, 64, 64, 3, 3)),
			"a T2I-Adapter that halves its features by convolutions"},
	} {
		s := opened(slices.Clone(c.tensors))
		r, err := s.report()
		require.NoError(t, err, name)
		require.Equal(t, KindT2IAdapter, r.Kind, name)
		if c.says == "" {
			require.Empty(t, r.Reason, name)
			require.NoError(t, s.check(r, []Kind{KindT2IAdapter}), name)
			require.Empty(t, r.Unused, name)
			continue
		}
		require.Contains(t, r.Reason, "not supported: "+c.says, name)
		require.ErrorIs(t, s.check(r, []Kind{KindT2IAdapter}), ErrUnsupported, name)
	}
}
