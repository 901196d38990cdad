package modelfile

import (
	_ "embed" // presets.json
	"encoding/json"

	"github.com/daguerre-go/daguerre/internal/fault"
)

// presets are put together of parts, which are the dimensions of components; a later part changes what it names.
//
//go:embed presets.json
var presets []byte

// Preset returns the dimensions of a published model, from its configuration files, or of one of the very small models of tests, which have
// heads of 64 and text encoders of that width. The names are those of package synth's kinds, as "sdxl-base" and "nano"; an unknown one has
// no components.
func Preset(name string) (d Dims) {
	var all struct {
		Parts   map[string]json.RawMessage
		Presets map[string][]string
	}
	fault.Check(json.Unmarshal(presets, &all))
	for _, part := range all.Presets[name] {
		fault.Check(json.Unmarshal(all.Parts[part], &d))
	}
	return d
}
