//go:build unix

// Command stepratio compares two builds of libdaguerre: how long a denoising step takes with the one and with the other. Each runs in a
// process of its own with the model open, and they take turns, step by step, so that whatever else the machine does disturbs both alike.
//
//	go run ./tools/stepratio -model sdxl.safetensors -size 256 -steps 10 build/cpu build/linux-amd64-cpu-avx2-avx512-bf16-amx
//
// It prints the medians of both, of time and of the processor's time, and the ratio of the second to the first.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// order is what both builds do.
type order struct {
	Library, Model       string
	Size, Steps, Threads int
	Max                  float64 // the largest ratio that passes; 0: any
}

// step is what one step took.
type step struct {
	Wall, CPU time.Duration
	Library   string // that was loaded
}

func main() {
	var o order
	flag.StringVar(&o.Model, "model", pipeline.NanoModel, "checkpoint, or nano")
	flag.IntVar(&o.Size, "size", 256, "pixels a side")
	flag.IntVar(&o.Steps, "steps", 10, "steps of each build that count, after one that does not")
	flag.IntVar(&o.Threads, "threads", 1, "on the CPU")
	flag.Float64Var(&o.Max, "max", 0, "fail where the ratio of the processor's time is above this; 0: never")
	flag.Parse()
	if text := os.Getenv("DAGUERRE_STEPRATIO"); text != "" {
		err := json.Unmarshal([]byte(text), &o)
		if err == nil {
			err = work(o)
		}
		tool.Exit("stepratio", err)
	}
	if flag.NArg() != 2 {
		flag.Usage()
		os.Exit(2)
	}
	tool.Exit("stepratio", compare(o, flag.Args()))
}

// work makes a picture in a child process. After each step it says what the step took, and waits for its turn.
func work(o order) error {
	ctx := context.Background()
	pipe, err := pipeline.Open(ctx, pipeline.Config{Model: o.Model, Library: o.Library, Threads: o.Threads})
	if err != nil {
		return err
	}
	defer pipe.Close() //nolint:errcheck // the process ends
	turns := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	var failed error
	var began time.Time
	var spent time.Duration
	turn := func(p pipeline.Progress) {
		if p.Stage != pipeline.StageDenoise || failed != nil {
			return
		}
		if p.Step > 0 {
			failed = out.Encode(step{Wall: time.Since(began), CPU: processorTime() - spent, Library: o.Library})
		}
		if p.Step < p.Steps {
			_, err := turns.ReadString('\n')
			failed = errors.Join(failed, err)
		}
		began, spent = time.Now(), processorTime()
	}
	_, err = pipe.Generate(ctx, request.Request{Prompt: "a red circle on a blue background", Width: o.Size, Height: o.Size,
		NumInferenceSteps: o.Steps + 1, Seed: 42}, pipeline.WithProgress(turn))
	return errors.Join(err, failed)
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// child is one of the two processes.
type child struct {
	cmd   *exec.Cmd
	turns io.WriteCloser
	steps *json.Decoder
	taken []step
}

func start(o order) (*child, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(program)}
	c.cmd.Env = append(os.Environ(), "DAGUERRE_STEPRATIO="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.turns, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.steps = json.NewDecoder(out)
	return c, c.cmd.Start()
}

// next lets a child make one step.
func (c *child) next() error {
	if _, err := fmt.Fprintln(c.turns); err != nil {
		return err
	}
	var s step
	if err := c.steps.Decode(&s); err != nil {
		return fmt.Errorf("a child ended early: %w", err)
	}
	c.taken = append(c.taken, s)
	return nil
}

func compare(o order, libraries []string) error {
	var children [2]*child
	for i, path := range libraries {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		of := o
		of.Library = absolute
		if children[i], err = start(of); err != nil {
			return err
		}
	}
	for round := range o.Steps + 1 {
		for i := range children {
			// Who begins changes from round to round.
			if err := children[(i+round)%2].next(); err != nil {
				return err
			}
		}
	}
	var errs []error
	for _, c := range children {
		errs = append(errs, c.turns.Close(), c.cmd.Wait())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	ratio := report(children)
	if o.Max > 0 && ratio > o.Max {
		return fmt.Errorf("the ratio is %.3f, above %.3f", ratio, o.Max)
	}
	return nil
}

// report prints a line for each build and the ratios, and returns that of the processor's time.
func report(children [2]*child) float64 {
	var wall, cpu [2]time.Duration
	for i, c := range children {
		wall[i] = median(c.taken[1:], func(s step) time.Duration { return s.Wall })
		cpu[i] = median(c.taken[1:], func(s step) time.Duration { return s.CPU })
		fmt.Printf("%-60s step %v, processor %v\n", c.taken[0].Library, wall[i].Round(time.Millisecond/10), cpu[i].Round(time.Millisecond/10))
	}
	ratio := float64(cpu[1]) / float64(cpu[0])
	fmt.Printf("second to first: step %.3f, processor %.3f (medians of %d)\n", float64(wall[1])/float64(wall[0]), ratio,
		len(children[0].taken)-1)
	return ratio
}

func median(steps []step, of func(step) time.Duration) time.Duration {
	var values []time.Duration
	for _, s := range steps {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
