package plan

import (
	"log/slog"
	"sync"

	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/memory"
	"github.com/daguerre-go/daguerre/internal/models"
	"github.com/daguerre-go/daguerre/internal/vae"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Options say what a Planner plans for.
type Options struct {
	Sources models.Sources
	Base    models.Opening // of Sources.Base
	Refiner models.Opening // of Sources.Refiner, if there is one
	Policy  vae.Policy
	Fast    bool // the TAESD decodes pictures
	Memory  request.Memory
	// Separate evaluates the halves of guidance one after the other, where a request leaves it open: the device is faster so.
	Separate bool
	Log      *slog.Logger
}

// Planner plans for one pipeline, open or not. It is safe for concurrent use.
type Planner struct {
	Options
	Info backend.ModelInfo // of the base

	backend backend.Backend // nil: nothing is measured, formulas are used
	probes  *probes
	model   memory.Model // what the pipeline holds or would hold, without the ControlNets and adapters of jobs
	kinds   map[string]backend.DeviceKind
	main    string // the UNet's device
	flash   bool
	compute memory.Compute
	fits    map[string]memory.Fit // without a backend
	set     *models.Set           // once the pipeline is open
	holding models.Holding        // under which it was opened

	modules  *adapters.Model              // what adapters can change
	policies map[string]memory.TypePolicy // of its components

	mu       sync.Mutex                   // held while something is planned
	adapters map[string][]adapters.Change // by path
	loras    map[string]*memory.LoRAs     // by the paths of their files
	nets     map[string][]memory.Part
}

// Device is where the UNet is.
func (p *Planner) Device() string { return p.main }

// Measured reports whether compute buffers are the backend's own figures.
func (p *Planner) Measured() bool { return p.backend != nil }

// Close closes the models that are open to be measured.
func (p *Planner) Close() error {
	if p.probes == nil {
		return nil
	}
	return p.probes.close()
}
