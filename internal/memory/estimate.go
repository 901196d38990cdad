package memory

import (
	"fmt"

	"github.com/daguerre-go/daguerre/runtime/backend"
)

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
		q := Query{Owner: owner, Stage: c.stage, Batch: max(e.job.Chunks, 1), Height: 1, Width: 1, AttentionSlicing: e.strategy.AttentionSlicing,
			LoRAs: e.job.Adapters.LoRAs}
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
	if stage == StageDecode {
		for _, d := range e.job.Detectors {
			e.buffer(Detector, Query{Owner: d.Path, Stage: backend.StageDetect, Batch: 1, Height: d.Height, Width: d.Width})
		}
	}
	if stage != StageDecode || e.strategy.Name != Resident {
		return
	}
	for _, name := range e.nets(false) {
		e.controlBuffer(name)
	}
	if e.job.Refine {
		e.unetBuffer(OwnerRefiner)
	}
}

// unetBuffer adds the largest of the buffers that a UNet's evaluations take: one of them is there at a time.
func (e *estimator) unetBuffer(owner string) {
	h, w := e.seen()
	job := e.job
	if owner != OwnerModel {
		job = job.ofRefiner()
	}
	about := Query{Owner: owner, Stage: backend.StageUNet, Height: h, Width: w, Tokens: e.tokens(),
		AttentionSlicing: e.strategy.AttentionSlicing}
	job.addImages(&about)
	if len(e.nets(false)) > 0 && owner == OwnerModel {
		about.Residuals = e.residualsAt()
	}
	if len(e.nets(true)) > 0 && owner == OwnerModel {
		if about.BlockRows = 1; job.OneSided {
			about.BlockRows = job.rows(e.batch, e.strategy)
		}
	}
	if owner == OwnerModel {
		if about.XS = e.xs(); about.XS != "" { // a part of the UNet's graph
			e.add(HostID, about.XS, ControlNet, UseWork, e.graphBytes(about.XS, ControlNet))
		}
	}
	var largest Query
	var most int64
	for _, about.LoRAs = range job.Adapters.sets() {
		for _, ev := range job.evaluations(e.batch, e.strategy) {
			if e.err != nil {
				return
			}
			q := ev.of(about, job)
			n, err := e.compute(q)
			if err != nil {
				e.err = fmt.Errorf("%s: %w", UNet, err)
			}
			if n > most {
				largest, most = q, n
			}
		}
	}
	e.buffer(UNet, largest)
}

// residualsAt is where ControlNets leave what they add: on the UNet's device if all of them are there.
func (e *estimator) residualsAt() backend.ResidualsAt {
	for _, name := range e.nets(false) {
		if e.deviceOf(name, ControlNet) != e.deviceOf(OwnerModel, UNet) {
			return backend.ResidualsOnHost
		}
	}
	return backend.ResidualsOnDevice
}

// residuals adds the room for what ControlNets add, for the largest number of rows that an evaluation has.
func (e *estimator) residuals() {
	rows := 0
	for _, ev := range e.job.evaluations(e.batch, e.strategy) {
		rows = max(rows, ev.rows)
	}
	y, x := e.seen()
	if n := e.model.residualBytes(rows, y, x); e.residualsAt() == backend.ResidualsOnDevice {
		e.add(e.deviceOf(OwnerModel, UNet), OwnerModel, UNet, UseCompute, n)
	} else {
		e.add(HostID, "", "", UseHost, n)
	}
}

// features adds what a UNet keeps from step to step. The mean of both halves has a row for each picture; a deep feature has one for each
// row, and a second graph, which serves as many rows as are evaluated at once.
func (e *estimator) features(owner string) {
	if e.job.Keep == "" || e.err != nil {
		return
	}
	h, w := e.seen()
	job := e.job
	if owner != OwnerModel {
		job = job.ofRefiner()
	}
	q := Query{Owner: owner, Stage: backend.StageFeatures, Batch: e.batch, Height: h, Width: w, Tokens: e.tokens(),
		AttentionSlicing: e.strategy.AttentionSlicing, Keep: job.Keep, Branch: job.Branch}
	if job.Keep == backend.KeepDeep {
		q.Batch, q.Texts, q.LoRAs = job.rows(e.batch, e.strategy), job.texts(e.batch, e.strategy), job.Adapters.LoRAs
		q.Regions = job.regions(e.batch, e.strategy)
		if owner == OwnerModel {
			q.XS = e.xs()
		}
	}
	if e.strategy.Name == Stream { // its window serves one graph
		q.Use = backend.FeaturesStore
	}
	add := func() {
		n, err := e.compute(q)
		if err != nil {
			e.err = fmt.Errorf("features: %w", err)
		}
		e.add(e.deviceOf(owner, UNet), owner, UNet, UseCompute, n)
	}
	add()
	if more := job.halves(e.batch) + job.perturbed(e.batch) - q.Batch; more > 0 && job.Keep == backend.KeepDeep { // of the other rows
		q.Batch, q.Texts, q.Use = more, 0, backend.FeaturesStore
		add()
	}
}

func (e *estimator) controlBuffer(name string) {
	h, w := e.seen()
	e.buffer(ControlNet, Query{Owner: name, Stage: backend.StageControl, Batch: e.job.rows(e.batch, e.strategy), Height: h, Width: w,
		Tokens: e.tokens(), Texts: e.job.texts(e.batch, e.strategy), AttentionSlicing: e.strategy.AttentionSlicing,
		Regions: e.job.regions(e.batch, e.strategy), Kinds: e.job.Joined[name]})
}

// nets lists the job's ControlNets, or its T2I-Adapters.
func (e *estimator) nets(adapters bool) (names []string) {
	for _, name := range e.job.Controls {
		if s := e.model.Shapes[name]; !s.XS && s.T2IAdapter == adapters {
			names = append(names, name)
		}
	}
	return names
}

// xs is the job's ControlNet-XS; "": it has none.
func (e *estimator) xs() string {
	for _, name := range e.job.Controls {
		if e.model.Shapes[name].XS {
			return name
		}
	}
	return ""
}

func (e *estimator) controlHints() {
	e.begin(StageControl)
	h, w := e.seen()
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
	h, w := e.cells()
	for _, name := range e.nets(false) {
		e.controlBuffer(name)
	}
	y, x := e.seen()
	if n := len(e.nets(true)); n > 0 {
		rows := 1
		if e.job.OneSided {
			rows = e.job.rows(e.batch, e.strategy)
		}
		sum := e.model.blockBytes(rows, y, x)
		e.add(HostID, "", "", UseHost, 2*int64(n)*e.model.blockBytes(1, h, w)+sum) // each adapter's, whose tiles overlap, and their sum
	}
	if len(e.nets(false)) > 0 {
		e.residuals()
	}
	if e.job.Previews && e.model.has(OwnerTAESD) {
		e.buffer(VAEDecoder, Query{Owner: OwnerTAESD, Stage: backend.StageVAEDecode, Batch: 1, Height: h, Width: w})
		e.add(HostID, "", "", UseHost, pixelBytes(e.job.Width, e.job.Height))
	}
	e.add(HostID, "", "", UseHost, e.model.latentBytes(e.job, e.batch)+e.model.inputBytes(e.job, e.batch)+finishedBytes(e.job,
		e.unfinished()))
	e.scratchOf(OwnerModel, UNet)
}

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
