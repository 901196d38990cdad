package modelfile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// presetOf is a preset with something changed.
func presetOf(name string, change func(d *Dims)) Dims {
	d := Preset(name)
	if change != nil {
		change(&d)
	}
	return d
}

// inMemory lists the tensors that a file of these dimensions needs, in a layout.
func inMemory(d Dims, layout Layout) (out []Tensor) {
	components := 0
	for _, a := range anatomies {
		if a.of(&d) != nil {
			components++
		}
	}
	original := map[string]string{"unet": "model.diffusion_model.", "vae": "first_stage_model.",
		"text_encoder": "conditioner.embedders.0.transformer.text_model.", "text_encoder_2": "conditioner.embedders.1.model."}
	for _, a := range anatomies {
		prefix := ""
		switch text := isTextEncoder(a.component); {
		case components > 1 && layout == LayoutOriginal:
			prefix = original[a.component]
		case components > 1:
			prefix = a.component + "."
			fallthrough
		default:
			if text && (layout == LayoutDiffusers || a.component == "text_encoder") {
				prefix += "text_model."
			}
		}
		for _, s := range d.Specs(a.component, layout) {
			name := prefix + s.Name
			if s.Name == projection {
				name = strings.TrimSuffix(prefix, "text_model.") + s.Name
			}
			if size, _ := F16.Bytes(s.FanIn()*max(1, append(s.Shape, 1)[0]), 1); !s.Optional {
				out = append(out, Tensor{Name: name, DType: F16, Shape: s.Shape, Size: size})
			}
		}
	}
	return out
}

// opened is a source of these tensors, as of a file whose header was read.
func opened(tensors []Tensor) *source {
	f := &File{Path: "m.safetensors", Format: FormatSafetensors, Tensors: tensors}
	f.buildIndex()
	s := &source{path: f.Path, files: []*File{f}, owner: []string{""}}
	s.parts = locate(newTable(0, f))
	s.understand()
	return s
}

// asked are all that open a model: inspect --check, plan and generate, convert and lora fuse.
var asked = []struct {
	who string
	ask func(s *source, role string) error
}{
	{"Check", func(s *source, _ string) error {
		r, err := s.report()
		if err != nil {
			return err
		}
		return s.check(r, []Kind{r.Kind})
	}},
	{"Table", func(s *source, role string) error {
		m := &Model{}
		if err := m.add(role, s); err != nil {
			return err
		}
		m.Dims = infer(m.parts)
		_, err := m.Table()
		return err
	}},
	{"Collection", func(s *source, _ string) error { return (&Collection{source: s}).Check() }},
}

// networks are what tests damage. Of those that are partly checked, every third tensor is.
var networks = []struct {
	name    string
	dims    Dims
	layout  Layout
	role    string
	partly  bool
	tensors int
	spell   func(string) string // as some programs write the names; "" leaves a tensor out
}{
	{"nano", Preset("nano"), LayoutOriginal, "model", false, 777, nil},
	{"nano", Preset("nano"), LayoutDiffusers, "model", true, 789, nil},
	{"refiner", Preset("nano-refiner"), LayoutOriginal, "model", false, 785, nil},
	{"refiner", Preset("nano-refiner"), LayoutDiffusers, "model", true, 797, nil},
	{"inpainting", presetOf("nano", func(d *Dims) { d.UNet.InChannels = 9 }), LayoutOriginal, "model", true, 777, nil},
	{"uneven", presetOf("nano", unevenly), LayoutOriginal, "model", true, 881, nil},
	{"uneven", presetOf("nano", unevenly), LayoutDiffusers, "model", true, 893, nil},
	{"unet alone", presetOf("nano", func(d *Dims) { *d = Dims{UNet: d.UNet} }), LayoutDiffusers, "unet", true, 500, nil},
	{"controlnet", Preset("nano-controlnet"), LayoutOriginal, "controlnet", false, 264, nil},
	{"controlnet", Preset("nano-controlnet"), LayoutDiffusers, "controlnet", false, 264, nil},
	{"union", Preset("nano-controlnet-union"), LayoutOriginal, "controlnet", true, 283, nil},
	{"union", Preset("nano-controlnet-union"), LayoutDiffusers, "controlnet", true, 283, nil},
	{"t2i adapter", Preset("nano-t2i-adapter"), LayoutOriginal, "controlnet", false, 38, nil},
	{"t2i adapter", Preset("nano-t2i-adapter"), LayoutDiffusers, "controlnet", false, 38, adapterPrefixed},
	{"vae", Preset("vae"), LayoutOriginal, "vae", false, 248, nil},
	{"vae", Preset("vae"), LayoutDiffusers, "vae", false, 248, nil},
	{"decoder alone", Preset("vae"), LayoutOriginal, "vae", false, 140, ofHalf("decoder.", "post_quant_conv.")},
	{"encoder alone", Preset("vae"), LayoutDiffusers, "vae", false, 108, ofHalf("encoder.", "quant_conv.")},
	{"first", presetOf("nano", func(d *Dims) { *d = Dims{TextEncoder: d.TextEncoder} }), LayoutDiffusers, "text_encoder", false, 52, nil},
	{"second", presetOf("nano", onlySecond), LayoutDiffusers, "text_encoder_2", false, 53, nil},
	{"second", presetOf("nano", onlySecond), LayoutOriginal, "text_encoder_2", false, 41, nil},
	{"taesd", Preset("taesd"), LayoutDiffusers, "taesd", false, 134, nil},
	{"taesd encoder", Preset("taesd"), LayoutDiffusers, "taesd", false, 67, bareTiny("encoder.layers.", 0)},
	{"taesd decoder", Preset("taesd"), LayoutDiffusers, "taesd", false, 67, bareTiny("decoder.layers.", 1)},
	{"esrgan", presetOf("esrgan", func(d *Dims) { d.Upscaler.Blocks = 3 }), LayoutDiffusers, "upscaler", false, 102, nil},
	{"esrgan", presetOf("esrgan", func(d *Dims) { d.Upscaler.Blocks = 3 }), LayoutOriginal, "upscaler", false, 102, nil},
	{"first esrgan", presetOf("esrgan", func(d *Dims) { d.Upscaler.Blocks = 3 }), LayoutDiffusers, "upscaler", false, 102,
		asFirstESRGAN.Replace},
	{"detector", Preset("nano-yolov8"), LayoutOriginal, "detector", true, 297, nil},
}

