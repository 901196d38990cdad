package command

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// runState is what a journal must remember besides the files: the seeds that were drawn.
type runState struct {
	Seeds []int64 `json:"seeds"` // of the jobs
}

// openJournal opens the journal of this very run: the same jobs, the same files, the same version. An earlier run that did not finish gives
// its seeds. If an earlier run used other files, this run begins anew and says so. A run of a single picture keeps no journal. If another
// process has the journal, this run goes on without one and cannot be continued later. The model must be open, and s.inputs must have all
// files of the jobs.
func (s *session) openJournal(lib Library) error {
	jobs := s.run.Jobs
	if !s.keepsJournal() {
		return nil
	}
	run, err := s.journalRun(lib)
	if err != nil {
		return err
	}
	dir, err := s.folder(0) // of the first job's pictures
	if err != nil {
		return err
	}
	j, resumed, err := output.OpenJournal(dir, run)
	state := run.State.(runState)
	if errors.Is(err, output.ErrBusy) {
		s.setSeeds(state.Seeds)
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
	} else if names, files := j.Changed(); len(names) > 0 && !s.fresh {
		s.report.Report(progress.Warning{Message: notContinued(names, files)})
	}
	s.setSeeds(state.Seeds)
	return s.resume()
}

// setSeeds gives the jobs their seeds.
func (s *session) setSeeds(seeds []int64) {
	s.seeds = seeds
	for i := range s.run.Jobs {
		s.run.Jobs[i].Seed = seeds[i]
	}
}

// keepsJournal reports whether the run can be continued by a later one.
func (s *session) keepsJournal() bool {
	return s.resumable && (s.table != nil || countImages(s.run.Jobs) > 1)
}

// earlier is where a picture is that an earlier run has made; "": it has not.
func (s *session) earlier(job, index int) string {
	e, _ := s.journal.Find(service.PictureKey(job, index))
	return e.Path
}

// notContinued says why an earlier run of the same kind is not continued.
func notContinued(names []string, files int) string {
	const most = 3
	list := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("an earlier run of this command is not continued, because this has changed since: %s. "+
		"All pictures are made anew; its %d %s stay as they are", list, files, words.Plural(files, "file"))
}

// resume takes over what an earlier run has made.
func (s *session) resume() error {
	var folders []string
	for i := range s.run.Jobs {
		dir, err := s.folder(i)
		if err != nil {
			return err
		}
		if !slices.Contains(folders, dir) {
			folders = append(folders, dir)
		}
	}
	store := service.Journaled{Writer: &output.Writer{Overwrite: s.overwrite}, Journal: s.journal}
	store.Resume(folders)
	s.store, s.resumed = store, service.Made(store, s.run.Jobs)
	return nil
}

// folder is the folder that all of a job's pictures are in or below. It does not depend on the time or on seeds.
func (s *session) folder(i int) (string, error) {
	return service.Names{Model: s.run.Model, Now: s.env.Now}.Folder(i, s.run.Jobs[i])
}

// journalRun says what run this is: what was asked, and everything else that the pictures depend on.
func (s *session) journalRun(lib Library) (output.Run, error) {
	state := runState{}
	values := []any{s.run.Model}
	for i := range s.run.Jobs {
		values = append(values, asked(s.run.Jobs[i]))
		seed := s.run.Jobs[i].Seed
		if seed < 0 {
			seed = int64(rand.Uint32()) // as Prepare draws it
		}
		if s.table != nil {
			seed = s.table.one(s.run.Jobs[i].Seed, seed)
		}
		state.Seeds = append(state.Seeds, seed)
	}
	fingerprint, err := output.Fingerprint(values...)
	if err != nil {
		return output.Run{}, err
	}
	inputs := output.Inputs{"the program": strings.Join([]string{Version(), lib.Variant, lib.Version}, " ")}
	m := s.run.Model
	named := []string{m.Model, m.UNet, m.TextEncoder, m.TextEncoder2, m.VAE, m.TAESD, m.Refiner, m.Upscaler}
	for _, path := range append(named, m.Embeddings...) {
		if path != "" && path != pipeline.NanoModel { // of a folder, its files are inputs
			s.inputs[path] = true
		}
	}
	for path := range s.inputs {
		if err := inputs.AddFile(path); err != nil {
			return output.Run{}, &inputError{err}
		}
	}
	return output.Run{Fingerprint: fingerprint, Inputs: inputs, State: state, Overwrite: s.overwrite, Fresh: s.fresh}, nil
}

// asked is a job as it was asked for, without the contents of the files that it names. Those are inputs.
func asked(job request.Request) request.Request {
	job.Inputs(func(_ string, p *request.Picture) {
		if p.Path != "" {
			*p = request.Picture{Path: p.Path}
		}
	}, func(_ string, a *request.Array) {
		if a.Path != "" {
			*a = request.Array{Path: a.Path}
		}
	})
	return job
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
