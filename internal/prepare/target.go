package prepare

import (
	"github.com/daguerre-go/daguerre/internal/conditioning"
	"github.com/daguerre-go/daguerre/internal/library"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Target is what requests are prepared for: what is known of a pipeline's models, whether or not their weights are loaded. It is safe
// for concurrent use.
type Target struct {
	Settings models.Settings
	Info     backend.ModelInfo // of the base
	// Model reads texts. Nil: nothing can be tokenized, and lengths of texts are estimated.
	Model    backend.Model
	Words    *conditioning.Vocabulary
	Refiner  bool
	Upscaler bool
	Adapters *library.Library
	Nets     *library.Library // of ControlNets
	Fileless bool             // the backend has no files

	Detectors    *library.Library // by name
	IPAdapters   *library.Library // of IP-Adapters and image encoders
	ImageEncoder string           // for IP-Adapters that name none
	Attentions   []models.Attention

	WildcardDirectories, StyleFiles []string
}
