package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/phrases"
	"github.com/daguerre-go/daguerre/internal/recall"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// generateOptions is what the generate command is asked to do.
type generateOptions struct {
	run       request.Run
	command   string        // whose --help tells more
	config    string        // the run file's name, or ""
	defaults  string        // the file of the user's own defaults, or ""
	from      string        // the picture whose settings are taken, or ""
	found     *recall.Found // what it tells; nil: there is none
	table     *tableRun     // of which the run is made; nil: it is none
	group     *tableGroup   // that is being made; nil: it is no table
	overwrite bool
	stdout    bool // the one picture goes to standard output
	verbose   bool
	preview   int // every so many steps; 0: never
	profile   bool
	fresh     bool   // do not continue an earlier run
	resumable bool   // keep a journal, so that a later run can continue this one
	metrics   string // address to serve metrics at; "": none
	pull      bool   // fetch models that are named and not here
	display
	note string // added to each picture's line
}

// generateOptionsOf reads the flags and the run file. It tells all mistakes at once.
func generateOptionsOf(c *cli.Context, env Env) (generateOptions, error) {
	opts := generateOptions{command: c.Command.HelpName, overwrite: c.Bool("overwrite"), verbose: c.Bool("verbose"),
		preview: c.Int("preview"), profile: c.Bool("profile"), fresh: c.Bool("fresh"), resumable: true, metrics: c.String("metrics-addr"),
		pull:   c.Bool("pull"),
		config: c.String("config"), from: c.String("from"), display: display{quiet: c.Bool("quiet"), json: c.Bool("json")}}
	errs := typedMistakes(c.Context)
	if c.IsSet("preview") && opts.preview < 1 {
		errs.Add("--preview", "is %d; it must be 1 or more steps", opts.preview)
	}
	if c.Args().Present() && len(errs) == 0 { // otherwise it may be the value of a flag that does not exist
		errs.Add("", "unknown flag or argument %q; give the prompt with --prompt", words.Clip(c.Args().First()))
	}
	if opts.quiet && opts.json {
		errs.Add("--quiet", "and --json exclude each other; --json alone prints events only")
	}
	defaults, own, err := ownDefaults(c, env)
	if err != nil {
		return opts, err
	}
	opts.run, opts.defaults = request.Run{Model: defaults.Model, Jobs: []request.Request{defaults.Job}}, own
	switch {
	case opts.from != "" && opts.config != "":
		errs.Add("--from", "and --config exclude each other; \"daguerre request from-png\" writes a run file of a picture's settings")
		return opts, opts.inWords(-1, errs)
	case opts.from != "":
		if err := opts.fromPicture(c, defaults); err != nil {
			return opts, err
		}
	case c.IsSet("from"):
		errs.Add("--from", "is empty; give a picture, or leave the flag out")
	}
	var tableOf any
	if opts.config != "" {
		var found request.Errors
		if opts.run, err = readRun(env, takesTable(defaults, &tableOf), opts.config); err != nil && !errors.As(err, &found) {
			return opts, err
		}
		errs = append(errs, found...)
		if len(opts.run.Jobs) == 0 { // it is no TOML or JSON at all
			return opts, opts.inWords(-1, errs)
		}
	}
	override(c, &opts.run, opts.config == "", &errs)
	if opts.found != nil {
		if err := opts.findFiles(c, env); err != nil {
			return opts, blameInput(opts.inWords(-1, err))
		}
	}
	if err := opts.run.ExpandPromptFiles(phrases.Lines); err != nil {
		var found request.Errors
		errors.As(err, &found)
		errs = append(errs, found...)
	}
	for i := range opts.run.Jobs {
		if job := &opts.run.Jobs[i]; c.Command.Name == "plan" { // which needs no prompt
			job.Prompt = cmp.Or(job.Prompt, request.NoPrompt)
		}
	}
	opts.expandTable(c, tableOf, &errs)
	if opts.stdout = opts.forStdout(env, &errs); opts.stdout {
		opts.run.Jobs[0].Output = "picture.png" // for the checks of names
	}
	return opts, opts.check(errs)
}

