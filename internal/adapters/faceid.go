package adapters

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// The file of a FaceID adapter holds a LoRA beside what an IP-Adapter has. It numbers the UNet's attentions as diffusers' attn_processors:
// "ip_adapter.0.to_q_lora.down.weight" is the first self attention, "ip_adapter.1." the first cross attention.

// ofIPAdapter reports whether a tensor is the IP-Adapter's own, and no part of the LoRA.
func ofIPAdapter(name string) bool {
	return strings.HasPrefix(name, "image_proj.") || strings.HasPrefix(name, "ip_adapter.") &&
		(strings.HasSuffix(name, ".to_k_ip.weight") || strings.HasSuffix(name, ".to_v_ip.weight"))
}

// faceNames are the names that FaceID's files have for the layers of attention, with the modules' own.
func faceNames(modules []backend.Module) map[string]string {
	var blocks []string
	for _, m := range modules {
		if block, ok := strings.CutSuffix(m.Name, ".attn1.to_q"); ok && strings.HasPrefix(block, "unet.") {
			blocks = append(blocks, block)
		}
	}
	rank := func(block string) int {
		return slices.IndexFunc([]string{"unet.down", "unet.up", "unet.mid"}, func(p string) bool { return strings.HasPrefix(block, p) })
	}
	slices.SortFunc(blocks, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), byNumbers(a, b)) })
	out := map[string]string{}
	for i, block := range blocks {
		for k := range 2 {
			for _, layer := range []string{"to_q", "to_k", "to_v", "to_out"} {
				module := fmt.Sprintf("%s.attn%d.%s", block, k+1, layer)
				if layer == "to_out" {
					module += ".0"
				}
				out[fmt.Sprintf("ip_adapter.%d.%s", 2*i+k, layer)] = module
			}
		}
	}
	return out
}

// byNumbers compares names with their numbers as numbers.
func byNumbers(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		n, err := strconv.Atoi(x[i])
		m, err2 := strconv.Atoi(y[i])
		c := strings.Compare(x[i], y[i])
		if err == nil && err2 == nil {
			c = cmp.Compare(n, m)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

// HasFaceLoRA reports whether a file of an IP-Adapter holds FaceID's LoRA, too.
func HasFaceLoRA(path string) (bool, error) {
	f, err := modelfile.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return slices.ContainsFunc(f.Tensors, func(t modelfile.Tensor) bool { return strings.Contains(t.Name, "_lora.down.") }), nil
}
