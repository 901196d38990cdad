package command

import (
	"context"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Native reports on libdaguerre. The program's own one asks runtime/backend/native.
type Native interface {
	// Library loads libdaguerre, if that was not done yet, and reports on it.
	Library() Library
	// Devices lists what the library can compute on.
	Devices(ctx context.Context) ([]backend.Device, error)
	// Quantizer loads the library, if that was not done yet, for the conversion of weights.
	Quantizer() (backend.Quantizer, error)
	// Open loads the library, if that was not done yet, and opens a model that is none of a pipeline's.
	Open(ctx context.Context, cfg backend.ModelConfig) (backend.Model, error)
}

// Library is what is known about libdaguerre.
type Library struct {
	Loaded      bool      `json:"loaded"`
	Path        string    `json:"path,omitempty"`
	Variant     string    `json:"variant,omitempty"` // "cpu", "vulkan", "cuda"
	Version     string    `json:"version,omitempty"`
	Engine      string    `json:"engine,omitempty"` // pin of the engine
	Compiler    string    `json:"compiler,omitempty"`
	Features    []string  `json:"features,omitempty"`     // compiled in
	CPUFeatures []string  `json:"cpu_features,omitempty"` // of this CPU
	Attempts    []Attempt `json:"attempts"`
	Error       string    `json:"error,omitempty"`
}

// Attempt is one file that was tried and what came of it.
type Attempt struct {
	Path    string `json:"path"`
	Variant string `json:"variant,omitempty"`
	Source  string `json:"source"` // why it was tried
	Outcome string `json:"outcome"`
	OK      bool   `json:"ok"` // it is in use
}
