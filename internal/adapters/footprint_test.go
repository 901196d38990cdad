package adapters

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// TestChanges counts what a model keeps of adapters of each algorithm.
func TestChanges(t *testing.T) {
	model := NewModel(ModulesOf(modelfile.Preset("nano")))
	for name, want := range map[string]map[backend.LoRAForm]bool{
		"kohya": {backend.LoRALowRank: true},
		"locon": {backend.LoRALowRank: true},
		"loha":  {backend.LoRALowRank: true},
		"lokr":  {backend.LoRAKron: true, backend.LoRADense: true},
		"dora":  {backend.LoRALowRank: true, backend.LoRAOutScale: true},
		"full":  {backend.LoRADense: true, backend.LoRABias: true},
	} {
		f, err := Open(filepath.Join("..", "..", "testdata", "goldens", "lora_"+name+".safetensors"), model)
		require.NoError(t, err, name)
		targets, err := f.Targets(t.Context())
		require.NoError(t, err, name)
		forms := map[backend.LoRAForm]bool{}
		var given, kept int64
		for _, target := range targets {
			given += int64(backend.Count(target.A.Shape...))
			if target.B.Data != nil {
				given += int64(backend.Count(target.B.Shape...))
			}
			if target.Magnitude != nil {
				given += int64(backend.Count(target.Magnitude.Shape...))
			}
		}
		for _, c := range f.Changes() {
			forms[c.Form] = true
			kept += c.Elements
			assert.Equal(t, c.Form == backend.LoRALowRank, c.Rank > 0, name)
		}
		if name == "lokr" { // a 1x1 convolution's is multiplied out
			assert.Greater(t, kept, given)
		} else {
			assert.Equal(t, given, kept, "%s: as many numbers as the model is given", name)
		}
		for form := range want {
			assert.True(t, forms[form], "%s: no %s", name, form)
		}
		require.NoError(t, f.Close())
	}
}
