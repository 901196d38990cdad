//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// mostCost is how much longer a picture may take than with generate.
const mostCost = 1.02

// cost compares the time that the server takes for runs of eight pictures with that of generate, in turns.
func cost(ctx context.Context, o options) error {
	file := filepath.Join(o.dir, "run.toml")
	var text strings.Builder
	fmt.Fprintf(&text, "model = \"nano\"\nnum_images = 8\nprompt = \"a red circle\"\noutput = %q\n",
		filepath.Join(o.dir, "p-{job}-{index}.png"))
	for i := range o.runs {
		fmt.Fprintf(&text, "[[job]]\nseed = %d\n", 100*i)
	}
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return err
	}
	s, err := start(ctx, o, anyAddress)
	if err != nil {
		return err
	}
	defer s.kill()
	var ratios, cpus []float64
	for round := range o.rounds + 1 {
		wall, cpu, err := o.generate(ctx, file)
		if err != nil {
			return err
		}
		before := s.cpu()
		served, err := o.serve(ctx, s, round)
		if err != nil {
			return err
		}
		if round == 0 {
			continue // the model is loaded
		}
		n := float64(8 * o.runs)
		used := s.cpu() - before
		fmt.Printf("round %d: generate %.2f ms a picture (%.2f of CPU), serve %.2f (%.2f)\n", round,
			ms(wall)/n, ms(cpu)/n, ms(served)/n, ms(used)/n)
		ratios, cpus = append(ratios, served.Seconds()/wall.Seconds()), append(cpus, used.Seconds()/cpu.Seconds())
	}
	fmt.Printf("a picture takes %.3f of the time that it takes with generate, and %.3f of its CPU time (medians of %d rounds)\n",
		median(ratios), median(cpus), o.rounds)
	if median(ratios) > mostCost {
		return fmt.Errorf("it may be %.2f", mostCost)
	}
	return nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// generate runs generate. The time is that from its first to its last picture, as its events tell, and the CPU time that of the process;
// both leave out the loading of the model as far as they can.
func (o options) generate(ctx context.Context, file string) (wall, cpu time.Duration, err error) {
	cmd := exec.CommandContext(ctx, o.program, "generate", "--no-config", "-c", file, "--json")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, 0, err
	}
	var model, last time.Time
	for line := range strings.Lines(string(out)) {
		var e struct {
			Event string
			Time  time.Time
		}
		if json.Unmarshal([]byte(line), &e) == nil {
			switch e.Event {
			case "model":
				model = e.Time
			case "image":
				last = e.Time
			}
		}
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok || model.IsZero() || last.IsZero() {
		return 0, 0, fmt.Errorf("generate tells no times")
	}
	return last.Sub(model), time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// serve submits the same jobs as one run each, and waits for all of them.
func (o options) serve(ctx context.Context, s *server, round int) (time.Duration, error) {
	began := time.Now()
	var ids []string
	for i := range o.runs {
		status, data, _, err := call(ctx, "POST", s.url+"/v1/runs", map[string]any{"prompt": "a red circle", "seed": 100*i + 10000*round,
			"num_images": 8})
		var run answered
		if err != nil || status != 202 || json.Unmarshal(data, &run) != nil {
			return 0, fmt.Errorf("submitting: %d %s %v", status, data, err)
		}
		ids = append(ids, run.ID)
	}
	for _, id := range ids {
		if status, _, _, err := call(ctx, "GET", s.url+"/v1/runs/"+id+"/events", nil); err != nil || status != 200 {
			return 0, fmt.Errorf("following: %d %v", status, err)
		}
	}
	return time.Since(began), nil
}

// cpu is the CPU time of the server so far.
func (s *server) cpu() time.Duration { return cpuOf(s.cmd.Process.Pid) }

// cpuOf is the CPU time of a process so far; 0 where the system does not tell.
func cpuOf(pid int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	var user, system int64
	_, _ = fmt.Sscan(fields[11], &user)
	_, _ = fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * (time.Second / 100)
}
