// Command recorder makes about a hundred small runs over all features, through the command line, the worker and the library. It writes
// what came out: hashes of pixels and latents, sizes, seeds, batches, manifests, warnings and plans. Two recordings of two versions
// of the program, made on one machine, show what a change of the program changes.
//
//	go run ./tools/recorder -daguerre bin/daguerre -out build/record.json
//	go run ./tools/recorder -compare old.json new.json
//
// It runs in the root of the checkout. All inputs are made anew, always the same, in a folder that is removed at the end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"
)

// options are the flags.
type options struct {
	program string
	out     string
	only    *regexp.Regexp
	peak    bool
}

// faces are the ways into the program. Library calls are made in two ways: by Generate, and through a Batcher.
var faces = []string{"cli", "worker", "generate", "batcher"}

func main() {
	if len(os.Args) > 3 && os.Args[1] == measureCommand {
		os.Exit(measure(os.Args[2:]))
	}
	var o options
	var only string
	var compare bool
	flag.StringVar(&o.program, "daguerre", "bin/daguerre", "the program")
	flag.StringVar(&o.out, "out", "build/record.json", "file to write")
	flag.StringVar(&only, "only", "", "regular expression: the names of the runs to make")
	flag.BoolVar(&o.peak, "peak", false, "print each run's peak of memory beside its plan's")
	flag.BoolVar(&compare, "compare", false, "compare the two recordings that are named as arguments")
	flag.Parse()
	if err := start(o, only, compare); err != nil {
		fmt.Fprintln(os.Stderr, "recorder:", err)
		os.Exit(1)
	}
}

func start(o options, only string, compare bool) error {
	if compare {
		if flag.NArg() != 2 {
			return errors.New("-compare needs two recordings")
		}
		return compareFiles(flag.Arg(0), flag.Arg(1))
	}
	var err error
	if o.only, err = regexp.Compile(only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	if o.program, err = filepath.Abs(o.program); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return record(ctx, o)
}

// record makes all runs and writes the recording.
func record(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "recorder")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	began := time.Now()
	in, err := makeInputs(ctx, o.program, dir)
	if err != nil {
		return fmt.Errorf("making the inputs: %w", err)
	}
	var runs []*run
	for _, r := range allRuns(in) {
		if o.only.MatchString(r.name) {
			r.dir = filepath.Join(dir, "runs", r.name)
			runs = append(runs, r)
		}
	}
	s := session{options: o, dir: dir}
	steps := []struct {
		name string
		make func(context.Context, []*run) error
	}{{"plan", s.plans}, {"command line", s.commandLine}, {"worker", s.worker}, {"library", s.library}}
	for _, step := range steps {
		fmt.Printf("%4.0f s: %s\n", time.Since(began).Seconds(), step.name)
		if err := step.make(ctx, runs); err != nil {
			return err
		}
	}
	entries := in.entries
	for _, r := range runs {
		if err := r.addEntries(entries, dir); err != nil {
			return err
		}
	}
	if err := entries.write(o.out); err != nil {
		return err
	}
	failed := printOutcome(runs, o.peak)
	fmt.Printf("\n%d runs, %d entries, %.0f s: %s\n", len(runs), len(entries), time.Since(began).Seconds(), o.out)
	if failed > 0 {
		return fmt.Errorf("%d failures", failed)
	}
	return nil
}

// session is one recording.
type session struct {
	options
	dir string // of all temporary files
}
