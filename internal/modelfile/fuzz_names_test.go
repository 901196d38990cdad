package modelfile

import (
	"strings"
	"testing"
)

// FuzzNames judges files of any names and shapes: what is missing is an error and never a panic, and never so large a network that listing
// its tensors takes long.
func FuzzNames(f *testing.F) {
	for _, preset := range []string{"nano", "nano-controlnet-union", "taesd", "esrgan"} {
		for _, layout := range []Layout{LayoutOriginal, LayoutDiffusers} {
			var b strings.Builder
			for i, x := range inMemory(Preset(preset), layout) {
				if i%29 == 0 {
					b.WriteString(x.Name + "\n")
				}
			}
			f.Add(b.String(), uint16(64))
		}
	}
	f.Add("model.diffusion_model.input_blocks.0.0.weight\nmodel.diffusion_model.input_blocks.255.1.transformer_blocks.63.norm1.weight\n",
		uint16(0))
	f.Fuzz(func(t *testing.T, text string, side uint16) {
		var tensors []Tensor
		seen := map[string]bool{}
		for i, name := range strings.Split(text, "\n") {
			if name == "" || seen[name] || len(tensors) > 2000 {
				continue
			}
			seen[name] = true
			shape := []int64{int64(side), int64(side) >> (i % 5), 3, 3}[:1+i%4]
			n, ok := product(shape)
			size, _ := F16.Bytes(n, 1)
			if ok {
				tensors = append(tensors, Tensor{Name: name, DType: F16, Shape: shape, Size: size})
			}
		}
		_ = asked[len(text)%len(asked)].ask(opened(tensors), "model") // any verdict will do
	})
}
