// Command mutants damages files of every kind that the program reads, and runs the program on them. Whatever a file holds, the program has
// to end by itself, soon, with a documented exit code: 0, 2, 3 or 4. Where only the description in a file was damaged, not its numbers, a
// run that ends with 0 must give a warning, or the sound file's picture. It needs libdaguerre (make).
//
//	go run ./tools/mutants -daguerre bin/daguerre -n 3000
//	go run ./tools/mutants -daguerre bin/daguerre -only lora -from 120 -n 1   # one of them again; its file stays
package main

import (
	"context"
	_ "embed" // the lists
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

//go:embed subjects.txt
var subjectsText string

// subject is one kind of file with what the program is told.
type subject struct {
	name, file string
	args       []string
	sound      result // of the file that is not damaged
}

type options struct {
	program, keep, only string
	n, from, threads    int
	timeout             time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.program, "daguerre", "bin/daguerre", "the program")
	flag.StringVar(&o.keep, "keep", "build/mutants", "folder for the files that failed")
	flag.StringVar(&o.only, "only", "", "one subject of subjects.txt")
	flag.IntVar(&o.n, "n", 3000, "damaged files, over all subjects")
	flag.IntVar(&o.from, "from", 0, "number of the first; the same number gives the same file")
	flag.IntVar(&o.threads, "processes", runtime.NumCPU(), "programs side by side")
	flag.DurationVar(&o.timeout, "timeout", 2*time.Minute, "of one run")
	flag.Parse()
	tool.Exit("mutants", run(context.Background(), o))
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	in := filepath.Join(dir, "in")
	if err := makeInputs(ctx, o.program, in); err != nil {
		return err
	}
	subjects, err := readSubjects(o.only)
	if err != nil {
		return err
	}
	for i := range subjects {
		s := &subjects[i]
		data, err := os.ReadFile(filepath.Join(in, s.file))
		if err != nil {
			return err
		}
		if s.sound = o.try(ctx, in, filepath.Join(dir, "sound"), s, data); s.sound.code != 0 {
			return fmt.Errorf("%s: the sound file ends with %d: %s", s.name, s.sound.code, s.sound.said)
		}
	}
	t := table{failures: o.keep}
	work := make(chan int)
	var done sync.WaitGroup
	for k := range o.threads {
		done.Go(func() {
			own := filepath.Join(dir, fmt.Sprint(k))
			for i := range work {
				s := &subjects[i%len(subjects)]
				random := rand.New(rand.NewPCG(uint64(i), 0))
				data, err := os.ReadFile(filepath.Join(in, s.file))
				if err != nil {
					panic(err) // it was read before
				}
				m := mutate(random, s.file, data)
				t.add(i, s, m, o.try(ctx, in, own, s, m.bytes))
			}
		})
	}
	for i := o.from; i < o.from+o.n; i++ {
		work <- i
	}
	close(work)
	done.Wait()
	t.print(subjects)
	if n := t.failed; n > 0 {
		return fmt.Errorf("%d of %d failed; their files are in %s", n, o.n, o.keep)
	}
	return nil
}

func readSubjects(only string) (out []subject, err error) {
	for line := range strings.Lines(subjectsText) {
		parts := strings.Split(line, "|")
		if strings.HasPrefix(line, "#") || len(parts) != 3 {
			continue
		}
		s := subject{name: strings.TrimSpace(parts[0]), file: strings.TrimSpace(parts[1]), args: strings.Fields(parts[2])}
		if only == "" || only == s.name {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("-only: there is no such subject")
	}
	return out, nil
}
