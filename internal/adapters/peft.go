package adapters

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/daguerre-go/daguerre/internal/fault"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/regular"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// peftMetadataKey is where diffusers (since 0.34) keeps the configurations of the adapters in a file, as one flat JSON
// object: "unet.lora_alpha", "text_encoder.r", ...
const peftMetadataKey = "lora_adapter_metadata"

// peftConfig is what of PEFT's LoraConfig, LoHaConfig or LoKrConfig is needed to scale an adapter.
type peftConfig struct {
	LoraAlpha    *float64           `json:"lora_alpha"`
	Alpha        *float64           `json:"alpha"` // LoHa and LoKr
	R            int                `json:"r"`
	UseRSLoRA    bool               `json:"use_rslora"` // alpha/sqrt(r), arXiv 2312.03732
	AlphaPattern map[string]float64 `json:"alpha_pattern"`
	RankPattern  map[string]int     `json:"rank_pattern"`

	Type        string          `json:"peft_type"` // "LORA", "IA3", "OFT", ...
	Feedforward json.RawMessage `json:"feedforward_modules"`
	peftOFT
}

// scaling holds the configurations by component; "" is for all.
type scaling map[string]peftConfig

// readScaling looks for PEFT's configuration in the metadata, and beside a file that PEFT named. Files of other programs
// carry their alphas as tensors and have none.
func readScaling(f *modelfile.File) scaling {
	if text, ok := f.Metadata[peftMetadataKey]; ok {
		return parseFlatConfig(text)
	}
	base := filepath.Base(f.Path)
	if strings.TrimSuffix(base, filepath.Ext(base)) != "adapter_model" {
		return nil
	}
	path := filepath.Join(filepath.Dir(f.Path), "adapter_config.json")
	data, err := regular.ReadFile(path, modelfile.MaxConfigBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the file alone is read with alpha = rank
	}
	if err != nil {
		panic(fail(lora.ErrFormat, path, "%v", err))
	}
	var c peftConfig
	if err := json.Unmarshal(data, &c); err != nil {
		panic(fail(lora.ErrFormat, path, "is no configuration of PEFT: %v", err))
	}
	return scaling{"": c}
}

// parseFlatConfig parts the keys of all components.
func parseFlatConfig(text string) scaling {
	var flat map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &flat); err != nil {
		panic(fail(lora.ErrFormat, "metadata "+peftMetadataKey, "is no JSON object: %v", err))
	}
	parts := map[string]map[string]json.RawMessage{}
	for key, value := range flat {
		component, field, ok := strings.Cut(key, ".")
		if !ok {
			component, field = "", key
		}
		if parts[component] == nil {
			parts[component] = map[string]json.RawMessage{}
		}
		parts[component][field] = value
	}
	out := scaling{}
	for component, fields := range parts {
		var c peftConfig
		if err := json.Unmarshal(fault.Value(json.Marshal(fields)), &c); err != nil {
			panic(fail(lora.ErrFormat, "metadata "+peftMetadataKey, "%s: %v", component, err))
		}
		out[component] = c
	}
	return out
}

// config returns the configuration of a module's component, and the module's name in it.
func (s scaling) config(module string) (peftConfig, string, bool) {
	component, rest, _ := strings.Cut(module, ".")
	c, ok := s[component]
	if !ok {
		c, ok = s[""]
	}
	return c, rest, ok
}

// pattern looks a module up in one of PEFT's pattern tables, whose keys are ends of names.
func pattern[T any](table map[string]T, name string, otherwise T) T {
	for key, v := range table {
		if name == key || strings.HasSuffix(name, "."+key) {
			return v
		}
	}
	return otherwise
}

// alpha returns a module's alpha where the file has no tensor of it, rank without a configuration, and whether it is
// divided by the rank's square root.
func (s scaling) alpha(module string, rank int) (alpha float64, root bool) {
	c, name, ok := s.config(module)
	alpha = float64(rank)
	if !ok {
		return alpha, false
	}
	if a := cmp.Or(c.LoraAlpha, c.Alpha); a != nil {
		alpha = *a
	}
	return pattern(c.AlphaPattern, name, alpha), c.UseRSLoRA
}

// always reports whether LoKr of two whole factors is scaled too: by PEFT it is, by LyCORIS it is not.
func (s scaling) always(module string) bool {
	c, _, ok := s.config(module)
	return ok && c.R > 0
}

// rank is the configured rank, which a LoKr of two whole factors does not tell.
func (s scaling) rank(module string) int {
	c, name, _ := s.config(module)
	return max(pattern(c.RankPattern, name, c.R), 1)
}