// check finds mistakes, in addition to those that were found. It reads no input: if there is a mistake, it only looks whether each is
// there.
func (o generateOptions) check(errs request.Errors) error {
	add := func(err error) {
		var more request.Errors
		errors.As(err, &more) // there is no other
		for _, e := range more {
			if !slices.Contains(errs, e) {
				errs = append(errs, e)
			}
		}
	}
	for _, run := range o.runs() {
		add(run.Validate())
		checkJobs(run, &errs)
	}
	if len(errs) > 0 {
		add(pipeline.CheckFiles(o.run))
	}
	return o.inWords(-1, errs.Err())
}

// runs are the runs that are made one after the other: one, or one for each model of a table.
func (o generateOptions) runs() []request.Run {
	if o.table == nil {
		return []request.Run{o.run}
	}
	var out []request.Run
	for _, g := range o.table.groups {
		out = append(out, g.run)
	}
	return out
}

// ofScheduler is the message of an error of package scheduler without the package's name, which stands behind the name of a flag or key.
func ofScheduler(err error) string { return strings.TrimPrefix(err.Error(), "scheduler: ") }

// checkJobs finds what is wrong with the jobs of a run and lies beyond package request: names of files and of schedulers.
func checkJobs(run request.Run, errs *request.Errors) {
	for i, job := range run.Jobs {
		at := func(key string) string { return run.Path(i, key) }
		service.CheckNames(job, at, errs)
		if job.Scheduler != "" {
			plain, _ := scheduler.CutCFGPlusPlus(job.Scheduler)
			if _, _, err := scheduler.Resolve(plain); err != nil {
				errs.Add(at("scheduler"), "%s", ofScheduler(err))
			}
		}
		for i, n := range job.ControlNets {
			if _, err := controlnet.Find(n.Preprocessor); n.Preprocessor != "" && err != nil {
				errs.Add(at(fmt.Sprintf("controlnet[%d].preprocessor", i)), "%v", err)
			}
		}
		if _, err := scheduler.ResolveSpacing(job.Sigmas); err != nil {
			errs.Add(at("sigmas"), "%s", ofScheduler(err))
		}
		if _, _, err := scheduler.ConfigFromMap(job.SchedulerOptions); err != nil {
			errs.Add(at("scheduler_options"), "%s", ofScheduler(err))
		}
	}
}

// checkInputs reads the jobs' input files and checks the rest of what can be checked before a model is open; it keeps nothing of them.
// Mistakes of the configuration itself were found by check, so what is wrong with an input now is its file's fault.
func (o generateOptions) checkInputs() error { return o.inWords(-1, pipeline.CheckRun(&o.run)) }

// blameInput marks an error that is about files only.
func blameInput(err error) error {
	var errs request.Errors
	if errors.As(err, &errs) && !is[*mistakes](err) && !slices.ContainsFunc(errs, func(e request.Error) bool { return !e.File }) {
		return &inputError{err}
	}
	return err
}

// execute opens the model and does the jobs.
func (o generateOptions) execute(ctx context.Context, env Env) error {
	if o.stdout {
		return o.executeToStdout(ctx, env)
	}
	r := o.display.reporter(env, o.note)
	return finish(r, o.generate(ctx, env, r))
}

func (o generateOptions) generate(ctx context.Context, env Env, r progress.Reporter) error {
	if o.config == "" {
		r = inFlags{r}
	}
	o.tellFound(r)
	if o.table != nil {
		return o.generateTable(ctx, env, r)
	}
	done, err := o.generateRun(ctx, env, r)
	if err == nil {
		r.Report(done)
	}
	return err
}

