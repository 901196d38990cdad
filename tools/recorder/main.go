// Command recorder makes about a hundred small runs over all features, through the command line, the worker and the library. It writes
// what came out: hashes of pixels and latents, sizes, seeds, batches, manifests, warnings and plans. Two recordings of two versions
// of the program, made on one machine, show what a change of the program changes.
//
//	go run ./tools/recorder -daguerre bin/daguerre -out build/record.json
//	go run ./tools/recorder -compare old.json new.json
//	go run ./tools/recorder -psnr 40 A.png B.png
//
// It runs in the root of the checkout. The runs are the run files of tools/recorder/runs; a table [recorder] says what a run file cannot.
// All inputs are made anew, always the same, in a folder that is removed at the end. In the run files it is called INPUTS.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// session is what the faces of the command line need.
type session struct {
	program string
	peak    bool // is measured
}

// faces are the ways into the program, after its plan. Library calls are made in two ways: by Generate, and through a Batcher.
var faces = []string{"plan", "cli", "worker", "generate", "batcher"}

func main() {
	if len(os.Args) > 4 && os.Args[1] == measureCommand {
		tool.Exit("recorder", measure(os.Args[2], os.Args[3], os.Args[4:]))
	}
	program := flag.String("daguerre", "bin/daguerre", "the program")
	out := flag.String("out", "build/record.json", "file to write")
	only := flag.String("only", "", "regular expression: the names of the runs to make")
	peak := flag.Bool("peak", false, "print each run's peak of memory beside its plan's")
	maxPeak := flag.Float64("max-peak-error", 0, "with -peak: fail where a planned peak is off by more than so many `percent`; 0: never")
	some := flag.String("faces", strings.Join(faces, ","), "the ways to make the runs")
	compare := flag.Bool("compare", false, "compare the two recordings that are named as arguments")
	psnr := flag.Float64("psnr", 0, "compare the two pictures that are named as arguments; fail below so many dB")
	flag.Parse()
	var err error
	switch {
	case (*compare || *psnr > 0) && flag.NArg() != 2:
		err = errors.New("-compare and -psnr need two files")
	case *compare:
		err = compareFiles(flag.Arg(0), flag.Arg(1))
	case *psnr > 0:
		err = comparePictures(flag.Arg(0), flag.Arg(1), *psnr)
	default:
		err = record(*program, *out, *only, *some, *peak, *maxPeak)
	}
	tool.Exit("recorder", err)
}

// record makes all runs and writes the recording.
func record(program, out, only, some string, peak bool, maxPeak float64) error {
	names, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	s := session{peak: peak}
	if s.program, err = filepath.Abs(program); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "recorder")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	began := time.Now()
	all, err := makeInputs(ctx, s.program, filepath.Join(dir, "inputs"))
	if err != nil {
		return fmt.Errorf("making the inputs: %w", err)
	}
	runs, err := readRuns("tools/recorder/runs", names, dir)
	if err != nil {
		return err
	}
	worker, err := startWorker(ctx, s.program)
	if err != nil {
		return err
	}
	ways := map[string]func(context.Context, *run, *outcome) error{"plan": s.plan, "cli": s.generate, "worker": worker.make,
		"generate": library("generate", callGenerate), "batcher": library("batcher", callBatcher)}
	for _, face := range strings.Split(some, ",") {
		if ways[face] == nil {
			return fmt.Errorf("-faces: %q is none of %s", face, strings.Join(faces, ", "))
		}
		fmt.Printf("%4.0f s: %s\n", time.Since(began).Seconds(), face)
		for _, r := range runs {
			if !r.wants(face) {
				continue
			}
			o := &outcome{found: table{}}
			r.outcomes[face] = o
			o.err = ways[face](ctx, r, o)
			if err := errors.Join(ctx.Err(), o.addEntries(all, r.name, face)); err != nil {
				return err
			}
		}
	}
	if err := worker.close(); err != nil {
		return err
	}
	for key, value := range all { // of errors and warnings
		all[key] = bytes.ReplaceAll(value, []byte(dir), []byte("DIR"))
	}
	if err := all.write(out); err != nil {
		return err
	}
	failed := printOutcome(runs)
	if peak {
		if off := printPeaks(runs, cmp.Or(maxPeak, defaultPeakError)); maxPeak > 0 {
			failed += off
		}
	}
	fmt.Printf("\n%d runs, %d entries, %.0f s: %s\n", len(runs), len(all), time.Since(began).Seconds(), out)
	if failed > 0 {
		return fmt.Errorf("%d failures", failed)
	}
	return nil
}
