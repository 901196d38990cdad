package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// plannedJob is what is recorded of a job's plan.
type plannedJob struct {
	Width    int             `json:"width"`
	Height   int             `json:"height"`
	Images   int             `json:"images"`
	Batch    int             `json:"batch"`
	Peak     int64           `json:"peak_besides_process"` // of the host; what the process itself has differs from call to call
	Strategy json.RawMessage `json:"strategy"`
}

// plannedFor is what is recorded of the plan of a job.
func plannedFor(p tool.Plan, i int) plannedJob {
	size := p.Sizes[i]
	j := plannedJob{Width: size.Width, Height: size.Height, Images: size.Images, Batch: p.Jobs[i].Batch, Strategy: p.Strategy}
	for _, stage := range p.Jobs[i].Breakdown.Stages {
		sum := int64(0)
		for _, item := range stage.Items {
			if item.Device == "cpu" && item.Use != "process" {
				sum += item.Bytes
			}
		}
		j.Peak = max(j.Peak, sum)
	}
	return j
}

// plan asks for the plan of a run. A plan that does not fit is one, too.
func (s session) plan(ctx context.Context, r *run, o *outcome) error {
	path, err := r.writeFile("plan")
	if err != nil {
		return err
	}
	text, err := tool.Output(exec.CommandContext(ctx, s.program, "plan", "-c", path, "--json"))
	if jsonErr := json.Unmarshal(text, &r.plan); jsonErr != nil {
		return errors.Join(err, jsonErr)
	}
	for i := range min(len(r.jobs), len(r.plan.Jobs), len(r.plan.Sizes)) {
		o.found[r.jobs[i].label] = plannedFor(r.plan, i)
	}
	if r.plan.Error != "" {
		return errors.New(r.plan.Error)
	}
	return nil
}

// generate makes a run with `daguerre generate`.
func (s session) generate(ctx context.Context, r *run, o *outcome) error {
	path, err := r.writeFile("cli")
	if err != nil {
		return err
	}
	args := []string{"generate", "-c", path, "--json"}
	if r.Previews > 0 {
		args = append(args, "--preview", strconv.Itoa(r.Previews))
	}
	program, peak := s.program, filepath.Join(r.dir, "peak")
	if s.peak {
		args = append([]string{measureCommand, peak, program}, args...)
		if program, err = os.Executable(); err != nil {
			return err
		}
	}
	text, err := tool.Output(exec.CommandContext(ctx, program, args...))
	if err != nil {
		return err
	}
	if s.peak {
		if err := tool.ReadJSON(peak, &o.peak); err != nil {
			return err
		}
	}
	if r.Previews > 0 { // only their number is recorded
		o.found["previews"] = strconv.Itoa(bytes.Count(text, []byte(`"event":"preview"`)))
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return err
		}
		if err := o.take(r, "cli", e); err != nil {
			return err
		}
	}
	return nil
}

// measureCommand, as the first argument, has this program run another and write its peak of resident memory to a file. A process
// counts what the one that starts it has in memory as its own peak. So that one has to be small; the recorder itself is not.
const measureCommand = "measure-peak"

// measure does what measureCommand asks for.
func measure(peak, program string, args []string) error {
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	return tool.WriteJSON(peak, machine.PeakRSSOf(cmd.ProcessState))
}
