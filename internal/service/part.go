package service

import (
	"bytes"
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// part is one job of a Run in work.
type part struct {
	r     *Run
	index int
	req   request.Request // prepared, with the seed drawn
	plan  *pipeline.Planned
	todo  []int // pictures to be made
	job   *pipeline.BatchJob
	loras pipeline.LoRAHandle

	mu       sync.Mutex
	started  bool
	reported time.Time
	warned   []string               // of the listener
	latents  map[int]backend.Tensor // of the pictures, where the job keeps them
}

// prepare fills in a job's defaults and reads its inputs.
func (r *Run) prepare(i int) (*part, error) {
	plan, err := r.batcher.Plan(r.Jobs[i])
	if err != nil {
		return nil, r.placed(i, err)
	}
	p := &part{r: r, index: i, plan: plan, req: plan.Request(), latents: map[int]backend.Tensor{}}
	if r.Live {
		if err := p.loras.Hold(plan); err != nil {
			return nil, err
		}
	}
	p.todo = p.missing()
	return p, nil
}

// submit gives the part's pictures to the queue.
func (p *part) submit() error {
	r := p.r
	o := pipeline.JobOptions{Name: r.Name, Owner: r.Owner, Priority: r.Priority, Deadline: r.Deadline, Indices: p.todo,
		OnImage: p.deliver, OnError: func(i int, err error) { r.fail(p.index, &i, err) }, OnProgress: p.progress,
		PreviewEvery: r.Delivery.Previews, PreviewMode: pipeline.PreviewAuto}
	if r.Live {
		o.LoRAs = &p.loras
	}
	job, err := r.batcher.TrySubmit(p.plan, o)
	r.mu.Lock()
	p.job = job
	r.mu.Unlock()
	if err == nil && r.ctx.Err() != nil { // given up between the two
		job.Cancel()
	}
	return err
}

// finish waits for the part's pictures and keeps what is kept at its end; err is why it was not queued.
func (p *part) finish(err error) {
	if err != nil {
		p.r.fail(p.index, nil, err)
	}
	if p.job != nil {
		<-p.job.Done()
		err = p.job.Err()
	}
	p.warn()
	if kept := p.saveLatents(); kept != nil {
		p.r.fail(p.index, nil, kept)
		err = kept
	}
	p.r.emit(JobEnded{p.index, err})
}

// warn tells of what was done otherwise than one may expect, each thing once for all batches.
func (p *part) warn() {
	for _, text := range p.plan.Warnings() {
		p.mu.Lock()
		known := slices.Contains(p.warned, text)
		if !known {
			p.warned = append(p.warned, text)
		}
		p.mu.Unlock()
		if !known {
			p.r.emit(Warning{p.index, text})
		}
	}
}

// start tells, once, that the part is begun with.
func (p *part) start() {
	if !p.started {
		p.started = true
		p.r.emit(Started{p.index, &p.req})
	}
}

// progress tells how a batch with pictures of the part goes on. Calls do not overlap.
func (p *part) progress(g pipeline.Progress) {
	p.start()
	d, now := p.r.Delivery, p.r.Now()
	last := g.Stage == pipeline.StageDone || g.Stage == pipeline.StageDenoise && g.Step == g.Steps
	if !d.Quiet && (last || now.Sub(p.reported) >= d.Every) {
		p.reported = now
		p.r.emit(Progress{p.index, g})
	}
	for i, img := range g.Previews {
		e := Preview{Job: p.index, Index: g.Indices[i], Step: g.Step, Image: img}
		if p.stored() {
			e.Name, _ = p.names().Picture(p.index, p.req, e.Index, g.Seeds[i]) // the picture itself will tell
		}
		p.r.emit(e)
	}
}

// The ways in which pictures come.
const (
	ImagesAsAsked = ""       // in the Store where the job names an output, else in the event
	ImagesPath    = "path"   // in the Store
	ImagesBase64  = "base64" // in the event
	ImagesBoth    = "both"
)

// Delivery says how pictures come, and what is told of them.
type Delivery struct {
	Store    Store
	Images   string           // one of the constants
	Format   imagefile.Format // of those in events; empty: PNG
	Previews int              // every so many steps; 0: none
	Quiet    bool             // no Progress
	Every    time.Duration    // least time between two Progress of a job
}

// stored reports whether the part's pictures go to the Store.
func (p *part) stored() bool { return p.r.Delivery.stores(p.req) }

// stores reports whether a job's pictures go to the Store.
func (d Delivery) stores(r request.Request) bool {
	return d.Images != ImagesBase64 && (d.Images != ImagesAsAsked || r.Output != "")
}

// names names the part's files.
func (p *part) names() Names { return Names{p.r.Model, p.r.Now} }

// resumer is the Store as one that knows what is there; nil where it does not.
func (p *part) resumer() Resumer {
	s, _ := p.r.Delivery.Store.(Resumer)
	return s
}

// missing lists the pictures that are not there yet.
func (p *part) missing() (todo []int) {
	s := p.resumer()
	for i := range p.req.NumImages {
		if s == nil || !s.Have(PictureKey(p.index, i)) || p.req.SaveLatents != "" && !p.readLatents(s, i) {
			todo = append(todo, i)
		}
	}
	return todo
}

// deliver keeps or hands over a finished picture.
func (p *part) deliver(img pipeline.Image) error {
	p.warn()
	d, size := p.r.Delivery, img.Bounds().Size()
	e := Picture{Job: p.index, Index: img.Index, Seed: img.Seed, Width: size.X, Height: size.Y}
	if err := p.keepLatents(img); err != nil {
		return err
	}
	if p.stored() {
		name, err := p.names().Picture(p.index, p.req, img.Index, img.Seed)
		if err != nil {
			return err
		}
		format, err := imagefile.FormatOf(name)
		if err != nil {
			return err
		}
		data, err := p.encode(img, format)
		if err != nil {
			return err
		}
		if e.Path, err = put(p.r.ctx, d.Store, "picture", PictureKey(p.index, img.Index), name, data); err != nil {
			return err
		}
		e.Format, e.Bytes = string(format), len(data)
	}
	if d.Images == ImagesBase64 || d.Images == ImagesBoth || !p.stored() {
		format := cmp.Or(d.Format, imagefile.PNG)
		data, err := p.encode(img, format)
		if err != nil {
			return err
		}
		e.Format, e.Bytes, e.Data = string(format), len(data), data
	}
	p.r.mu.Lock()
	p.r.result.Images++
	p.r.mu.Unlock()
	p.r.emit(e)
	return nil
}

// encode makes a picture's file.
func (p *part) encode(img pipeline.Image, format imagefile.Format) ([]byte, error) {
	opts := imagefile.EncodeOptions{JPEGQuality: p.req.Quality}
	if p.r.Texts != nil && HasText(p.req, format) {
		var err error
		if opts.Text, err = p.r.Texts(p.r.ctx, p.r.Model, p.plan.Result(), img); err != nil {
			return nil, err
		}
	}
	return imagefile.Encode(img.NRGBA, format, opts)
}

// keepLatents remembers a picture's latents for the job's file of them, where it wants one: for a run that may be continued in the Store.
func (p *part) keepLatents(img pipeline.Image) error {
	if p.req.SaveLatents == "" {
		return nil
	}
	p.mu.Lock()
	p.latents[img.Index] = img.Latents
	p.mu.Unlock()
	s := p.resumer()
	if s == nil || p.req.NumImages < 2 {
		return nil
	}
	var buf bytes.Buffer
	if err := npy.Write(&buf, npy.Array{Shape: img.Latents.Shape, Data: img.Latents.Data}); err != nil {
		return err
	}
	if err := s.Keep(partKey(p.index, img.Index), buf.Bytes()); err != nil {
		return &StoreError{err}
	}
	return nil
}

// readLatents reads back what keepLatents kept in an earlier part of the run. It reports whether nothing is missing.
func (p *part) readLatents(s Resumer, index int) bool {
	if s.Have(latentsKey(p.index)) {
		return true
	}
	data, err := s.Kept(partKey(p.index, index))
	if err != nil {
		return false
	}
	a, err := npy.Read(bytes.NewReader(data))
	p.latents[index] = backend.Tensor{Shape: a.Shape, Data: a.Data}
	return err == nil
}

// saveLatents keeps a part's final latents, [N, 4, height/8, width/8], where it asks for them and has them all.
func (p *part) saveLatents() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.resumer()
	if p.req.SaveLatents == "" || len(p.latents) < p.req.NumImages || s != nil && s.Have(latentsKey(p.index)) {
		return nil
	}
	name, err := p.names().Latents(p.index, p.req)
	if err != nil {
		return err
	}
	shape := slices.Concat([]int{p.req.NumImages}, p.latents[0].Shape[1:])
	var data []float32
	for i := range p.req.NumImages {
		data = append(data, p.latents[i].Data...)
	}
	var buf bytes.Buffer
	if err := npy.Write(&buf, npy.Array{Shape: shape, Data: data}); err != nil {
		return err
	}
	place, err := put(p.r.ctx, p.r.Delivery.Store, "latents", latentsKey(p.index), name, buf.Bytes())
	if err != nil {
		return err
	}
	for i := range p.req.NumImages {
		if s != nil {
			s.Drop(partKey(p.index, i))
		}
	}
	p.r.emit(Latents{p.index, place, shape})
	return nil
}
