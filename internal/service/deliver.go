package service

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

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
func (p *part) stored() bool {
	images := p.r.Delivery.Images
	return images != ImagesBase64 && (images != ImagesAsAsked || p.req.Output != "")
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
		if s == nil || !s.Have(pictureKey(p.index, i)) || p.req.SaveLatents != "" && !p.readLatents(s, i) {
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
		if e.Path, err = put(p.r.ctx, d.Store, "picture", pictureKey(p.index, img.Index), name, data); err != nil {
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
