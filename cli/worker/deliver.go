package worker

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"image"
	"strings"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// defaultOutput names files where a request that wants paths does not.
const defaultOutput = "daguerre-{seed}.png"

// outputOf returns the pattern of a request's files as it was written.
func outputOf(r request.Request) string {
	if r.Output == "" || strings.HasSuffix(r.Output, "/") {
		return r.Output + defaultOutput
	}
	return r.Output
}

// values are what the placeholders of a part's file names stand for.
func (p *part) values(index int, seed int64) output.Values {
	return output.Values{Job: p.index, Index: index, Seed: seed, Width: p.req.Width, Height: p.req.Height, Steps: p.req.NumInferenceSteps,
		Scheduler: p.req.Scheduler, Model: pipeline.ModelName(p.model.Model), Prompt: p.req.Prompt, Time: p.o.s.opts.Now()}
}

// deliver saves or sends a finished picture.
func (p *part) deliver(img pipeline.Image) error {
	p.warn()
	d := p.o.msg.deliver
	e := imageEvent{Job: p.index, Index: img.Index, Seed: img.Seed, Width: img.Bounds().Dx(), Height: img.Bounds().Dy()}
	if p.name != nil {
		if err := p.save(img, &e); err != nil {
			return err
		}
	}
	if d.images == "base64" || d.images == "both" || e.Path == "" {
		format := imagefile.Format(cmp.Or(d.format, "png"))
		data, err := p.encode(img, format)
		if err != nil {
			return err
		}
		e.Data = base64.StdEncoding.EncodeToString(data)
		e.Format, e.Bytes = string(format), len(data)
	}
	p.mu.Lock()
	if p.req.SaveLatents != "" {
		p.latents[img.Index] = img.Latents
	}
	p.mu.Unlock()
	p.o.mu.Lock()
	p.o.images++
	p.o.mu.Unlock()
	p.o.emit("image", e)
	return nil
}

// save writes a picture's file.
func (p *part) save(img pipeline.Image, e *imageEvent) error {
	path, err := p.name.Name(p.values(img.Index, img.Seed))
	if err != nil {
		return err
	}
	format, err := imagefile.FormatOf(path)
	if err != nil {
		return err
	}
	data, err := p.encode(img, format)
	if err != nil {
		return err
	}
	if e.Path, err = p.o.s.files.Write(path, data); err != nil {
		return fmt.Errorf("saving the picture: %w", err)
	}
	e.Format, e.Bytes = string(format), len(data)
	return nil
}

// encode makes a picture's file, PNG with the texts that tell how it was made.
func (p *part) encode(img pipeline.Image, format imagefile.Format) ([]byte, error) {
	opts := imagefile.EncodeOptions{JPEGQuality: p.req.Quality}
	if texts := p.o.s.opts.Texts; texts != nil && format == imagefile.PNG && (p.req.Metadata == nil || *p.req.Metadata) {
		var err error
		if opts.Text, err = texts(p.o.ctx, p.model, p.plan.Result(), img); err != nil {
			return nil, err
		}
	}
	return imagefile.Encode(img.NRGBA, format, opts)
}

func encodeBase64(img image.Image, format imagefile.Format, quality int) (string, error) {
	data, err := imagefile.Encode(img, format, imagefile.EncodeOptions{JPEGQuality: quality})
	return base64.StdEncoding.EncodeToString(data), err
}

// saveLatents writes a part's final latents, [N, 4, height/8, width/8], where it asks for them and all its pictures were made.
func (p *part) saveLatents() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.req.SaveLatents == "" || len(p.latents) < p.req.NumImages {
		return nil
	}
	pattern, err := output.ParsePattern(p.req.SaveLatents)
	if err != nil {
		return err
	}
	path, err := pattern.Name(p.values(0, p.req.Seed))
	if err != nil {
		return err
	}
	shape := append([]int{len(p.latents)}, p.latents[0].Shape[1:]...)
	var data []float32
	for i := range p.req.NumImages {
		data = append(data, p.latents[i].Data...)
	}
	var buf bytes.Buffer
	if err := npy.Write(&buf, npy.Array{Shape: shape, Data: data}); err != nil {
		return err
	}
	final, err := p.o.s.files.Write(path, buf.Bytes())
	if err != nil {
		return fmt.Errorf("saving the latents: %w", err)
	}
	p.o.emit("latents", latentsEvent{Job: p.index, Path: final, Shape: shape})
	return nil
}
