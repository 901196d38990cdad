// Package command is the command line of daguerre: one file per command, each with its options, a
// check of them that reads nothing, and a run that does the work. Everything a command touches
// besides files comes in through Env, so that commands are tested in one process without native code.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/hub"
	"github.com/daguerre-go/daguerre/runtime/install"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

const name = "daguerre"

// Env is what commands need from outside.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	StderrTerminal bool                   // Stderr is a terminal: draw progress bars
	StdinTerminal  bool                   // Stdin is a terminal: a person types
	ConfigDir      func() (string, error) // as os.UserConfigDir; nil: there is no file of defaults
	Width          func() int             // columns of the terminal that Stdout is; 0: it is none. nil: as 0
	ErrWidth       func() int             // columns of the terminal that Stderr is; 0: it is none. nil: as 0
	Now            func() time.Time       // the clock

	// OwnStdout returns standard output for the caller alone: what else is written to it goes to standard error from then on. nil: Stdout
	// is that already.
	OwnStdout func() (io.Writer, error)

	// Hangups returns what hears of each SIGHUP from now on, which otherwise ends the program. nil: there are none.
	Hangups func() <-chan struct{}

	// Open opens a model, as pipeline.Open does.
	Open func(ctx context.Context, cfg pipeline.Config, opts ...pipeline.OpenOption) (*pipeline.Pipeline, error)
	// Plan plans memory, as pipeline.Plan does.
	Plan func(ctx context.Context, cfg pipeline.Config, jobs []request.Request, opts ...pipeline.OpenOption) (pipeline.MemoryPlan, error)
	// Install makes sure that the native library is there, as install.Ensure does.
	Install func(ctx context.Context, o install.Options) (install.Result, error)
	// Pull fetches a model by name, as hub.Pull does.
	Pull func(ctx context.Context, name string, o hub.Options) (hub.Model, error)
	// Native reports on the native library and its devices.
	Native Native

	// Executable is this program's file, to be started for each session of bench; empty: bench measures in this process.
	Executable string
	Args       []string // the command line, for reports; may be nil
}

// Run runs the command line args, args[0] being the program's name, and returns the exit code.
// Errors are printed to env.Stderr. Cancelling ctx stops the command: nothing half-written remains.
func Run(ctx context.Context, env Env, args []string) int {
	env.Stdout, env.Stderr = screen{env.Stdout}, screen{env.Stderr}
	app := newApp(env)
	err := runLine(ctx, env, app, args)
	if err != nil && !errors.Is(err, errReported) && !readerGone(err) {
		_, _ = fmt.Fprintln(env.Stderr, message(err)) // nowhere is left to complain to
	}
	return exitCode(err)
}

// runLine runs a command line, or shows the help that it asks for.
func runLine(ctx context.Context, env Env, app *cli.App, args []string) error {
	l, err := arrange(app, args)
	switch {
	case err != nil:
		return err
	case l.help != "":
		return showHelp(env, app, l)
	case len(l.mistakes) > 0 && !slices.Contains(gathers, l.path):
		return &mistakes{command: l.path, errs: l.mistakes}
	}
	return app.RunContext(withTyped(ctx, l.mistakes), l.args)
}

// errReported marks an error whose message the user has seen already.
var errReported = errors.New("reported")

// reported keeps an error's exit code and suppresses its message.
func reported(err error) error { return errors.Join(errReported, err) }

// message writes an error for a person: prefixed, without the layers' own prefixes repeated.
func message(err error) string {
	if exitCode(err) == ExitCancelled {
		return name + ": cancelled"
	}
	return name + ": " + strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "\n  ")
}

func newApp(env Env) *cli.App {
	return &cli.App{
		Name:                      name,
		Usage:                     "make SDXL pictures",
		Description:               sectionOf("@program") + "\n\n" + exitCodesHelp,
		HideHelpCommand:           true,
		HideHelp:                  true,
		HideVersion:               true,
		Writer:                    env.Stdout,
		ErrWriter:                 env.Stderr,
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {},
		Flags: []cli.Flag{&cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the versions of daguerre, its engine and Go",
			DisableDefaultText: true}},
		Action: func(c *cli.Context) error {
			if c.Bool("version") {
				return printVersion(c.Context, env)
			}
			return showHelp(env, c.App, line{path: name, help: helpShort})
		},
		Commands:     commandTree(env),
		OnUsageError: onUsageError(name),
	}
}