// adapterPrefixed is the spelling of diffusers' T2IAdapter, whose network is one attribute of it.
func adapterPrefixed(name string) string { return "adapter." + name }

// unevenly makes a UNet like SSD-1B: depths differ within a level, no attention and one resnet in the middle.
func unevenly(d *Dims) {
	d.UNet.DownDepth, d.UNet.UpDepth = [][]int{{0, 0}, {2, 1}, {1, 3}}, [][]int{{0, 0, 0}, {2, 1, 1}, {3, 1, 2}}
	d.UNet.MiddleDepth, d.UNet.MiddleResnets = 0, 1
}

// onlySecond is a second text encoder with the width of SDXL's, by which it is known.
func onlySecond(d *Dims) {
	*d = Dims{TextEncoder2: d.TextEncoder2}
	d.TextEncoder2.Width, d.TextEncoder2.Intermediate = 1280, 5120
}

func ofHalf(heads ...string) func(string) string {
	return func(name string) string {
		if slices.ContainsFunc(heads, func(h string) bool { return strings.HasPrefix(name, h) }) {
			return name
		}
		return ""
	}
}

// bareTiny are the original layout's names of one half of a TAESD.
func bareTiny(half string, first int) func(string) string {
	return func(name string) string {
		rest, ok := strings.CutPrefix(name, half)
		if !ok {
			return ""
		}
		number, rest, _ := strings.Cut(rest, ".")
		return fmt.Sprintf("%d.%s", numberOf(number)+first, rest)
	}
}

// Whichever tensor of a network is missing, or has another name, its name is in the error of all that open the file.
func TestEveryMissingTensorIsNamed(t *testing.T) {
	for _, n := range networks {
		t.Run(n.name+" "+string(n.layout), func(t *testing.T) {
			t.Parallel()
			tensors := inMemory(n.dims, n.layout)
			if n.spell != nil {
				for i := range tensors {
					tensors[i].Name = n.spell(tensors[i].Name)
				}
				tensors = slices.DeleteFunc(tensors, func(x Tensor) bool { return x.Name == "" })
			}
			require.Equal(t, n.tensors, len(tensors)) //nolint:testifylint // Len would print them all
			for _, a := range asked {
				require.NoError(t, a.ask(opened(tensors), n.role), a.who)
			}
			step := 1
			if n.partly {
				step = 3
			}
			for k := 0; k < len(tensors); k += step {
				damaged, name := slices.Clone(tensors), tensors[k].Name
				switch k / step % 3 {
				case 0:
					damaged[k].Name += "_"
				case 1:
					damaged[k].Name = "lost." + name
				default:
					damaged = slices.Delete(damaged, k, k+1)
				}
				a := asked[k/step/3%len(asked)]
				err := a.ask(opened(damaged), n.role)
				require.ErrorContains(t, err, fmt.Sprintf("tensor %q", name), a.who)
				require.ErrorIs(t, err, ErrTensor, "%s: %s", a.who, name)
			}
		})
	}
}
