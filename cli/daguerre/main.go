// Command daguerre makes SDXL pictures from the command line. See docs/cli.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/daguerre-go/daguerre/cli/internal/command"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

func main() {
	ignoreSignals()
	ctx, cancel := context.WithCancel(context.Background())
	go watchSignals(cancel)
	code := command.Run(ctx, command.Env{
		Stdin:          os.Stdin,
		Stdout:         os.Stdout,
		Stderr:         os.Stderr,
		StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Now:            time.Now,
		OwnStdout:      ownStdout,
		Open:           pipeline.Open,
		Plan:           pipeline.Plan,
		Native:         command.NativeLibrary{},
		Executable:     executable(),
		Args:           commandLine(),
	}, os.Args)
	cancel()
	os.Exit(code)
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

// watchSignals cancels the run at the first Ctrl-C or SIGTERM and ends the process at the second.
// Ending it is safe at any moment: files get their names when they are complete.
func watchSignals(cancel context.CancelFunc) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	<-signals
	cancel()
	if term.IsTerminal(int(os.Stderr.Fd())) {
		fmt.Fprintln(os.Stderr, "\nstopping; press Ctrl-C again to end at once")
	}
	<-signals
	os.Exit(command.ExitCancelled)
}
