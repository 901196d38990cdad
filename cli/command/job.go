package command

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/cli/progress"
	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// prepareFolders makes the folders of all outputs and checks that they can be written, so that this
// does not fail after the work. Seeds are not drawn yet; a pattern's folder seldom depends on one.
func (s *session) prepareFolders(jobs []request.Request) error {
	for i, job := range jobs {
		for _, p := range []string{outputOf(job), job.SaveLatents} {
			if p == "" {
				continue
			}
			pattern, err := output.ParsePattern(p)
			if err != nil {
				return err
			}
			path, err := pattern.Name(s.values(i, job, 0, max(job.Seed, 0)))
			if err != nil {
				return err
			}
			if err := s.files.Prepare(path); err != nil {
				return &usageError{message: err.Error()}
			}
		}
	}
	return nil
}

// values are what the placeholders of a job's file names stand for.
func (s *session) values(i int, job request.Request, index int, seed int64) output.Values {
	return output.Values{Job: i, Index: index, Seed: seed, Width: job.Width, Height: job.Height,
		Steps: job.NumInferenceSteps, Scheduler: job.Scheduler, Model: modelName(s.model), Prompt: job.Prompt, Time: s.env.Now()}
}

// stepOf turns the pipeline's progress into an event.
func stepOf(job int, p pipeline.Progress) progress.Step {
	return progress.Step{Job: job, Stage: string(p.Stage), Step: p.Step, Steps: p.Steps, Done: int64(p.Done), Total: int64(p.Total),
		Batch: p.Batch, Batches: p.Batches, Seconds: p.Elapsed.Seconds(), ETASeconds: p.ETA.Seconds(), StepsPerSecond: p.StepsPerSec}
}

// pictureWriter saves a job's pictures as they are finished.
type pictureWriter struct {
	session *session
	ctx     context.Context
	job     int
	req     request.Request
	plan    *pipeline.Result // for the manifests; without pictures
	pattern output.Pattern
	began   time.Time
	latents map[int]backend.Tensor // of the pictures saved, where the job wants them
}

// save writes one picture; it is not called again after an error.
func (w *pictureWriter) save(img pipeline.Image) error {
	s := w.session
	path, err := w.pattern.Name(s.values(w.job, w.req, img.Index, img.Seed))
	if err != nil {
		return err
	}
	format, err := imagefile.FormatOf(path)
	if err != nil {
		return err
	}
	opts := imagefile.EncodeOptions{JPEGQuality: w.req.Quality}
	if carriesMetadata(format, w.req) {
		if opts.Text, err = w.metadata(img); err != nil {
			return err
		}
	}
	data, err := imagefile.Encode(img.NRGBA, format, opts)
	if err != nil {
		return err
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if err := w.keepLatents(img); err != nil {
		return &outputError{fmt.Errorf("saving the latents: %w", err)}
	}
	final, err := s.write(pictureKey(w.job, img.Index), path, data)
	if err != nil {
		return &outputError{fmt.Errorf("saving the picture: %w", err)}
	}
	s.report.Report(progress.Image{Job: w.job, Index: img.Index, Seed: img.Seed, Path: final, Width: img.Bounds().Dx(),
		Height: img.Bounds().Dy(), Format: string(format), Bytes: len(data), Seconds: s.env.Now().Sub(w.began).Seconds()})
	return nil
}

// carriesMetadata reports whether a job's pictures of a format get text chunks.
func carriesMetadata(format imagefile.Format, job request.Request) bool {
	return format == imagefile.PNG && (job.Metadata == nil || *job.Metadata)
}

// needHashes reports whether any job's pictures name the model's files by their hashes.
func needHashes(jobs []request.Request) bool {
	return slices.ContainsFunc(jobs, func(job request.Request) bool {
		format, err := imagefile.FormatOf(outputOf(job))
		return err == nil && carriesMetadata(format, job)
	})
}

// metadata returns the text chunks of a PNG file.
func (w *pictureWriter) metadata(img pipeline.Image) ([]imagefile.Text, error) {
	hashes, err := w.session.hashes.wait(w.ctx)
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	if err != nil { // a picture without its model's hash is better than none
		w.session.unhashed.Do(func() {
			w.session.report.Report(progress.Warning{Message: "pictures will not name the model by its hash: " + err.Error()})
		})
	}
	if err := w.plan.HashLoRAs(w.ctx); err != nil && w.ctx.Err() == nil {
		w.session.report.Report(progress.Warning{Message: "the picture will not name all adapters by their hashes: " + err.Error()})
	}
	m := newManifest(w.session.env.Native.Library(), w.plan, img, hashes)
	text, err := m.json()
	if err != nil {
		return nil, err
	}
	return []imagefile.Text{{Keyword: "parameters", Value: a1111Parameters(m)}, {Keyword: "daguerre", Value: text}}, nil
}

// saveLatents writes a job's final latents, [N, 4, height/8, width/8], where it asks for them and has them all.
func (w *pictureWriter) saveLatents() error {
	s, i, req := w.session, w.job, w.req
	if req.SaveLatents == "" || len(w.latents) < req.NumImages {
		return nil
	}
	if s.journal != nil {
		if _, ok := s.journal.Find(latentsKey(i)); ok {
			return nil
		}
	}
	pattern, err := output.ParsePattern(req.SaveLatents)
	if err != nil {
		return err
	}
	path, err := pattern.Name(s.values(i, req, 0, req.Seed))
	if err != nil {
		return err
	}
	shape := append([]int{req.NumImages}, w.latents[0].Shape[1:]...)
	var data []float32
	for k := range req.NumImages {
		data = append(data, w.latents[k].Data...)
	}
	var buf bytes.Buffer
	if err := npy.Write(&buf, npy.Array{Shape: shape, Data: data}); err != nil {
		return err
	}
	final, err := s.write(latentsKey(i), path, buf.Bytes())
	if err != nil {
		return &outputError{fmt.Errorf("saving the latents: %w", err)}
	}
	w.dropLatents()
	s.report.Report(progress.Latents{Job: i, Path: final, Shape: shape})
	return nil
}
