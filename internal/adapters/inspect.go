package adapters

import (
	"errors"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/lora"
)

// Inspect opens an adapter without a model: against the dimensions of SDXL base, or else of the nano model.
func Inspect(path string) (*File, error) {
	f, err := Open(path, NewModel(ModulesOf(modelfile.Preset("sdxl-base"))))
	if errors.Is(err, lora.ErrWrongModel) {
		if f, err := Open(path, NewModel(ModulesOf(modelfile.Preset("nano")))); err == nil {
			return f, nil
		}
	}
	return f, err
}
