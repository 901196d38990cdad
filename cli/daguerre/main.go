// Command daguerre makes SDXL pictures from the command line. See docs/cli.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/daguerre-go/daguerre/cli/internal/command"
	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/runtime/hub"
	"github.com/daguerre-go/daguerre/runtime/install"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

func main() {
	if message := tooLittle(machine.AskHeadroom()); message != "" {
		fmt.Fprintln(os.Stderr, "daguerre: "+message)
		os.Exit(command.ExitOutOfMemory)
	}
	ignoreSignals()
	ctx, cancel := context.WithCancel(context.Background())
	stdout := &patient{f: os.Stdout}
	hung := &hangups{heard: make(chan struct{}, 1)}
	go watchSignals(cancel, stdout, hung)
	code := command.Run(ctx, command.Env{
		Stdin:          os.Stdin,
		Stdout:         stdout,
		Stderr:         os.Stderr,
		StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())) && os.Getenv("TERM") != "dumb",
		StdinTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		ConfigDir:      os.UserConfigDir,
		Width:          widthOf(os.Stdout),
		ErrWidth:       widthOf(os.Stderr),
		Now:            time.Now,
		OwnStdout:      ownStdout,
		Hangups:        hung.take,
		Open:           pipeline.Open,
		Plan:           pipeline.Plan,
		Install:        install.Ensure,
		Pull:           hub.Pull,
		Native:         command.NativeLibrary{},
		Executable:     executable(),
		Args:           commandLine(),
	}, os.Args)
	cancel()
	os.Exit(code)
}

// widthOf returns what asks for the columns of a file that is a terminal, as they are then; 0: it is none.
func widthOf(f *os.File) func() int {
	return func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0
		}
		return width
	}
}

// executable is this program's file, "" where the system does not tell it.
func executable() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	return path
}

// commandLine is how the program was called, without the folder it lies in.
func commandLine() []string {
	return append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
}

// watchSignals cancels the run at the first Ctrl-C, SIGTERM or SIGHUP. At the second one, or if nobody reads standard output for giveUp, it
// ends the process. Ending it is safe at any moment: files get their names when they are complete. If SIGHUP is ignored, as under nohup, it
// stays ignored. A command that takes SIGHUP does not end by it.
func watchSignals(cancel context.CancelFunc, stdout *patient, hung *hangups) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	for s := <-signals; s == syscall.SIGHUP && hung.tell(); {
		s = <-signals
	}
	cancel()
	go func() {
		if term.IsTerminal(int(os.Stderr.Fd())) { // a pipe may be closed, or nobody reads it
			fmt.Fprintln(os.Stderr, "\nstopping; Ctrl-C again ends at once")
		}
	}()
	ended := time.Now()
	for {
		select {
		case <-signals:
			os.Exit(command.ExitCancelled)
		case <-time.After(giveUp / 16):
			if min(stdout.blocked(), time.Since(ended)) > giveUp {
				os.Exit(command.ExitCancelled)
			}
		}
	}
}

// hangups tells a command of SIGHUP.
type hangups struct {
	taken atomic.Bool
	heard chan struct{}
}

func (h *hangups) take() <-chan struct{} {
	h.taken.Store(true)
	return h.heard
}

// tell tells the command of one; false: no command takes them.
func (h *hangups) tell() bool {
	if !h.taken.Load() {
		return false
	}
	select {
	case h.heard <- struct{}{}:
	default: // it has not yet seen the one before
	}
	return true
}

// giveUp is how long a reader of standard output may take nothing after the program was told to end.
const giveUp = 10 * time.Second

// patient is a file that tells how long a write has waited for its reader.
type patient struct {
	f     *os.File
	mu    sync.Mutex
	since atomic.Pointer[time.Time]
}

// Write implements io.Writer.
func (p *patient) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.since.Store(&now)
	defer p.since.Store(nil)
	return p.f.Write(b)
}

func (p *patient) blocked() time.Duration {
	if since := p.since.Load(); since != nil {
		return time.Since(*since)
	}
	return 0
}
