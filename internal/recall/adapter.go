package recall

import (
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/lora"
)

// adapter adds an adapter to the job. The same one again with the same weights is the same.
func (f *Found) adapter(name string, unet, text float64, sum, hub string) {
	r := &f.Run.Jobs[0]
	if slices.ContainsFunc(r.LoRAs, func(a lora.Adapter) bool { return strings.EqualFold(a.Label(), name) }) {
		f.notUsed("adapter", name, "it is given twice")
		return
	}
	a := lora.Adapter{Name: name, Weight: &unet}
	if text != unet {
		a.TextEncoderWeight = &text
	}
	r.LoRAs = append(r.LoRAs, a)
	if len(r.LoRAs) > defaultAdapters {
		r.LoRAStack.MaxAdapters = len(r.LoRAs)
	}
	f.parts = append(f.parts, part{key: "lora", name: name, sums: sumsOf(sum), hub: hub})
}
