package main

// All that the recorder uses of the public Go API is in this file.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// libraryRun is a run on an open pipeline.
type libraryRun struct {
	*run
	*outcome
	pipe *pipeline.Pipeline
	file request.Run
	mu   *sync.Mutex // guards outcome
}

// library makes a face of calls: it opens a run's model and makes its pictures with f.
func library(face string, f func(context.Context, libraryRun) error) func(context.Context, *run, *outcome) error {
	return func(ctx context.Context, r *run, o *outcome) error {
		file, err := request.Decode(r.file(face))
		if err != nil {
			return err
		}
		pipe, err := pipeline.Open(ctx, pipeline.ConfigOf(file.Model), pipeline.WithJobs(file.Jobs...))
		if err != nil {
			return err
		}
		return errors.Join(f(ctx, libraryRun{run: r, outcome: o, pipe: pipe, file: file, mu: &sync.Mutex{}}), pipe.Close())
	}
}

// callGenerate makes one job after the other.
func callGenerate(ctx context.Context, r libraryRun) error {
	for i, req := range r.file.Jobs {
		label := r.jobs[i].label
		var handle pipeline.LoRAHandle
		opts := []pipeline.GenerateOption{pipeline.WithProgress(r.watch(label, &handle))}
		if r.Live != nil {
			opts = append(opts, pipeline.WithLoRAs(&handle))
		}
		if r.Previews > 0 {
			opts = append(opts, pipeline.WithPreview(r.Previews, pipeline.PreviewAuto))
		}
		res, err := r.pipe.Generate(ctx, req, opts...)
		if err != nil {
			return err
		}
		for _, img := range res.Images {
			if err := r.addImage(label, img, res); err != nil {
				return err
			}
		}
		r.warnings = append(r.warnings, res.Warnings...)
		r.found["memory"] = res.Memory.Strategy.String()
	}
	return nil
}

// callBatcher gives all jobs to one Batcher before it begins.
func callBatcher(ctx context.Context, r libraryRun) error {
	b := pipeline.NewBatcher(pipeline.BatcherOptions{Paused: true}, r.pipe)
	defer b.Close()
	var plans []*pipeline.Planned
	var jobs []*pipeline.BatchJob
	for i, req := range r.file.Jobs {
		label := r.jobs[i].label
		plan, err := b.Plan(req)
		if err != nil {
			return err
		}
		var handle pipeline.LoRAHandle
		options := pipeline.JobOptions{PreviewEvery: r.Previews, PreviewMode: pipeline.PreviewAuto, OnProgress: r.watch(label, &handle),
			OnImage: func(img pipeline.Image) error { return r.addImage(label, img, plan.Result()) }}
		if r.Live != nil {
			options.LoRAs = &handle
		}
		job, err := b.Submit(ctx, plan, options)
		if err != nil {
			return err
		}
		plans, jobs = append(plans, plan), append(jobs, job)
	}
	b.Resume()
	for i, job := range jobs {
		if err := job.Wait(ctx); err != nil {
			return fmt.Errorf("job %s: %w", r.jobs[i].label, err)
		}
		r.warnings = append(r.warnings, plans[i].Warnings()...)
	}
	return nil
}

// watch returns a function that records batches and previews, and makes the run's change of an adapter at its step.
func (r libraryRun) watch(label string, handle *pipeline.LoRAHandle) func(pipeline.Progress) {
	last, changed := "", r.Live == nil
	return func(p pipeline.Progress) {
		r.mu.Lock()
		defer r.mu.Unlock()
		batch, index := fmt.Sprint(p.Batch), func(k int) int { return p.First + k }
		if p.Indices != nil { // of a Batcher
			batch, index = fmt.Sprint(p.Indices), func(k int) int { return p.Indices[k] }
		}
		for k, img := range p.Previews {
			r.found[previewKey(label, index(k), p.Step)] = hashPixels(img)
		}
		if p.Stage != pipeline.StageDenoise {
			return
		}
		if batch != last {
			last = batch
			r.batch(label, p.Together)
		}
		if !changed && p.Step == r.Live.Step {
			changed = true
			if err := handle.Update(r.Live.Adapter, r.Live.make); err != nil {
				r.warnings = append(r.warnings, "changing the adapter: "+err.Error())
			}
		}
	}
}

// make makes the change.
func (c *change) make(a *lora.Adapter) {
	for key, value := range c.Values {
		switch w, _ := value.(float64); key {
		case "weight":
			a.Weight, a.UNetWeight, a.TextEncoderWeight = &w, nil, nil
		case "unet_weight":
			a.UNetWeight = &w
		case "text_encoder_weight":
			a.TextEncoderWeight = &w
		case "enabled":
			on, _ := value.(bool)
			a.Enabled = &on
		}
	}
}

// addImage records a picture.
func (r libraryRun) addImage(label string, img pipeline.Image, res *pipeline.Result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := pictureOf(img.NRGBA, img.Seed, img.Latents.Data)
	return r.add(label, img.Index, p, func() (json.RawMessage, error) { return json.Marshal(res.Manifest(img)) })
}
