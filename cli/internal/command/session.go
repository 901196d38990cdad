package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/modelfile"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/native"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// session is one run of generate or demo on an open model.
type session struct {
	generateOptions
	env     Env
	report  progress.Reporter
	store   service.Store
	journal *output.Journal   // nil: none is kept
	inputs  map[string]bool   // files that the jobs take
	resumed int               // pictures that an earlier run has made
	seeds   []int64           // of the jobs, if there is a journal
	made    map[[2]int]string // where pictures are, by job and index; of tables
	pipes   service.Pipes
	texts   *pictureTexts

	gcPercent int // of before, to be restored; 0: it was not changed
}

// checkFolders checks that all outputs can be written, before the work begins. It leaves no folder behind.
func (s *session) checkFolders() error {
	var errs request.Errors
	service.CheckPlaces(s.run, service.Delivery{Store: service.Files{Writer: &output.Writer{}}, Images: service.ImagesPath}, s.env.Now, &errs)
	return s.inWords(-1, errs.Err())
}

// open opens the model.
func (s *session) open(ctx context.Context) error {
	began, m := s.env.Now(), s.run.Model
	if len(s.run.Jobs) > manyJobs {
		debug.FreeOSMemory() // what reading the run file took is a multiple of what it says
		s.gcPercent = debug.SetGCPercent(100 * workBytes / (workBytes + len(s.run.Jobs)*jobBytes))
		if m.TextCacheMB == 0 && !repeats(s.run.Jobs) {
			m.TextCacheMB = onceCacheMB
		}
	}
	log := newLogger(s.report, s.env.Stderr, s.verbose)
	if bytes := fileBytes(m.Model); bytes >= largeFile {
		s.report.Report(progress.Step{Stage: progress.StageLoad, Part: filepath.Base(m.Model), Total: bytes})
	}
	pipes, err := service.OpenEach(ctx, func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
		return s.env.Open(ctx, cfg, pipeline.WithLogger(log), pipeline.WithJobs(kinds(s.run.Jobs)...))
	}, m)
	if err != nil {
		return explain(s.inWords(-1, blameInput(err)), m)
	}
	s.pipes = pipes
	info := pipes[0].Info()
	event := progress.Model{Model: service.ModelName(m), Kind: string(info.Kind), Precision: string(info.Precision),
		PrecisionReason: info.PrecisionReason, Seconds: s.env.Now().Sub(began).Seconds()}
	for _, c := range info.Components {
		if c.Opened {
			event.ParameterBytes += c.ParameterBytes * int64(len(pipes))
		}
		if c.Name == "unet" {
			event.Device = pipes.Devices()
			event.WeightType, event.WeightReason = weightType(s.run, c)
		}
	}
	s.report.Report(event)
	for _, text := range replaced(m) {
		s.report.Report(progress.Note{Message: text})
	}
	if needHashes(s.run.Jobs) {
		s.texts.begin(m, pipes[0].ModelFiles())
	}
	if s.profile {
		for _, pipe := range pipes {
			if err := pipe.SetProfile(true); err != nil {
				return err
			}
		}
	}
	return nil
}

// largeFile is a file whose loading is told before it begins.
const largeFile = 256 << 20

// fileBytes is the size of a model's file; 0 of what is no file.
func fileBytes(path string) int64 {
	st, err := os.Stat(path)
	if err != nil || !st.Mode().IsRegular() {
		return 0
	}
	return st.Size()
}

// weightType says of which type the UNet's weights are in memory, and why.
func weightType(run request.Run, unet backend.ComponentInfo) (name, why string) {
	m := run.Model
	asked := cmp.Or(m.UNetType, m.Type, "auto")
	switch {
	case unet.Type == "":
		return "", ""
	case asked != "auto" && asked != string(unet.Type): // what has no rows of whole blocks stays
		return asked + " and " + string(unet.Type), run.Path(0, "model."+word(m.UNetType != "", "unet_type", "type"))
	case asked != "auto":
		why = run.Path(0, "model."+word(m.UNetType != "", "unet_type", "type"))
	case unet.Type == unet.FileType:
		why = "as in the file"
	default:
		why = fmt.Sprintf("%s in the file", unet.FileType)
	}
	return string(unet.Type), why
}

// replaced tells which files take the place of components of the model, or stand beside it.
func replaced(m request.Model) (out []string) {
	for _, f := range []struct{ what, path string }{{"UNet", m.UNet}, {"text encoder", m.TextEncoder}, {"text encoder 2", m.TextEncoder2},
		{"VAE", m.VAE}, {"TAESD", m.TAESD}, {"upscaler", m.Upscaler}, {"refiner", m.Refiner}} {
		if f.path != "" && f.path != m.Model {
			out = append(out, f.what+": "+pipeline.ModelName(f.path))
		}
	}
	return out
}

// onceCacheMB is for the encoded prompts of a run in which no job's prompt is another's, in MiB: only negative prompts are used again.
const onceCacheMB = 8

// manyJobs make a run file that is worth freeing memory for. A job that is planned takes jobBytes, those in work workBytes together: the
// collector is to leave as much garbage as for these alone.
const (
	manyJobs  = 100
	jobBytes  = 1300
	workBytes = 32 << 20
)

// repeats reports whether a prompt is used by two jobs.
func repeats(jobs []request.Request) bool {
	seen := map[[2]string]bool{}
	for _, job := range jobs {
		key := [2]string{job.Prompt, job.Prompt2}
		if seen[key] {
			return true
		}
		seen[key] = true
	}
	return false
}

// perKind is how many jobs of a kind are planned for: so many fill the largest batch whose size nobody chose.
const perKind = 16

