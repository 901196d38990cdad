// Command daguerre makes SDXL pictures from the command line. See docs/cli.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/daguerre-go/daguerre/cli/command"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
)

func main() {
	// A reader of our output that goes away, such as head, must not end a night's work.
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(context.Background())
	go watchSignals(cancel)
	code := command.Run(ctx, command.Env{
		Stdin:          os.Stdin,
		Stdout:         os.Stdout,
		Stderr:         os.Stderr,
		StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Now:            time.Now,
		Open:           pipeline.Open,
		Native:         command.NativeLibrary{},
	}, os.Args)
	cancel()
	os.Exit(code)
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
