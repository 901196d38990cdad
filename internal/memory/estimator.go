package memory

import (
	"fmt"
)

// estimator puts a Breakdown together.
type estimator struct {
	model    Model
	job      Job
	strategy Strategy
	window   int64
	batch    int
	compute  Compute
	out      Breakdown
	err      error
}

// held says how a part's weights are there during a stage.
func (e *estimator) held(p Part, stage string) (use Use, bytes int64) {
	if !e.strategy.present(p, stage, e.job, e.batch) {
		return UseWeights, 0
	}
	network := p.Component == UNet || p.Component == ControlNet && !e.model.Shapes[p.Owner].XS || p.Component == IPAdapter
	switch {
	case p.Owner == OwnerTAESD, p.Owner == OwnerUpscaler:
	case e.strategy.Name == Stream && (network || e.strategy.StreamText && isText(p.Component)):
		return UseWindow, min(max(e.window, p.Largest), p.Streamed) + p.Bytes - p.Streamed - p.Table
	case e.strategy.Name == Mmap:
		return UseWeights, p.Bytes - p.Mapped
	}
	return UseWeights, p.Bytes
}

// begin starts a stage with all that is held in it anyway.
func (e *estimator) begin(stage string) {
	e.out.Stages = append(e.out.Stages, StageUse{Name: stage})
	e.add(HostID, "", "", UseProcess, e.model.Process+processGrowth)
	for _, p := range e.model.Parts {
		use, n := e.held(p, stage)
		e.add(p.Device, p.Owner, p.Component, use, n)
		if use == UseWindow && p.Device != HostID { // devices are fed from host memory
			e.add(HostID, p.Owner, p.Component, UseWeights, p.Bytes)
		}
	}
	if stage != StageLoad {
		done := e.job.Earlier + max(e.job.Images, 1) - 1
		if stage != StageDecode {
			done -= e.unfinished() - 1
		}
		e.add(HostID, "", "", UseHost, garbageBytes(e.job, done)+int64(min(e.job.Jobs, jobsInWork))*readyBytes)
		if stage == StageDecode {
			e.add(HostID, "", "", UseHost, encoderBytes)
		}
		e.add(HostID, "", "", UseAdapters, e.job.Adapters.Kept)
		e.add(e.deviceOf(OwnerModel, UNet), "", "", UseAdapters, e.job.Adapters.Applied)
		e.add(HostID, "", "", UseWork, int64(e.job.Adapters.Changes)*graphPerChange)
	}
}

func (e *estimator) add(device, owner, component string, use Use, bytes int64) {
	if bytes <= 0 {
		return
	}
	s := &e.out.Stages[len(e.out.Stages)-1]
	s.Items = append(s.Items, Item{Device: device, Owner: owner, Component: component, Use: use, Bytes: bytes})
}

// deviceOf is where an owner's component is; the host for one that is not there.
func (e *estimator) deviceOf(owner, component string) string {
	if p, ok := e.model.part(owner, component); ok {
		return p.Device
	}
	return HostID
}

// buffer adds a graph's compute buffer and what goes with it.
func (e *estimator) buffer(component string, q Query) {
	if e.err != nil {
		return
	}
	n, err := e.compute(q)
	if err != nil {
		e.err = fmt.Errorf("%s: %w", component, err)
		return
	}
	device := e.deviceOf(q.Owner, component)
	e.add(device, q.Owner, component, UseCompute, n)
	e.add(HostID, q.Owner, component, UseWork, e.graphBytes(q.Owner, component))
	if device == HostID {
		e.add(HostID, q.Owner, component, UseWork, e.model.workBytes(q))
	}
}

// graphBytes is the description of a component's graph.
func (e *estimator) graphBytes(owner, component string) int64 {
	p, _ := e.model.part(owner, component)
	return int64(p.Weights) * graphPerWeight
}

func (e *estimator) cells() (height, width int) {
	unit := max(e.model.Shapes[OwnerModel].Downscale, 1)
	return e.job.Height / unit, e.job.Width / unit
}

// seen is what the UNet sees at once, in cells of the latents.
func (e *estimator) seen() (height, width int) {
	height, width = e.cells()
	if e.job.Tile != [2]int{} {
		unit := max(e.model.Shapes[OwnerModel].Downscale, 1)
		height, width = min(height, e.job.Tile[0]/unit), min(width, e.job.Tile[1]/unit)
	}
	return height, width
}

// scratchOf adds the loading of components within a stage. It is over before the graph is computed.
func (e *estimator) scratchOf(owner string, components ...string) {
	if e.strategy.Name == Resident {
		return
	}
	var scratch, compute int64
	for _, c := range components {
		if p, ok := e.model.part(owner, c); ok {
			scratch = max(scratch, e.model.loading(p))
		}
	}
	for _, i := range e.out.Stages[len(e.out.Stages)-1].Items {
		if i.Device == HostID && (i.Use == UseCompute || i.Use == UseWork) && i.Owner == owner {
			compute += i.Bytes
		}
	}
	e.add(HostID, owner, "", UseScratch, scratch-compute)
}

func isText(component string) bool {
	return component == TextEncoder || component == TextEncoder2 || component == ImageEncoder
}

// unfinished is how many pictures the last batch has, which finds the most others finished.
func (e *estimator) unfinished() int { return min(e.batch, max(e.job.Images, 1)) }