// kinds returns the jobs that memory is planned for. Those that differ in their prompts are one kind, of which the first perKind stand for
// all, and the one with the longest prompt. A picture that a job takes its size from is replaced by something of that size.
func kinds(jobs []request.Request) (out []request.Request) {
	at, count := map[string]int{}, map[string]int{}
	text := func(r request.Request) int {
		n := len(r.Prompt) + len(r.Prompt2) + len(r.NegativePrompt) + len(r.NegativePrompt2)
		for _, g := range r.Regions {
			n += len(g.Prompt)
		}
		return n
	}
	for _, job := range jobs {
		if in := &job.InitImage; !in.IsZero() && (job.Width == 0 || job.Height == 0) {
			var img image.Image
			if in.Data != nil {
				img, _ = picture.Decode(in.Data, request.MaxPixels) // checkInputs has read it
			} else {
				img, _ = picture.Read(in.Path, request.MaxPixels)
			}
			if img != nil {
				in.Image = img.Bounds()
			}
		}
		kind := job
		kind.Prompt, kind.Prompt2, kind.NegativePrompt, kind.NegativePrompt2, kind.Seed, kind.Output = "", "", "", "", 0, ""
		kind.InitImage.Data, kind.MaskImage.Data, kind.Regions = nil, nil, nil
		key := fmt.Sprint(kind)
		for _, g := range job.Regions { // their places say whether prompt counts, too
			key += " " + g.Mask.Path
			if g.Box != nil {
				key += fmt.Sprint(*g.Box)
			}
		}
		if strings.Contains(job.Prompt, "<") { // a tag may name an adapter
			key += job.Prompt
		}
		longest, known := at[key]
		switch longer := known && text(job) > text(out[longest]); {
		case count[key] < perKind:
			if !known || longer {
				at[key] = len(out)
			}
			count[key]++
			out = append(out, job)
		case longer:
			out[longest] = job
		}
	}
	return out
}

// checkJobs finds mistakes in the jobs for this model before any is made. It keeps only the names of the files that the jobs take. A single
// job without a journal is not checked here: it is prepared at once.
func (s *session) checkJobs(ctx context.Context) error {
	if len(s.run.Jobs) < 2 && !s.keepsJournal() { // nor is it a table
		return nil
	}
	s.inputs = map[string]bool{}
	for i, job := range s.run.Jobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		files, err := s.pipes[0].Inputs(job)
		if err != nil {
			return s.jobError(i, err)
		}
		for _, path := range files {
			s.inputs[path] = true
		}
	}
	return nil
}

// explain looks for the reason why a model does not open. The library says which tensor of all its files is wrong;
// what the headers show names the file, the tensor as it is called there, and what to do.
func explain(err error, m request.Model) error {
	if exitCode(err) != ExitFile || errors.Is(err, pipeline.ErrUnsupportedModel) {
		return err
	}
	for _, path := range []string{m.UNet, m.TextEncoder, m.TextEncoder2, m.VAE, m.Model} {
		if path == "" || path == pipeline.NanoModel {
			continue
		}
		if _, found := modelfile.Check(path); found != nil {
			return found
		}
	}
	return err
}

// reportProfile tells where the time of all jobs went.
func (s *session) reportProfile() error {
	var p progress.Profile
	for _, pipe := range s.pipes {
		entries, err := pipe.Profile()
		if err != nil {
			return err
		}
		for _, e := range entries {
			p.Operations = append(p.Operations, progress.Operation(e))
		}
	}
	s.report.Report(p)
	return nil
}

// close closes the pipelines, whose own Close may be called twice.
func (s *session) close() {
	_ = s.pipes.Close()
	if s.gcPercent != 0 {
		debug.SetGCPercent(s.gcPercent)
	}
}

// newLogger returns the logger that the pipeline writes to: warnings become events, and with verbose all the rest goes to w.
func newLogger(r progress.Reporter, w io.Writer, verbose bool) *slog.Logger {
	if verbose {
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(&logHandler{report: r, began: map[string]time.Time{}})
}

// logHandler reports warnings and errors as progress.Warning, their attributes in parentheses. Of other records it reports how far loading
// is, and which part of an adapter applies.
type logHandler struct {
	report progress.Reporter
	began  map[string]time.Time // loading, by component; records of it come from one goroutine at a time
	attrs  []string
	group  string
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, record slog.Record) error {
	if record.Level < slog.LevelWarn {
		h.tell(record)
		return nil
	}
	parts := slices.Clone(h.attrs)
	record.Attrs(func(a slog.Attr) bool {
		parts = append(parts, h.group+a.String())
		return true
	})
	text := record.Message
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	h.report.Report(progress.Warning{Message: text})
	return nil
}

// tell reports the records of the library and the pipeline that are for people.
func (h *logHandler) tell(record slog.Record) {
	attr := map[string]slog.Value{}
	record.Attrs(func(a slog.Attr) bool {
		attr[a.Key] = a.Value
		return true
	})
	switch record.Message {
	case native.LoadingMessage:
		part, done, total := attr["component"].String(), attr["done"].Int64(), attr["total"].Int64()
		if h.began[part].IsZero() {
			h.began[part] = record.Time
		}
		spent := record.Time.Sub(h.began[part]).Seconds()
		step := progress.Step{Stage: progress.StageLoad, Part: part, Done: done, Total: total, Seconds: spent}
		if spent > 0 && done > 0 {
			step.ETASeconds = spent / float64(done) * float64(total-done) // a little too short: the first second is not in it
		}
		h.report.Report(step)
	case "adapter":
		h.report.Report(progress.Note{Message: fmt.Sprintf("adapter %s: %s", attr["name"], attr["applied"])})
	}
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		c.attrs = append(c.attrs, h.group+a.String())
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.group += name + "."
	}
	return &c
}