// onUsageError turns what the flag package complains about into a usage error.
func onUsageError(path string) cli.OnUsageErrorFunc {
	return func(_ *cli.Context, err error, _ bool) error {
		return usagef(path, "%s", strings.Replace(err.Error(), "for flag -", "for --", 1))
	}
}

// noArgs refuses arguments that are no flags.
func noArgs(c *cli.Context, hint string) error {
	if c.Args().Present() {
		return usagef(c.Command.HelpName, "unexpected argument %q%s", words.Clip(c.Args().First()), hint)
	}
	return nil
}

// inRange refuses a number that is not from low to high.
func inRange(c *cli.Context, flag string, n, low, high int) error {
	if n < low || n > high {
		return usagef(c.Command.HelpName, "--%s is %d; it must be %d to %d", flag, n, low, high)
	}
	return nil
}

// act makes an action of reading a command's arguments, which touches no file, and of what is done with them.
func act[O any](read func(*cli.Context) (O, error), do func(O, context.Context, Env) error) action {
	return func(c *cli.Context, env Env) error {
		o, err := read(c)
		if err != nil {
			return err
		}
		return do(o, c.Context, env)
	}
}

// ofRun is an action on a run as the flags and the run file tell it.
func ofRun(read func(*cli.Context, Env) (generateOptions, error), do func(generateOptions, context.Context, Env) error) action {
	return func(c *cli.Context, env Env) error {
		o, err := read(c, env)
		if err != nil {
			return err
		}
		return do(o, c.Context, env)
	}
}

// shown is act for what reports as it goes on.
func shown[O interface {
	reporter(env Env, note string) progress.Reporter
	execute(ctx context.Context, env Env, r progress.Reporter) error
}](read func(*cli.Context) (O, error)) action {
	return act(read, func(o O, ctx context.Context, env Env) error {
		r := o.reporter(env, "")
		return finish(r, o.execute(ctx, env, r))
	})
}

// bare is an action that takes no arguments; hint says what was meant by one.
func bare(hint string, do action) action {
	return func(c *cli.Context, env Env) error {
		if err := noArgs(c, hint); err != nil {
			return err
		}
		return do(c, env)
	}
}

// takes is an action with so many arguments; message asks for them.
func takes(n int, message string, do action) action {
	return func(c *cli.Context, env Env) error {
		if c.NArg() != n {
			return usagef(c.Command.HelpName, "%s", message)
		}
		return do(c, env)
	}
}

// display are the flags that say how a command shows what it does.
type display struct {
	quiet, json bool
}

func displayOf(c *cli.Context) (display, error) {
	d := display{quiet: c.Bool("quiet"), json: c.Bool("json")}
	if d.quiet && d.json {
		return d, usagef(c.Command.HelpName, "--quiet and --json exclude each other; --json alone prints events only")
	}
	return d, nil
}

// reporter returns the reporter that the flags ask for; note is added to each picture's line.
func (d display) reporter(env Env, note string) progress.Reporter {
	switch {
	case d.json:
		return progress.NewJSON(exact(env.Stdout), env.Now)
	case d.quiet:
		return progress.Discard{}
	}
	return progress.NewText(progress.TextOptions{Out: env.Stdout, Err: env.Stderr, Bar: env.bar(), Width: env.ErrWidth, Now: env.Now,
		Note: note})
}

// finish ends a reporter: with an event of the failure where there is one.
func finish(r progress.Reporter, err error) error {
	if err != nil {
		r.Report(progress.Failed{ExitCode: exitCode(err), Message: strings.TrimPrefix(message(err), name+": ")})
	}
	r.Close()
	return err
}
