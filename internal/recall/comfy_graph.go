package recall

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// graph is a graph of ComfyUI in the form that is computed: nodes by their ids.
type graph struct {
	nodes map[string]*node
}

// node is a node of a graph. An input is a value, or a link: [id of a node, number of its output].
type node struct {
	id, class string
	inputs    map[string]any
	off       string // why it is not computed; "": it is

	visited bool
	used    map[string]bool // inputs that were read
}

// name is the node in a note.
func (n *node) name() string { return fmt.Sprintf("node %s (%s)", n.id, n.class) }

// read returns an input and remembers that it was read.
func (n *node) read(input string) any {
	n.visited = true
	n.used[input] = true
	return n.inputs[input]
}

// link is the node that an input comes from; nil: it is a value, or is missing.
func (g *graph) link(n *node, input string) *node {
	to := g.linkOf(n.read(input))
	if to != nil && to.class == "Reroute" {
		to.visited = true
		for _, name := range slices.Sorted(maps.Keys(to.inputs)) {
			return g.link(to, name)
		}
	}
	return to
}

func (g *graph) linkOf(value any) *node {
	list, ok := value.([]any)
	if !ok || len(list) != 2 {
		return nil
	}
	to := g.nodes[fmt.Sprint(list[0])]
	if to != nil {
		to.visited = true
	}
	return to
}

// holders are the inputs in which nodes that only hold a value have it.
var holders = []string{"value", "text", "string", "seed", "noise_seed", "int", "float", "number"}

// value is an input that is a value, or that comes from a node which only holds one.
func (g *graph) value(n *node, input string) any {
	v := n.read(input)
	for range len(g.nodes) { // a graph may go in circles
		from := g.linkOf(v)
		if from == nil {
			return v
		}
		held := slices.DeleteFunc(slices.Clone(holders), func(h string) bool { return from.inputs[h] == nil })
		if len(held) != 1 {
			return nil
		}
		v = from.read(held[0])
	}
	return nil
}

// text is an input that is a text; false: it is none.
func (g *graph) text(n *node, input string) (string, bool) {
	s, ok := g.value(n, input).(string)
	return s, ok
}

// number is an input that is a number.
func (g *graph) number(n *node, input string) (float64, bool) {
	v := g.value(n, input)
	if v == nil {
		return 0, false
	}
	x, err := strconv.ParseFloat(fmt.Sprint(v), 64)
	return x, err == nil
}

// sorted are the nodes in the order of their ids.
func (g *graph) sorted() []*node {
	return slices.SortedFunc(maps.Values(g.nodes), func(a, b *node) int {
		return cmp.Or(cmp.Compare(len(a.id), len(b.id)), strings.Compare(a.id, b.id))
	})
}

// prompted makes a graph of the text "prompt" of a picture.
func prompted(text string) (*graph, error) {
	var nodes map[string]struct {
		Class  string         `json:"class_type"`
		Inputs map[string]any `json:"inputs"`
	}
	if err := decode(text, &nodes); err != nil {
		return nil, err
	}
	g := &graph{nodes: map[string]*node{}}
	for id, n := range nodes {
		if n.Class == "" {
			continue
		}
		g.nodes[id] = newNode(id, n.Class, n.Inputs)
	}
	return g, nil
}

func newNode(id, class string, inputs map[string]any) *node {
	if inputs == nil {
		inputs = map[string]any{}
	}
	return &node{id: id, class: class, inputs: inputs, used: map[string]bool{}}
}

// widgets are the inputs of nodes that have a widget, in the order in which ComfyUI writes their values. A name in brackets is a value
// of the page alone.
var widgets = map[string]string{
	"KSampler": "seed (control) steps cfg sampler_name scheduler denoise",
	"KSamplerAdvanced": "add_noise noise_seed (control) steps cfg sampler_name scheduler start_at_step end_at_step " +
		"return_with_leftover_noise",
	"CheckpointLoaderSimple":  "ckpt_name",
	"CLIPTextEncode":          "text",
	"CLIPTextEncodeSDXL":      "width height crop_w crop_h target_width target_height text_g text_l",
	"EmptyLatentImage":        "width height batch_size",
	"LoraLoader":              "lora_name strength_model strength_clip",
	"LoraLoaderModelOnly":     "lora_name strength_model",
	"VAELoader":               "vae_name",
	"UNETLoader":              "unet_name weight_dtype",
	"DualCLIPLoader":          "clip_name1 clip_name2 type device",
	"CLIPSetLastLayer":        "stop_at_clip_layer",
	"LatentUpscale":           "upscale_method width height crop",
	"LatentUpscaleBy":         "upscale_method scale_by",
	"ImageScale":              "upscale_method width height crop",
	"ImageScaleBy":            "upscale_method scale_by",
	"UpscaleModelLoader":      "model_name",
	"LoadImage":               "image (upload)",
	"LoadImageMask":           "image channel (upload)",
	"ControlNetLoader":        "control_net_name",
	"ControlNetApply":         "strength",
	"ControlNetApplyAdvanced": "strength start_percent end_percent",
	"SetUnionControlNetType":  "type",
	"Canny":                   "low_threshold high_threshold",
	"RescaleCFG":              "multiplier",
	"VAEEncodeForInpaint":     "grow_mask_by",
	"VAEDecodeTiled":          "tile_size overlap temporal_size temporal_overlap",
	"SaveImage":               "filename_prefix",
	"PrimitiveNode":           "value",
}

// drawn makes a graph of the text "workflow" of a picture: nodes as they lie on ComfyUI's page.
func drawn(text string) (*graph, error) {
	var page struct {
		Nodes []struct {
			ID     any    `json:"id"`
			Type   string `json:"type"`
			Mode   int    `json:"mode"`
			Inputs []struct {
				Name string `json:"name"`
				Link *int64 `json:"link"`
			} `json:"inputs"`
			Values any `json:"widgets_values"`
		} `json:"nodes"`
		Links [][]any `json:"links"`
	}
	if err := decode(text, &page); err != nil {
		return nil, err
	}
	from := map[string][]any{}
	for _, l := range page.Links {
		if len(l) >= 5 {
			from[fmt.Sprint(l[0])] = []any{fmt.Sprint(l[1]), l[2]}
		}
	}
	g := &graph{nodes: map[string]*node{}}
	for _, n := range page.Nodes {
		inputs := map[string]any{}
		switch values := n.Values.(type) {
		case map[string]any:
			maps.Copy(inputs, values)
		case []any:
			names := strings.Fields(widgets[n.Type])
			for i, v := range values {
				if i >= len(names) {
					inputs[fmt.Sprintf("value %d", i+1)] = v
				} else if !strings.HasPrefix(names[i], "(") {
					inputs[names[i]] = v
				}
			}
		}
		for _, in := range n.Inputs {
			if in.Link != nil && from[fmt.Sprint(*in.Link)] != nil {
				inputs[in.Name] = from[fmt.Sprint(*in.Link)]
			}
		}
		made := newNode(fmt.Sprint(n.ID), n.Type, inputs)
		switch n.Mode {
		case 2:
			made.off = "it is muted"
		case 4:
			made.off = "it is bypassed"
		}
		g.nodes[made.id] = made
	}
	return g, nil
}
