package command

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/worker"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

// workerOptions is what the worker command is asked to do.
type workerOptions struct {
	supervise bool
	onEOF     string
	maxLine   int
	queue     int
	models    int
	watchdog  time.Duration
	verbose   bool
}

func workerOptionsOf(c *cli.Context) (workerOptions, error) {
	o := workerOptions{supervise: c.Bool("supervise"), onEOF: c.String("on-eof"), maxLine: c.Int("max-line"), queue: c.Int("queue"),
		models: c.Int("models"), verbose: c.Bool("verbose"), watchdog: c.Duration("watchdog")}
	if o.onEOF != "drain" && o.onEOF != "cancel" {
		return o, usagef(c.Command.HelpName, "--on-eof %q is unknown; it is drain or cancel", words.Clip(o.onEOF))
	}
	if o.watchdog < 0 || o.watchdog > 0 && o.watchdog < time.Second {
		return o, usagef(c.Command.HelpName, "--watchdog is %s; it must be a second or more, or 0 for never", o.watchdog)
	}
	if o.watchdog == 0 {
		o.watchdog = -1
	}
	return o, cmp.Or(inRange(c, "max-line", o.maxLine, 1, 1<<12), inRange(c, "queue", o.queue, 1, 1<<20),
		inRange(c, "models", o.models, 1, 64))
}

// typedWorker is told to a person who starts a worker by hand.
const typedWorker = `The worker serves other programs: it reads a request from each line of standard input, which is your terminal now, and
writes what happens as lines of JSON. To make a picture yourself use daguerre generate.
To try it, type this line. Ctrl-D ends the worker.
{"id": 1, "type": "generate", "request": {"model": "nano", "prompt": "a red circle"}}
docs/worker.md tells more.`

func (o workerOptions) execute(ctx context.Context, env Env) error {
	if env.StdinTerminal {
		_, _ = fmt.Fprintln(env.Stderr, typedWorker) // nowhere is left to complain to
	}
	if o.supervise {
		return o.superviseChild(ctx, env)
	}
	out := exact(env.Stdout)
	if env.OwnStdout != nil {
		var err error
		if out, err = env.OwnStdout(); err != nil {
			return err
		}
	}
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: level}))
	texts := &pictureTexts{env: env}
	defer texts.stop()
	s := worker.New(worker.Options{
		Options: service.Options{
			Open: func(ctx context.Context, cfg pipeline.Config) (*pipeline.Pipeline, error) {
				return env.Open(ctx, cfg, pipeline.WithLogger(log))
			},
			Devices: env.Native.Devices, Check: checkJobs, Classify: classify, Texts: texts.of, Limit: o.queue, MaxModels: o.models, Now: env.Now,
		},
		Store: service.Files{Writer: &output.Writer{}}, Library: func() worker.Library {
			l := env.Native.Library()
			return worker.Library{Version: strings.TrimSpace(l.Variant + " " + l.Version), Engine: l.Engine}
		},
		Version: Version(), Supervised: os.Getenv(worker.SupervisedEnv) != "", Restarts: worker.RestartsOf(os.Getenv(worker.SupervisedEnv)),
		MaxLine: o.maxLine << 20, CancelOnEOF: o.onEOF == "cancel",
	})
	return s.Serve(ctx, env.Stdin, out)
}

// classify sorts an error for the service as the exit code of the command line does.
func classify(err error) service.Code {
	return cmp.Or(map[int]service.Code{ExitUsage: service.CodeInvalid, ExitFile: service.CodeBadFile, ExitOutOfMemory: service.CodeOutOfMemory,
		ExitNative: service.CodeNative}[exitCode(err)], service.CodeFailed)
}

func (o workerOptions) superviseChild(ctx context.Context, env Env) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s := worker.NewSupervisor(worker.SupervisorOptions{
		Command: append([]string{self}, o.childArgs()...), Stderr: exact(env.Stderr), Version: Version(),
		MaxLine: o.maxLine << 20, QueueLimit: o.queue, CancelOnEOF: o.onEOF == "cancel", Now: env.Now,
		Models: o.models, Watchdog: o.watchdog,
		Log: slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	return s.Serve(ctx, env.Stdin, exact(env.Stdout))
}

// childArgs is the command line of the process that computes.
func (o workerOptions) childArgs() []string {
	args := []string{"worker", "--max-line", strconv.Itoa(o.maxLine), "--queue", strconv.Itoa(2 * o.queue), "--models", strconv.Itoa(o.models)}
	if o.verbose {
		args = append(args, "--verbose")
	}
	return args
}
