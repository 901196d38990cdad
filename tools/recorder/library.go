package main

// All that the recorder uses of the Go API is in this file.

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/daguerre-go/daguerre/models/nano"
	"github.com/daguerre-go/daguerre/runtime/lora"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// nanoFile is the name of the embedded model's file.
func nanoFile(ctx context.Context) (string, error) { return nano.Path(ctx) }

// library makes the runs by calls of the library.
func (s session) library(ctx context.Context, runs []*run) error {
	ways := []struct {
		face string
		call func(context.Context, libraryRun) error
	}{{"generate", callGenerate}, {"batcher", callBatcher}}
	for _, r := range runs {
		for _, way := range ways {
			if !r.wants(way.face) {
				continue
			}
			o := newOutcome()
			r.outcomes[way.face] = o
			if o.err = r.call(ctx, way.face, o, way.call); ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return nil
}

// libraryRun is a run on an open pipeline.
type libraryRun struct {
	*run
	*outcome
	pipe *pipeline.Pipeline
	file request.Run
	mu   *sync.Mutex // guards outcome
}

// call opens the run's model and makes its pictures with f.
func (r *run) call(ctx context.Context, face string, o *outcome, f func(context.Context, libraryRun) error) error {
	path, err := r.writeFile(face)
	if err != nil {
		return err
	}
	file, err := request.ReadFile(path)
	if err != nil {
		return err
	}
	pipe, err := pipeline.Open(ctx, pipeline.ConfigOf(file.Model), pipeline.WithJobs(file.Jobs...))
	if err != nil {
		return err
	}
	if err := f(ctx, libraryRun{run: r, outcome: o, pipe: pipe, file: file, mu: &sync.Mutex{}}); err != nil {
		_ = pipe.Close()
		return err
	}
	return pipe.Close()
}

// callGenerate makes one job after the other.
func callGenerate(ctx context.Context, r libraryRun) error {
	for i, req := range r.file.Jobs {
		label := r.jobs[i].label
		var handle pipeline.LoRAHandle
		changer := r.changer(&handle)
		last := -1
		opts := []pipeline.GenerateOption{pipeline.WithProgress(func(p pipeline.Progress) {
			if p.Stage == pipeline.StageDenoise && p.Batch != last {
				last = p.Batch
				r.batches[label] = append(r.batches[label], p.Count)
			}
			for k, img := range p.Previews {
				r.outcome.previews[previewKey(label, p.First+k, p.Step)] = hashPixels(img)
			}
			changer(p)
		})}
		if r.live != nil {
			opts = append(opts, pipeline.WithLoRAs(&handle))
		}
		if r.run.previews > 0 {
			opts = append(opts, pipeline.WithPreview(r.run.previews, pipeline.PreviewAuto))
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
		r.memory = res.Memory.Strategy.String()
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
		changer := r.changer(&handle)
		var last []int
		options := pipeline.JobOptions{PreviewEvery: r.run.previews, PreviewMode: pipeline.PreviewAuto,
			OnImage: func(img pipeline.Image) error { return r.addImage(label, img, plan.Result()) },
			OnProgress: func(p pipeline.Progress) {
				r.mu.Lock()
				if p.Stage == pipeline.StageDenoise && !slices.Equal(last, p.Indices) {
					last = slices.Clone(p.Indices)
					r.batches[label] = append(r.batches[label], p.Together)
				}
				for k, img := range p.Previews {
					r.outcome.previews[previewKey(label, p.Indices[k], p.Step)] = hashPixels(img)
				}
				r.mu.Unlock()
				changer(p)
			}}
		if r.live != nil {
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
	}
	for _, plan := range plans {
		r.warnings = append(r.warnings, plan.Warnings()...)
	}
	return nil
}

// changer returns a function that makes the run's change of an adapter, once, at its step.
func (r libraryRun) changer(handle *pipeline.LoRAHandle) func(pipeline.Progress) {
	done := r.live == nil
	return func(p pipeline.Progress) {
		if done || p.Stage != pipeline.StageDenoise || p.Step != r.live.step {
			return
		}
		done = true
		err := handle.Update(r.live.adapter, func(a *lora.Adapter) {
			for key, value := range r.live.values {
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
		})
		if err != nil {
			r.mu.Lock()
			r.warnings = append(r.warnings, "changing the adapter: "+err.Error())
			r.mu.Unlock()
		}
	}
}

// addImage records a picture.
func (r libraryRun) addImage(label string, img pipeline.Image, res *pipeline.Result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := img.Bounds().Size()
	r.pictures = append(r.pictures, picture{job: label, index: img.Index, Width: size.X, Height: size.Y, Seed: img.Seed,
		Pixels: hashPixels(img.NRGBA), Latents: hashFloats(img.Latents.Data)})
	if img.Index > 0 {
		return nil
	}
	data, err := json.Marshal(res.Manifest(img))
	r.manifests[label] = data
	return err
}
