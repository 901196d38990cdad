package modelfile

import (
	"strings"
	"sync"
)

// kin are the names of a component's tensors in one layout, with # for every number.
type kin map[string]bool

// relatives has the kin of every component, by component and layout. For text_encoder_2 the original layout has OpenCLIP's names.
var relatives = sync.OnceValue(func() map[string]map[Layout]kin {
	nano, control, tiny, esrgan := Preset("nano"), Preset("nano-controlnet-union"), Preset("taesd"), Preset("esrgan")
	out := map[string]map[Layout]kin{}
	for component, of := range map[string]dims{"unet": nano.UNet, "vae": nano.VAE, "text_encoder": nano.TextEncoder,
		"text_encoder_2": nano.TextEncoder2, "controlnet": control.ControlNet, "taesd": tiny.TAESD, "upscaler": esrgan.Upscaler} {
		out[component] = map[Layout]kin{}
		for _, l := range []Layout{LayoutOriginal, LayoutDiffusers} {
			b := newSpecs(component, l)
			of.specs(b)
			names := kin{}
			for _, s := range b.list {
				names[numberless(s.Name)] = true
			}
			out[component][l] = names
		}
	}
	return out
})

// numberless writes # for every piece of a name that is a number.
func numberless(name string) string {
	if !strings.ContainsAny(name, "0123456789") {
		return name
	}
	var b strings.Builder
	b.Grow(len(name))
	for i := 0; i <= len(name); {
		piece, _, more := strings.Cut(name[i:], ".")
		if i += len(piece) + 1; numberOf(piece) >= 0 {
			piece = "#"
		}
		b.WriteString(piece)
		if !more {
			break
		}
		b.WriteByte('.')
	}
	return b.String()
}

// bare is a name of a table, with numbers and without.
type bare struct{ name, numberless string }

// bareNames lists the names of a table, made once.
func (t *table) bareNames() []bare {
	if t.bare == nil {
		t.bare = make([]bare, 0, len(t.tensors))
		for name := range t.tensors {
			t.bare = append(t.bare, bare{name, numberless(name)})
		}
	}
	return t.bare
}

// fewest is the smallest number of tensors that count as a component beside others. Fewer are taken for a coincidence.
const fewest = 3

// lost finds a component whose best-known tensor is missing. It picks the prefix and the layout under which most tensors are its kin. A
// component in its own file must be most of that file, and must not be a plain UNet.
func (t *table) lost(component string, alone bool, prefixes []string, layouts ...Layout) *part {
	all := relatives()
	var best *part
	most := fewest - 1
	if alone {
		most = max(most, len(t.tensors)/2)
	}
	for _, l := range layouts {
		names, unet := all[component][l], all["unet"][l]
		for _, prefix := range prefixes {
			bareLength, count, own := len(numberless(prefix)), 0, 0
			for _, x := range t.bareNames() {
				if !strings.HasPrefix(x.name, prefix) {
					continue
				}
				if rest := x.numberless[bareLength:]; names[rest] {
					if count++; !alone || !unet[rest] {
						own++
					}
				}
			}
			if count > most && own > 0 {
				best, most = &part{component: component, layout: l, prefix: prefix}, count
			}
		}
	}
	return best
}
