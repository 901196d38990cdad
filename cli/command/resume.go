package command

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/daguerre-go/daguerre/cli/progress"
	"github.com/daguerre-go/daguerre/internal/adapters"
	"github.com/daguerre-go/daguerre/internal/npy"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/runtime/backend"
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

// openJournal opens the journal of this very run: the same jobs, on the same files, by the same version. Where an earlier run was not finished its
// seeds are taken over. Runs of a single picture have nothing to continue, and keep none. Another process that has the journal does not
// hinder this one; it only cannot be continued then.
func (s *session) openJournal(o generateOptions, lib Library) error {
	if !o.resumable || countImages(o.run.Jobs) < 2 {
		return nil
	}
	fingerprint, err := runFingerprint(o.run, lib)
	if err != nil {
		return err
	}
	state := runState{}
	for _, job := range o.run.Jobs {
		if job.Seed < 0 {
			job.Seed = int64(rand.Uint32()) // as Prepare draws it
		}
		state.Seeds = append(state.Seeds, job.Seed)
	}
	dir, err := s.journalFolder(o.run.Jobs[0])
	if err != nil {
		return err
	}
	j, resumed, err := output.OpenJournal(dir, fingerprint, state)
	if err == nil && resumed && o.fresh {
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
		if err := j.State(&state); err != nil || len(state.Seeds) != len(o.run.Jobs) {
			return &outputError{fmt.Errorf("the run's journal %s says nothing of its seeds; remove it to begin anew", j.Path())}
		}
	}
	for i := range o.run.Jobs {
		o.run.Jobs[i].Seed = state.Seeds[i]
	}
	return nil
}

// journalFolder is the folder of the first job's pictures.
func (s *session) journalFolder(job request.Request) (string, error) {
	pattern, err := output.ParsePattern(outputOf(job))
	if err != nil {
		return "", err
	}
	path, err := pattern.Name(s.values(0, job, 0, max(job.Seed, 0)))
	return filepath.Dir(path), err
}

// runFingerprint names everything that the pictures of a run depend on.
func runFingerprint(run request.Run, lib Library) (string, error) {
	m := run.Model
	paths := []string{m.Model, m.UNet, m.TextEncoder, m.TextEncoder2, m.VAE, m.TAESD, m.Refiner}
	paths = append(paths, m.Embeddings...)
	library := adapters.NewLibrary(m.LoRADirectories...)
	jobs := append([]request.Request(nil), run.Jobs...)
	for i := range jobs {
		r := &jobs[i]
		paths = append(paths, r.InitImage.Path, r.MaskImage.Path, r.Noise.Path, r.Latents.Path)
		r.InitImage.Image, r.MaskImage.Image, r.Noise.Data, r.Latents.Data = nil, nil, nil, nil
		for _, l := range r.LoRAs {
			if path, err := library.Find(l.Name); l.Path == "" && err == nil {
				paths = append(paths, path)
			}
			paths = append(paths, l.Path)
		}
		nets := append([]request.ControlNet(nil), r.ControlNets...)
		for k := range nets {
			paths = append(paths, nets[k].Model, nets[k].Image.Path)
			nets[k].Image.Image = nil
		}
		r.ControlNets = nets
	}
	var stamps []fileStamp
	for _, p := range paths {
		if p != "" && p != pipeline.NanoModel {
			stamps = append(stamps, stampOf(p))
		}
	}
	return output.Fingerprint(Version(), lib.Variant, lib.Version, m, jobs, stamps)
}

// closeJournal lets go of the journal of a run that did not end well; it can be continued.
func (s *session) closeJournal() {
	if s.journal == nil {
		return
	}
	if s.journal.Len() == 0 { // nothing is lost
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

// Keys of a journal's entries.
func pictureKey(job, index int) string { return fmt.Sprintf("%d/%d", job, index) }
func latentsKey(job int) string        { return fmt.Sprintf("%d/latents", job) }
func partKey(job, index int) string    { return fmt.Sprintf("%d/%d/latents", job, index) }

// write writes a file of the run, and notes it in the journal where there is one.
func (s *session) write(key, path string, data []byte) (string, error) {
	if s.journal == nil {
		return s.files.Write(path, data)
	}
	return s.files.WriteNoted(s.journal, key, path, data)
}

// missing lists the pictures of the job that are not there yet; what an earlier run made is taken as it is.
func (w *pictureWriter) missing() ([]int, error) {
	s := w.session
	todo := []int{}
	if path, err := w.pattern.Name(s.values(w.job, w.req, 0, w.req.Seed)); err == nil && s.journal != nil {
		s.journal.Sweep(filepath.Dir(path))
	}
	for i := range w.req.NumImages {
		if s.journal == nil {
			todo = append(todo, i)
			continue
		}
		have, ok := s.journal.Find(pictureKey(w.job, i))
		if ok && w.req.SaveLatents != "" {
			ok = w.readLatents(i) == nil
		}
		if !ok {
			todo = append(todo, i)
			continue
		}
		s.files.Taken(have.Path)
	}
	return todo, nil
}

// keepLatents remembers a picture's latents for the job's file of them, where it wants one; for a run that can be continued on disk.
func (w *pictureWriter) keepLatents(img pipeline.Image) error {
	if w.req.SaveLatents == "" {
		return nil
	}
	if w.latents == nil {
		w.latents = map[int]backend.Tensor{}
	}
	w.latents[img.Index] = img.Latents
	if w.session.journal == nil || w.req.NumImages < 2 {
		return nil
	}
	var buf bytes.Buffer
	if err := npy.Write(&buf, npy.Array{Shape: img.Latents.Shape, Data: img.Latents.Data}); err != nil {
		return err
	}
	j := w.session.journal
	path := fmt.Sprintf("%s.%d-%d.npy", j.Path(), w.job, img.Index)
	_, err := w.session.files.WriteNoted(j, partKey(w.job, img.Index), path, buf.Bytes())
	return err
}

// readLatents reads back what keepLatents wrote in an earlier run.
func (w *pictureWriter) readLatents(index int) error {
	have, ok := w.session.journal.Find(partKey(w.job, index))
	if !ok {
		if _, done := w.session.journal.Find(latentsKey(w.job)); done {
			return nil
		}
		return os.ErrNotExist
	}
	a, err := npy.ReadFile(have.Path)
	if err != nil {
		return err
	}
	if w.latents == nil {
		w.latents = map[int]backend.Tensor{}
	}
	w.latents[index] = backend.Tensor{Shape: a.Shape, Data: a.Data}
	return nil
}

// dropLatents removes the files of keepLatents once the job's own is there.
func (w *pictureWriter) dropLatents() {
	if w.session.journal == nil {
		return
	}
	for i := range w.req.NumImages {
		if have, ok := w.session.journal.Find(partKey(w.job, i)); ok {
			_ = os.Remove(have.Path)
		}
	}
}
