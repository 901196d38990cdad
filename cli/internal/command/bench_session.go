package command

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/machine"
	benchmark "github.com/daguerre-go/daguerre/runtime/bench"
)

// runBenchSession is what bench starts for each session: it reads one from standard input and prints what it measured.
func runBenchSession(c *cli.Context, env Env) error {
	var s benchmark.Session
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		return usagef("daguerre bench", "no session on standard input: %v", err)
	}
	out, err := benchmark.Measure(c.Context, benchmark.Opener(env.Open), env.probe(), s)
	if err != nil {
		return err
	}
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return printTo(env.Stdout, "%s\n", data)
}

// probe watches this machine.
func (env Env) probe() benchmark.Probe {
	return benchmark.Probe{Devices: env.Native.Devices, Energy: machine.NewEnergy().Read, PeakRSS: machine.PeakRSS}
}

// measurer starts a process for each session, where the environment names the program, and otherwise measures in this one.
func (env Env) measurer() benchmark.Measurer {
	if env.Executable == "" {
		return func(ctx context.Context, s benchmark.Session) (benchmark.Outcome, error) {
			return benchmark.Measure(ctx, benchmark.Opener(env.Open), env.probe(), s)
		}
	}
	return env.measureInProcess
}

// childError is the failure of a session's process, which said why.
type childError struct {
	message string
	code    int
}

func (e *childError) Error() string { return e.message }

// stopGrace is how long a session's process may take to end after it was asked to.
const stopGrace = 10 * time.Second

func (env Env) measureInProcess(ctx context.Context, s benchmark.Session) (benchmark.Outcome, error) {
	var out benchmark.Outcome
	in, err := json.Marshal(s)
	if err != nil {
		return out, err
	}
	cmd := exec.CommandContext(ctx, env.Executable, "bench", "session")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = stopGrace
	err = cmd.Run()
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if err != nil {
		return out, describeChild(err, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		return out, fmt.Errorf("the session's process printed what is no outcome: %w", err)
	}
	return out, nil
}

// describeChild says why a session's process failed: in its own words, or by what ended it.
func describeChild(err error, said string) error {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return fmt.Errorf("starting a session's process: %w", err)
	}
	said = strings.TrimPrefix(strings.TrimSpace(said), name+": ")
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		if status.Signal() == syscall.SIGKILL {
			return &childError{"the session's process was killed, most likely because memory ran out; measure a smaller type or size",
				ExitOutOfMemory}
		}
		return &childError{fmt.Sprintf("the session's process ended by %v: %s", status.Signal(), lastLine(said)), ExitNative}
	}
	return &childError{cmp.Or(said, exit.Error()), exit.ExitCode()}
}

func lastLine(text string) string { return text[strings.LastIndexByte(text, '\n')+1:] }
