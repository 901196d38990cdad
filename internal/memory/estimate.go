package memory

import (
	"fmt"
	"slices"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

// Use says what an item of a Breakdown is.
type Use string

// The uses.
const (
	UseProcess  Use = "process"  // what the program holds by itself
	UseWeights  Use = "weights"  // of a component, all of them
	UseWindow   Use = "window"   // through which a component's weights are streamed
	UseCompute  Use = "compute"  // the graph's buffer
	UseWork     Use = "work"     // what operations convert their inputs into, and the graph's description
	UseAdapters Use = "adapters" // LoRA and its kin
	UseHost     Use = "host"     // latents, pixels and copies in Go's memory
	UseScratch  Use = "scratch"  // conversion of weights while they are loaded
	UseIdle     Use = "idle"     // models that stay open between jobs, and that this one does not use
)

// Item is what one thing holds on one device during a stage.
type Item struct {
	Device    string `json:"device"`
	Owner     string `json:"owner,omitempty"`
	Component string `json:"component,omitempty"`
	Use       Use    `json:"use"`
	Bytes     int64  `json:"bytes"`
}

// StageUse is all that is held during one stage.
type StageUse struct {
	Name  string `json:"name"`
	Items []Item `json:"items"`
}

// On sums up what a stage holds on a device.
func (s StageUse) On(device string) (n int64) {
	for _, i := range s.Items {
		if i.Device == device {
			n += i.Bytes
		}
	}
	return n
}

// Breakdown is the memory of a run, stage by stage.
type Breakdown struct {
	Stages []StageUse `json:"stages"`
}

// Peak returns the most that is held on a device at once, and in which stage.
func (b Breakdown) Peak(device string) (bytes int64, stage string) {
	for _, s := range b.Stages {
		if n := s.On(device); n > bytes {
			bytes, stage = n, s.Name
		}
	}
	return bytes, stage
}

// With returns the breakdown with an item in every stage.
func (b Breakdown) With(i Item) Breakdown {
	out := Breakdown{Stages: slices.Clone(b.Stages)}
	for k := range out.Stages {
		s := &out.Stages[k]
		s.Items = append(slices.Clip(s.Items), i)
	}
	return out
}

// Of returns the bytes of one use of a component in a stage; 0 where there is none.
func (b Breakdown) Of(stage, owner, component string, use Use) (n int64) {
	for _, s := range b.Stages {
		for _, i := range s.Items {
			if s.Name == stage && i.Owner == owner && i.Component == component && i.Use == use {
				n += i.Bytes
			}
		}
	}
	return n
}

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

// Estimate says what a job holds with pictures of batch at once under a strategy. window is that of streamed components. The error
// is compute's.
func Estimate(m Model, j Job, s Strategy, window int64, batch int, compute Compute) (Breakdown, error) {
	e := &estimator{model: m, job: j, strategy: s, window: window, batch: batch, compute: compute}
	e.load()
	e.text()
	if len(j.Shown) > 0 {
		e.images()
	}
	if len(j.Controls) > 0 {
		e.controlHints()
	}
	if j.Encode {
		e.vae(StageEncode, VAEEncoder, backend.StageVAEEncode, OwnerModel)
	}
	e.denoise()
	if j.Refine {
		e.refine()
	}
	if j.Enlarge {
		e.vae(StageUpscale, VAEEncoder, backend.StageVAEEncode, OwnerModel)
	}
	if j.FastDecode {
		e.vae(StageDecode, VAEDecoder, backend.StageVAEDecode, OwnerTAESD)
	} else {
		e.vae(StageDecode, VAEDecoder, backend.StageVAEDecode, OwnerModel)
	}
	return e.out, e.err
}

// held says how a part's weights are there during a stage.
func (e *estimator) held(p Part, stage string) (use Use, bytes int64) {
	if !e.strategy.present(p, stage, e.job, e.batch) {
		return UseWeights, 0
	}
	network := p.Component == UNet || p.Component == ControlNet || p.Component == IPAdapter
	switch {
	case p.Owner == OwnerTAESD, p.Owner == OwnerUpscaler:
	case e.strategy.Name == Stream && (network || e.strategy.StreamText && isText(p.Component)):
		return UseWindow, min(max(e.window, p.Largest), p.Streamed) + p.Bytes - p.Streamed - p.Table
	case e.strategy.Name == Mmap:
		return UseWeights, p.Bytes - p.Mapped
	}
	return UseWeights, p.Bytes
}

func isText(component string) bool {
	return component == TextEncoder || component == TextEncoder2 || component == ImageEncoder
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

// tokens is the length of the UNet's context.
func (e *estimator) tokens() int { return tokensPerChunk * max(e.job.Chunks, 1) }

// load is the moment of opening in which most is held: parts are loaded one after the other, each with what threads need for it.
func (e *estimator) load() {
	e.begin(StageLoad)
	var loaded, most int64
	for _, p := range e.model.Parts {
		use, n := e.held(p, StageLoad)
		if n == 0 || use != UseWeights {
			continue
		}
		if p.Device == HostID {
			loaded += n
		}
		most = max(most, loaded+e.model.loading(p))
	}
	e.add(HostID, "", "", UseScratch, most-loaded)
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

func (e *estimator) text() {
	e.begin(StageText)
	owner := OwnerModel
	var largest Query
	var most int64
	at := ""
	for _, c := range []struct {
		component string
		stage     backend.Stage
	}{{TextEncoder, backend.StageText}, {TextEncoder2, backend.StageText2}} {
		if _, ok := e.model.part(owner, c.component); !ok || e.err != nil {
			continue
		}
		q := Query{Owner: owner, Stage: c.stage, Batch: max(e.job.Chunks, 1), Height: 1, Width: 1, AttentionSlicing: e.strategy.AttentionSlicing}
		n, err := e.compute(q)
		if err != nil {
			e.err = fmt.Errorf("%s: %w", c.component, err)
		}
		if n > most {
			largest, most, at = q, n, c.component
		}
	}
	if most > 0 {
		e.buffer(at, largest)
	}
	e.scratchOf(owner, TextEncoder, TextEncoder2)
}

func (e *estimator) vae(stage, component string, kind backend.Stage, owner string) {
	e.begin(stage)
	h, w := e.cells()
	waiting, n := 1, 1
	if stage == StageDecode && (e.job.Together || owner == OwnerModel) {
		waiting = e.batch
	}
	if e.job.Together {
		n = waiting
	}
	q := Query{Owner: owner, Stage: kind, Batch: waiting, Together: e.job.Together, Height: h, Width: w, Tiled: e.strategy.Tiling &&
		owner == OwnerModel, AttentionSlicing: e.strategy.AttentionSlicing}
	e.buffer(component, q)
	e.heldBuffers(stage)
	e.add(HostID, "", "", UseHost, e.model.latentBytes(e.job, e.batch)+int64(n)*pixelBytes(e.job.Width, e.job.Height)+finishedBytes(e.job, 0))
	e.scratchOf(owner, component)
}

// heldBuffers adds the buffers that models besides the base keep after they have computed.
func (e *estimator) heldBuffers(stage string) {
	if e.job.Upscale != [2]int{} && (stage == StageUpscale || stage == StageDecode) {
		e.add(HostID, "", "", UseHost, e.model.enlargedBytes(e.job))
		e.buffer(Upscaler, Query{Owner: OwnerUpscaler, Stage: backend.StageUpscale, Batch: 1, Height: e.job.Upscale[0], Width: e.job.Upscale[1]})
	}
	if stage != StageDecode || e.strategy.Name != Resident {
		return
	}
	for _, name := range e.job.Controls {
		e.controlBuffer(name)
	}
	if e.job.Refine {
		e.unetBuffer(OwnerRefiner)
	}
}

func (e *estimator) unetBuffer(owner string) {
	h, w := e.cells()
	q := Query{Owner: owner, Stage: backend.StageUNet, Batch: e.job.rows(e.batch, e.strategy), Height: h, Width: w,
		Tokens: e.tokens(), Texts: e.job.texts(e.batch, e.strategy), AttentionSlicing: e.strategy.AttentionSlicing}
	if owner == OwnerModel { // a refiner sees no pictures
		e.job.addImages(&q)
	}
	e.buffer(UNet, q)
}

// features adds what a UNet keeps from step to step. The mean of both halves has a row for each picture; a deep feature has one for each row.
func (e *estimator) features(owner string) {
	if e.job.Keep == "" || e.err != nil {
		return
	}
	h, w := e.cells()
	q := Query{Owner: owner, Stage: backend.StageFeatures, Batch: e.batch, Height: h, Width: w, Tokens: e.tokens(),
		AttentionSlicing: e.strategy.AttentionSlicing, Keep: e.job.Keep, Branch: e.job.Branch}
	if e.job.Keep == backend.KeepDeep {
		q.Batch, q.Texts = e.job.rows(e.batch, Strategy{}), e.job.texts(e.batch, e.strategy)
	}
	n, err := e.compute(q)
	if err != nil {
		e.err = fmt.Errorf("features: %w", err)
	}
	e.add(e.deviceOf(owner, UNet), owner, UNet, UseCompute, n)
}

func (e *estimator) controlBuffer(name string) {
	h, w := e.cells()
	e.buffer(ControlNet, Query{Owner: name, Stage: backend.StageControl, Batch: e.job.rows(e.batch, e.strategy), Height: h, Width: w,
		Tokens: e.tokens(), Texts: e.job.texts(e.batch, e.strategy), AttentionSlicing: e.strategy.AttentionSlicing})
}

func (e *estimator) controlHints() {
	e.begin(StageControl)
	h, w := e.cells()
	for _, name := range e.job.Controls {
		e.buffer(ControlNet, Query{Owner: name, Stage: backend.StageControlHint, Batch: 1, Height: h, Width: w})
	}
	e.add(HostID, "", "", UseHost, pixelBytes(e.job.Width, e.job.Height))
}

func (e *estimator) denoise() {
	e.begin(StageDenoise)
	e.unetBuffer(OwnerModel)
	e.features(OwnerModel)
	e.add(HostID, "", "", UseHost, e.job.imageBytes())
	for _, name := range e.job.Controls {
		e.controlBuffer(name)
	}
	if len(e.job.Controls) > 0 {
		h, w := e.cells()
		e.add(e.deviceOf(OwnerModel, UNet), OwnerModel, UNet, UseCompute, e.model.residualBytes(e.job.rows(e.batch, e.strategy), h, w))
	}
	if e.job.Previews && e.model.has(OwnerTAESD) {
		h, w := e.cells()
		e.buffer(VAEDecoder, Query{Owner: OwnerTAESD, Stage: backend.StageVAEDecode, Batch: 1, Height: h, Width: w})
		e.add(HostID, "", "", UseHost, pixelBytes(e.job.Width, e.job.Height))
	}
	e.add(HostID, "", "", UseHost, e.model.latentBytes(e.job, e.batch)+e.model.inputBytes(e.job, e.batch)+finishedBytes(e.job,
		e.unfinished()))
	e.scratchOf(OwnerModel, UNet)
}

// unfinished is how many pictures the last batch has, which finds the most others finished.
func (e *estimator) unfinished() int { return min(e.batch, max(e.job.Images, 1)) }

func (e *estimator) refine() {
	e.begin(StageRefine)
	e.unetBuffer(OwnerRefiner)
	e.features(OwnerRefiner)
	if e.strategy.Name == Resident { // the base keeps its buffer beside the refiner's
		e.unetBuffer(OwnerModel)
	}
	e.add(HostID, "", "", UseHost, e.model.latentBytes(e.job, e.batch)+e.model.inputBytes(e.job, e.batch)+finishedBytes(e.job,
		e.unfinished()))
	e.scratchOf(OwnerRefiner, UNet, TextEncoder, TextEncoder2)
}
