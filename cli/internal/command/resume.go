package command

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// runState is what a journal must remember besides the files: the seeds that were drawn.
type runState struct {
	Seeds []int64 `json:"seeds"` // of the jobs
}

// fileStamp tells a file from another without reading it.
type fileStamp struct {
	Path  string
	Bytes int64
	Time  int64 // of the last change, in nanoseconds
}

func stampOf(path string) fileStamp {
	s := fileStamp{Path: path}
	if info, err := os.Stat(path); err == nil {
		s.Bytes, s.Time = info.Size(), info.ModTime().UnixNano()
	}
	return s
}

// openJournal opens the journal of this very run: the same jobs, on the same files, by the same version. Where an earlier run was not
// finished its seeds are taken over. Runs of a single picture have nothing to continue, and keep none. Another process that has the
// journal does not hinder this one; it only cannot be continued then.
func (s *session) openJournal(lib Library) error {
	jobs := s.run.Jobs
	if !s.resumable || countImages(jobs) < 2 {
		return nil
	}
	fingerprint, err := runFingerprint(s.run, lib)
	if err != nil {
		return err
	}
	state := runState{}
	for _, job := range jobs {
		if job.Seed < 0 {
			job.Seed = int64(rand.Uint32()) // as Prepare draws it
		}
		state.Seeds = append(state.Seeds, job.Seed)
	}
	dir, err := s.folder(0) // that of the first job's pictures
	if err != nil {
		return err
	}
	j, resumed, err := output.OpenJournal(dir, fingerprint, state)
	if err == nil && resumed && s.fresh {
		if err = j.Remove(); err == nil {
			j, resumed, err = output.OpenJournal(dir, fingerprint, state)
		}
	}
	if errors.Is(err, output.ErrBusy) {
		s.report.Report(progress.Warning{Message: "the same run is going on in another process; this one begins anew, and cannot be continued"})
		return nil
	}
	if err != nil {
		return &outputError{fmt.Errorf("the run's journal: %w", err)}
	}
	s.journal = j
	if resumed {
		if err := j.State(&state); err != nil || len(state.Seeds) != len(jobs) {
			return &outputError{fmt.Errorf("the run's journal %s says nothing of its seeds; remove it to begin anew", j.Path())}
		}
	}
	for i := range jobs {
		jobs[i].Seed = state.Seeds[i]
	}
	return s.resume()
}

// resume takes over what an earlier run has made.
func (s *session) resume() error {
	folders := map[string]bool{}
	for i := range s.run.Jobs {
		dir, err := s.folder(i)
		if err != nil {
			return err
		}
		folders[dir] = true
	}
	store := service.Journaled{Writer: &output.Writer{Overwrite: s.overwrite}, Journal: s.journal}
	store.Resume(folders)
	s.store, s.resumed = store, service.Made(store, s.run.Jobs)
	return nil
}

// folder is the folder of a job's first picture.
func (s *session) folder(i int) (string, error) {
	job := s.run.Jobs[i]
	path, err := service.Names{Model: s.run.Model, Now: s.env.Now}.Picture(i, job, 0, max(job.Seed, 0))
	return filepath.Dir(path), err
}

// runFingerprint names everything that the pictures of a run depend on.
func runFingerprint(run request.Run, lib Library) (string, error) {
	m := run.Model
	paths := []string{m.Model, m.UNet, m.TextEncoder, m.TextEncoder2, m.VAE, m.TAESD, m.Refiner}
	paths = append(paths, m.Embeddings...)
	library := adapters.NewLibrary(m.LoRADirectories...)
	values := []any{Version(), lib.Variant, lib.Version, m}
	for i := range run.Jobs {
		r := &run.Jobs[i]
		paths = append(paths, r.InitImage.Path, r.MaskImage.Path, r.Noise.Path, r.Latents.Path)
		for _, l := range r.LoRAs {
			if path, err := library.Find(l.Name); l.Path == "" && err == nil {
				paths = append(paths, path)
			}
			paths = append(paths, l.Path)
		}
		for _, net := range r.ControlNets {
			paths = append(paths, net.Model, net.Image.Path)
		}
		values = append(values, r)
	}
	for _, p := range paths {
		if p != "" && p != pipeline.NanoModel {
			values = append(values, stampOf(p))
		}
	}
	return output.Fingerprint(values...)
}

// closeJournal lets go of the journal of a run that did not end well; it can be continued.
func (s *session) closeJournal() {
	if s.journal == nil {
		return
	}
	if s.journal.Empty() { // nothing is lost
		_ = s.journal.Remove()
	} else {
		_ = s.journal.Close()
	}
	s.journal = nil
}

// endJournal removes the journal of a run that is complete, and what it kept.
func (s *session) endJournal() error {
	if s.journal == nil {
		return nil
	}
	err := s.journal.Remove()
	s.journal = nil
	return err
}
