package adapters

import (
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/locate"
)

// Extensions are the endings of the names of adapter files, in the order of preference.
var Extensions = []string{".safetensors", ".pt", ".pth", ".ckpt", ".bin"}

// NewLibrary makes a library of the adapters in folders and below them.
func NewLibrary(dirs ...string) *library.Library {
	return library.New(library.Options{Directories: dirs, Setting: "lora_directories", What: "adapters", Extensions: Extensions,
		Inside: []string{"pytorch_lora_weights.safetensors", "adapter_model.safetensors", "adapter_model.bin"}, Also: locate.Also})
}
