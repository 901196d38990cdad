package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// generateOptions is what the generate command is asked to do.
type generateOptions struct {
	run       request.Run
	config    string // the run file's name, or ""
	overwrite bool
	verbose   bool
	preview   int // every so many steps; 0: never
	profile   bool
	fresh     bool   // do not continue an earlier run
	resumable bool   // keep a journal, so that a later run can continue this one
	metrics   string // address to serve metrics at; "": none
	display
	note string // added to each picture's line
}

// generateOptionsOf reads the flags and the run file.
func generateOptionsOf(c *cli.Context) (generateOptions, error) {
	opts := generateOptions{overwrite: c.Bool("overwrite"), verbose: c.Bool("verbose"), preview: c.Int("preview"), profile: c.Bool("profile"),
		fresh: c.Bool("fresh"), resumable: true, metrics: c.String("metrics-addr")}
	if c.IsSet("preview") && opts.preview < 1 {
		return opts, usagef(c.Command.HelpName, "--preview is %d; it must be 1 or more steps", opts.preview)
	}
	if err := noArgs(c, "; give the prompt with --prompt"); err != nil {
		return opts, err
	}
	var err error
	if opts.display, err = displayOf(c); err != nil {
		return opts, err
	}
	opts.run, opts.config = request.Run{Jobs: []request.Request{request.Default()}}, c.String("config")
	if opts.config != "" {
		if opts.run, err = readRunFile(opts.config); err != nil {
			return opts, err
		}
	}
	if err := override(c, &opts.run); err != nil {
		return opts, err
	}
	return opts, opts.check()
}

// check finds mistakes without reading a file.
func (o generateOptions) check() error {
	if err := o.run.Validate(); err != nil {
		return o.named(err)
	}
	var errs request.Errors
	checkJobs(o.run, &errs)
	return o.named(errs.Err())
}

// checkJobs finds what is wrong with the jobs of a run and lies beyond package request: names of files and of schedulers.
func checkJobs(run request.Run, errs *request.Errors) {
	for i, job := range run.Jobs {
		at := func(key string) string { return run.Path(i, key) }
		service.CheckNames(job, at, errs)
		if job.Scheduler != "" {
			if _, _, err := scheduler.Resolve(job.Scheduler); err != nil {
				errs.Add(at("scheduler"), "%v", err)
			}
		}
		if _, err := scheduler.ResolveSpacing(job.Sigmas); err != nil {
			errs.Add(at("sigmas"), "%v", err)
		}
		if _, _, err := scheduler.ConfigFromMap(job.SchedulerOptions); err != nil {
			errs.Add(at("scheduler_options"), "%v", err)
		}
	}
}

// checkInputs reads the jobs' input files and checks the rest of what can be checked before a model is open; it keeps nothing of them.
// Mistakes of the configuration itself were found by check, so what is wrong with an input now is its file's fault.
func (o generateOptions) checkInputs() error {
	return o.named(blameInput(pipeline.CheckRun(&o.run)))
}

// blameInput marks an error that is about input files only.
func blameInput(err error) error {
	var errs request.Errors
	if errors.As(err, &errs) && !slices.ContainsFunc(errs, func(e request.Error) bool { return !isInput(e.Path) }) {
		return &inputError{err}
	}
	return err
}

// isInput reports whether a path of a run file, such as jobs[1].init_image, names an input file.
func isInput(path string) bool {
	key := path[strings.LastIndexByte(path, '.')+1:]
	net := strings.Contains(path, "controlnet[") && (key == "model" || key == "image")
	return net || slices.Contains([]string{"init_image", "mask_image", "noise", "latents"}, key)
}

// named puts the run file's name before an error.
func (o generateOptions) named(err error) error {
	if err == nil || o.config == "" {
		return err
	}
	return fmt.Errorf("run file %s: %w", o.config, err)
}

// execute opens the model and does the jobs.
func (o generateOptions) execute(ctx context.Context, env Env) error {
	r := o.display.reporter(env, o.note)
	return finish(r, o.generate(ctx, env, r))
}

func (o generateOptions) generate(ctx context.Context, env Env, r progress.Reporter) error {
	if err := o.checkInputs(); err != nil {
		return err
	}
	began, total := env.Now(), countImages(o.run.Jobs)
	r.Report(progress.Start{Version: Version(), Jobs: len(o.run.Jobs), Images: total})
	s := &session{generateOptions: o, env: env, report: r, store: service.Files{Writer: &output.Writer{Overwrite: o.overwrite}}}
	s.texts = &pictureTexts{env: env, warn: func(text string) { r.Report(progress.Warning{Message: text}) }}
	defer s.texts.stop()
	if err := s.checkFolders(); err != nil {
		return err
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	defer s.close()
	if err := s.checkJobs(ctx); err != nil {
		return err
	}
	if err := s.openJournal(env.Native.Library()); err != nil {
		return err
	}
	defer s.closeJournal()
	g, err := s.begin()
	if err != nil {
		return err
	}
	defer g.close()
	if err := g.all(ctx); err != nil {
		return err
	}
	if o.profile {
		if err := s.reportProfile(); err != nil {
			return err
		}
	}
	g.close() // so that the last batch has been learned from
	done := g.done()
	if err := s.pipe.Close(); err != nil {
		return err
	}
	if err := s.endJournal(); err != nil {
		return err
	}
	done.Images, done.Seconds = total, env.Now().Sub(began).Seconds()
	r.Report(done)
	return nil
}

func countImages(jobs []request.Request) (n int) {
	for _, job := range jobs {
		n += max(job.NumImages, 1)
	}
	return n
}

// jobError says which of several jobs failed.
func (o generateOptions) jobError(i int, err error) error {
	if len(o.run.Jobs) < 2 || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("job %d of %d: %w", i+1, len(o.run.Jobs), err)
}

// What the demo makes unless it is told otherwise.
const (
	demoPrompt = "a red circle on a blue background"
	demoSteps  = 20
	demoNote   = `embedded nano model; for real pictures see README, "Your own checkpoint"`
)

// demoOptions makes a run of one job on the nano model.
func demoOptions(c *cli.Context) (generateOptions, error) {
	opts := generateOptions{overwrite: c.Bool("overwrite"), note: demoNote}
	prompt := c.String("prompt")
	if c.NArg() == 1 && !c.IsSet("prompt") {
		prompt = c.Args().First()
	} else if err := noArgs(c, "; put the prompt into quotes"); err != nil {
		return opts, err
	}
	var err error
	if opts.display, err = displayOf(c); err != nil {
		return opts, err
	}
	job := request.Default()
	job.Prompt, job.Seed, job.NumInferenceSteps, job.Output = prompt, c.Int64("seed"), demoSteps, c.String("output")
	if job.LoRAs, err = addLoRAs(nil, c.StringSlice("lora")); err != nil {
		return opts, usagef(c.Command.HelpName, "--lora %v", err)
	}
	// One thread: the model is too small to gain from more, which on a busy machine only wait for each other.
	opts.run = request.Run{Model: request.Model{Model: pipeline.NanoModel, Device: c.String("device"), Threads: 1,
		LoRADirectories: c.StringSlice("lora-dir")}, Jobs: []request.Request{job}}
	return opts, opts.check()
}