// generateRun makes the pictures of a run of one model.
func (o generateOptions) generateRun(ctx context.Context, env Env, r progress.Reporter) (done progress.Done, err error) {
	if err := o.locate(ctx, env, r); err != nil {
		return done, err
	}
	if err := o.checkInputs(); err != nil {
		return done, err
	}
	began, total := env.Now(), countImages(o.run.Jobs)
	r.Report(progress.Start{Version: Version(), Jobs: len(o.run.Jobs), Images: total})
	if o.defaults != "" {
		r.Report(progress.Note{Message: "with your own defaults: " + o.defaults})
	}
	s := &session{generateOptions: o, env: env, report: r, store: service.Files{Writer: &output.Writer{Overwrite: o.overwrite}}}
	if o.table != nil {
		s.made = map[[2]int]string{}
	}
	s.texts = &pictureTexts{env: env, warn: func(text string) { r.Report(progress.Warning{Message: text}) }}
	defer s.texts.stop()
	if err := s.checkFolders(); err != nil {
		return done, err
	}
	if err := s.open(ctx); err != nil {
		return done, err
	}
	defer s.close()
	if err := s.checkJobs(ctx); err != nil {
		return done, err
	}
	if err := s.openJournal(env.Native.Library()); err != nil {
		return done, err
	}
	defer s.closeJournal()
	g, err := s.begin()
	if err != nil {
		return done, err
	}
	defer g.close()
	if err := g.all(ctx); err != nil {
		return done, err
	}
	if o.profile {
		if err := s.reportProfile(); err != nil {
			return done, err
		}
	}
	g.close() // so that the last batch has been learned from
	done = g.done()
	if err := s.pipes.Close(); err != nil {
		return done, err
	}
	if o.table != nil {
		o.table.made(s)
	} else if err := s.endJournal(); err != nil {
		return done, err
	}
	done.Images, done.Seconds = total, env.Now().Sub(began).Seconds()
	return done, nil
}

func countImages(jobs []request.Request) (n int) {
	for _, job := range jobs {
		n += max(job.NumImages, 1)
	}
	return n
}

// jobError says which of several jobs failed.
func (o generateOptions) jobError(i int, err error) error {
	err = o.inWords(i, blameInput(err))
	if len(o.run.Jobs) < 2 || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("job %d of %d: %w", i+1, len(o.run.Jobs), err)
}

// What the demo makes unless it is told otherwise.
const (
	demoPrompt = "a red circle on a blue background"
	demoSteps  = 20
	demoNote   = `embedded nano model; see README for others`
)

// demoOptions makes a run of one job on the nano model.
func demoOptions(c *cli.Context, env Env) (generateOptions, error) {
	opts := generateOptions{command: c.Command.HelpName, overwrite: c.Bool("overwrite"), note: demoNote}
	prompt := c.String("prompt")
	if c.NArg() == 1 && !c.IsSet("prompt") {
		prompt = cmp.Or(c.Args().First(), request.NoPrompt)
	} else if err := noArgs(c, "; put the prompt into quotes"); err != nil {
		return opts, err
	}
	var err error
	if opts.display, err = displayOf(c); err != nil {
		return opts, err
	}
	job := request.Default()
	if c.IsSet("prompt") {
		prompt = cmp.Or(prompt, request.NoPrompt)
	}
	job.Prompt, job.Seed, job.NumInferenceSteps, job.Output = prompt, c.Int64("seed"), demoSteps, c.String("output")
	if job.LoRAs, err = addLoRAs(nil, c.StringSlice("lora")); err != nil {
		return opts, usagef(c.Command.HelpName, "--lora %v", err)
	}
	// One thread: the model is too small to gain from more, which on a busy machine only wait for each other.
	opts.run = request.Run{Model: request.Model{Model: pipeline.NanoModel, Device: c.String("device"), Threads: 1,
		LoRADirectories: c.StringSlice("lora-dir")}, Jobs: []request.Request{job}}
	var errs request.Errors
	opts.run.Typed("output", "--output")
	opts.run.Typed("prompt", "--prompt")
	if opts.stdout = opts.forStdout(env, &errs); opts.stdout {
		opts.run.Jobs[0].Output = "picture.png"
	}
	return opts, opts.check(errs)
}
