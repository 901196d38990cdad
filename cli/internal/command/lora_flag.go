package command

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// addLoRAs puts the adapters of --lora flags behind those of a run file. One that the file has already keeps its other
// fields and gets the flag's weight. The list given is not changed.
func addLoRAs(list []lora.Adapter, flags []string) ([]lora.Adapter, error) {
	list = slices.Clone(list)
	for _, text := range flags {
		l, err := parseLoRA(text)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(list, func(have lora.Adapter) bool { return strings.EqualFold(have.Label(), l.Label()) })
		if i < 0 {
			list = append(list, l)
			continue
		}
		have := &list[i]
		have.Weight, have.TextEncoderWeight, have.UNetWeight, have.Enabled = l.Weight, l.TextEncoderWeight, l.UNetWeight, nil
	}
	return list, nil
}

// parseLoRA reads NAME, NAME:WEIGHT or NAME:TEXT:UNET, the order of <lora:...> tags. What looks like a file is a path. Colons
// that no number follows belong to the name.
func parseLoRA(text string) (lora.Adapter, error) {
	name, weights := text, []float64{}
	for len(weights) < 2 {
		i := strings.LastIndexByte(name, ':')
		if i < 0 {
			break
		}
		w, err := strconv.ParseFloat(strings.TrimSpace(name[i+1:]), 64)
		if err != nil {
			break
		}
		name, weights = name[:i], append(weights, w)
	}
	if name = strings.TrimSpace(name); name == "" {
		return lora.Adapter{}, fmt.Errorf("%q names no adapter; write NAME or NAME:0.8", words.Clip(text))
	}
	l := lora.Adapter{Name: name}
	if strings.ContainsRune(name, filepath.Separator) || slices.Contains(adapters.Extensions, strings.ToLower(filepath.Ext(name))) {
		l = lora.Adapter{Path: name}
	}
	switch len(weights) {
	case 1:
		l.Weight = &weights[0]
	case 2: // read from the end
		l.UNetWeight, l.TextEncoderWeight = &weights[0], &weights[1]
	}
	return l, nil
}
