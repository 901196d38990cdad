package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// plan is what is read of `daguerre plan --json`.
type plan struct {
	Strategy json.RawMessage `json:"strategy"`
	Jobs     []struct {
		Batch     int `json:"batch"`
		Breakdown struct {
			Stages []struct {
				Name  string
				Items []planItem
			}
		} `json:"breakdown"`
	} `json:"jobs"`
	Sizes []struct{ Width, Height, Images int } `json:"sizes"`
	Peaks []struct {
		Device string
		Bytes  int64
	} `json:"peaks"`
	Error string `json:"error"`
}

type planItem struct {
	Device, Use string
	Bytes       int64
}

// plannedJob is what is recorded of a job's plan.
type plannedJob struct {
	Width    int             `json:"width"`
	Height   int             `json:"height"`
	Images   int             `json:"images"`
	Batch    int             `json:"batch"`
	Peak     int64           `json:"peak_besides_process"` // of the host; what the process itself has differs from call to call
	Strategy json.RawMessage `json:"strategy"`
}

// jobs returns what is planned for the first n jobs.
func (p plan) jobs(n int) []plannedJob {
	var out []plannedJob
	for i := range min(n, len(p.Jobs), len(p.Sizes)) {
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
		out = append(out, j)
	}
	return out
}

// hostPeak is the planned peak of the host.
func (p plan) hostPeak() int64 {
	for _, d := range p.Peaks {
		if d.Device == "cpu" {
			return d.Bytes
		}
	}
	return 0
}

// plans asks for the plan of each run.
func (s session) plans(ctx context.Context, runs []*run) error {
	for _, r := range runs {
		r.outcomes = map[string]*outcome{}
		path, err := r.writeFile("plan")
		if err != nil {
			return err
		}
		var said bytes.Buffer
		cmd := exec.CommandContext(ctx, s.program, "plan", "-c", path, "--json")
		cmd.Stderr = &said
		text, err := cmd.Output()
		if json.Unmarshal(text, &r.plan) != nil {
			r.plan.Error = fmt.Sprintf("%v: %s", err, bytes.TrimSpace(said.Bytes()))
		}
	}
	return nil
}

// commandLine makes the runs with `daguerre generate`.
func (s session) commandLine(ctx context.Context, runs []*run) error {
	for _, r := range runs {
		if !r.wants("cli") {
			continue
		}
		o := newOutcome()
		r.outcomes["cli"] = o
		if o.err = s.generate(ctx, r, o); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// event is what is read of an event of the command line, or of the worker.
type event struct {
	ID      string `json:"id"`
	Event   string `json:"event"`
	Job     int    `json:"job"`
	Index   int    `json:"index"`
	Seed    int64  `json:"seed"`
	Path    string `json:"path"`
	Data    []byte `json:"data"` // base64
	Size    int    `json:"size"`
	Message string `json:"message"`
	Stage   string `json:"stage"`
	Step    int    `json:"step"`
	Steps   int    `json:"steps"`
	Batch   int    `json:"batch"`
	Failed  int    `json:"failed"`
}

func (s session) generate(ctx context.Context, r *run, o *outcome) error {
	path, err := r.writeFile("cli")
	if err != nil {
		return err
	}
	args := []string{"generate", "-c", path, "--json"}
	if r.previews > 0 {
		args = append(args, "--preview", strconv.Itoa(r.previews))
	}
	program, peak := s.program, filepath.Join(r.dir, "peak")
	if s.peak {
		if args, program, err = measured(peak, program, args); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	if s.peak {
		if o.peak, err = readPeak(peak); err != nil {
			return err
		}
	}
	previews := 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return err
		}
		switch e.Event {
		case "batch":
			o.batches[""] = append(o.batches[""], e.Size)
		case "warning":
			o.warnings = append(o.warnings, e.Message)
		case "preview":
			previews++
		case "image":
			data, err := os.ReadFile(e.Path)
			if err != nil {
				return err
			}
			if err := o.addPNG(r.jobs[e.Job].label, e, data); err != nil {
				return err
			}
		}
	}
	if r.previews > 0 {
		o.previews["previews"] = strconv.Itoa(previews)
	}
	return r.addLatents("cli", o)
}

// addPNG adds a picture from a PNG file.
func (o *outcome) addPNG(label string, e event, data []byte) error {
	hash, size, err := hashEncoded(data)
	if err != nil {
		return err
	}
	o.pictures = append(o.pictures, picture{job: label, index: e.Index, Width: size.X, Height: size.Y, Seed: e.Seed, Pixels: hash})
	if e.Index > 0 {
		return nil
	}
	o.manifests[label], err = manifestOf(data)
	return err
}
