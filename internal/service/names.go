package service

import (
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/imagefile"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// DefaultOutput names pictures where a request does not.
const DefaultOutput = "daguerre-{seed}.png"

// ModelName is what a model is called in messages and file names: nano, or its file's name.
func ModelName(m request.Model) string {
	if m.Model == "" {
		return pipeline.ModelName(m.UNet)
	}
	return pipeline.ModelName(filepath.Clean(m.Model))
}

// OutputOf returns the pattern of a job's pictures as it was written.
func OutputOf(r request.Request) string {
	if r.Output == "" || strings.HasSuffix(r.Output, "/") || strings.HasSuffix(r.Output, string(filepath.Separator)) {
		return r.Output + DefaultOutput
	}
	return r.Output
}

// patternOf is OutputOf with a name of its own for each of the job's pictures.
func patternOf(r request.Request) (output.Pattern, error) {
	p, err := output.ParsePattern(OutputOf(r))
	if err != nil {
		return p, err
	}
	return p.Distinct(max(r.NumImages, 1)), nil
}

// CheckNames finds what is wrong with the names of a job's files; at spells the path of a key.
func CheckNames(r request.Request, at func(key string) string, errs *request.Errors) {
	if _, err := patternOf(r); err != nil {
		errs.Add(at("output"), "%v", err)
	} else if _, err := imagefile.FormatOf(OutputOf(r)); err != nil {
		errs.Add(at("output"), "%v", err)
	}
	if r.SaveLatents == "" {
		return
	}
	if _, err := output.ParsePattern(r.SaveLatents); err != nil {
		errs.Add(at("save_latents"), "%v", err)
	} else if !strings.EqualFold(filepath.Ext(r.SaveLatents), ".npy") {
		errs.Add(at("save_latents"), "%q does not end in .npy", words.Clip(r.SaveLatents))
	}
}

// HasText reports whether pictures of a job in a format carry texts that tell how they were made.
func HasText(r request.Request, format imagefile.Format) bool {
	return format == imagefile.PNG && (r.Metadata == nil || *r.Metadata)
}

// Names turns patterns into the names of a run's files.
type Names struct {
	Model request.Model
	Now   func() time.Time
}

// values are what the placeholders of a job's names stand for.
func (n Names) values(job int, r request.Request, index int, seed int64) output.Values {
	return output.Values{Job: job, Index: index, Seed: seed, Width: r.Width, Height: r.Height, Steps: r.NumInferenceSteps,
		Scheduler: r.Scheduler, Model: ModelName(n.Model), Prompt: r.Prompt, Time: n.Now()}
}

// Folder is the folder that all pictures of a job are in or below. It does not depend on the time or on seeds.
func (n Names) Folder(job int, r request.Request) (string, error) {
	p, err := patternOf(r)
	if err != nil {
		return "", err
	}
	return p.Folder(n.values(job, r, 0, 0), "index", "seed", "date", "time"), nil
}

// check checks that the files of a job can be made, before anything is computed. It also tries the longest names that its pictures may get.
// pictures: the job's pictures become files. check returns the key that is wrong.
func (n Names) check(job int, r request.Request, pictures bool, possible func(name string) error) (key string, err error) {
	count := max(r.NumImages, 1)
	seed := r.Seed
	if seed < 0 {
		seed = math.MaxUint32 // drawn seeds are not greater
	}
	if seed <= math.MaxInt64-int64(count) {
		seed += int64(count) - 1
	}
	var name string
	if pictures {
		if name, err = n.Picture(job, r, count-1, seed); err == nil {
			err = possible(name)
		}
	}
	if err != nil || r.SaveLatents == "" {
		return "output", err
	}
	if name, err = n.Latents(job, r); err == nil {
		err = possible(name)
	}
	return "save_latents", err
}

// CheckPlaces finds jobs whose files cannot be made in the places that a Delivery asks for. It leaves nothing behind.
func CheckPlaces(run request.Run, d Delivery, now func() time.Time, errs *request.Errors) {
	s, ok := d.Store.(interface{ Check(name string) error })
	if !ok {
		return
	}
	names := Names{run.Model, now}
	for i, job := range run.Jobs {
		if key, err := names.check(i, job, d.stores(job), s.Check); err != nil {
			errs.Add(run.Path(i, key), "%v", err)
		}
	}
}

// Picture names a picture of a job.
func (n Names) Picture(job int, r request.Request, index int, seed int64) (string, error) {
	p, err := patternOf(r)
	if err != nil {
		return "", err
	}
	return p.Name(n.values(job, r, index, seed))
}

// Latents names the file of a job's final latents.
func (n Names) Latents(job int, r request.Request) (string, error) {
	p, err := output.ParsePattern(r.SaveLatents)
	if err != nil {
		return "", err
	}
	return p.Name(n.values(job, r, 0, max(r.Seed, 0)))
}
