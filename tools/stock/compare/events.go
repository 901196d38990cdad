package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
)

// stockBuildInfo is how the stock engine was built, in its own words.
type stockBuildInfo struct {
	Engine    string `json:"engine"`
	Version   string `json:"version"`
	Compiler  string `json:"compiler"`
	BuildType string `json:"build_type"`
	Options   string `json:"options"`
	System    string `json:"system"`
	Threads   int    `json:"threads"` // that it takes by default
}

func stockBuild(ctx context.Context, program string) (stockBuildInfo, error) {
	var b stockBuildInfo
	out, err := exec.CommandContext(ctx, program, "--build-info").Output()
	if err != nil {
		return b, fmt.Errorf("%s --build-info: %w", program, err)
	}
	if err := json.Unmarshal(out, &b); err != nil || b.Threads < 1 {
		return b, fmt.Errorf("%s --build-info printed %q, which is not a build event; build it anew", program, strings.TrimSpace(string(out)))
	}
	return b, nil
}

// stockEvent is a line of the stock engine's driver.
type stockEvent struct {
	Event   string  `json:"event"`
	Seconds float64 `json:"seconds"`
	Step    int     `json:"step"`
}

// stockParser collects the times that the driver of the stock engine prints.
type stockParser struct {
	sample sample
	done   bool
}

// line takes one line. The engine prints to standard output too: what is no event is passed over.
func (p *stockParser) line(text []byte) {
	var e stockEvent
	if json.Unmarshal(text, &e) != nil {
		return
	}
	switch e.Event {
	case "load":
		p.sample.Load = e.Seconds
	case "text":
		p.sample.Text = e.Seconds
	case "step":
		p.sample.Steps = append(p.sample.Steps, e.Seconds)
	case "decode":
		p.sample.Decode = e.Seconds
	case "done":
		p.done = true
	}
}

func (p *stockParser) finish(s *sample, steps int) error {
	if !p.done || len(p.sample.Steps) != steps {
		return fmt.Errorf("the stock engine reported %d of %d steps", len(p.sample.Steps), steps)
	}
	s.Load, s.Text, s.Steps, s.Decode = p.sample.Load, p.sample.Text, p.sample.Steps, p.sample.Decode
	return nil
}

// daguerreEvent is what is of interest in the lines of `daguerre generate --json`.
type daguerreEvent struct {
	Event     string  `json:"event"`
	Seconds   float64 `json:"seconds"` // model: taken; progress: since the job began
	Precision string  `json:"precision"`
	Stage     string  `json:"stage"`
	Step      int     `json:"step"`
}

// daguerreParser turns moments into times. A stage begins with an event of step 0; a step ends with an event.
type daguerreParser struct {
	sample sample
	at     float64 // seconds, of the last progress event
	stage  string
	done   bool
}

func (p *daguerreParser) line(text []byte) {
	var e daguerreEvent
	if json.Unmarshal(text, &e) != nil {
		return
	}
	switch e.Event {
	case "model":
		p.sample.Load, p.sample.Note = e.Seconds, e.Precision
	case "progress":
		p.progress(e)
	case "done":
		p.done = true
	}
}

// progress takes the event of a stage that began, or of a step that ended.
func (p *daguerreParser) progress(e daguerreEvent) {
	spent := e.Seconds - p.at
	p.at = e.Seconds
	if e.Stage == "denoise" && p.stage == "denoise" && e.Step > 0 {
		p.sample.Steps = append(p.sample.Steps, spent)
	}
	if e.Stage != p.stage {
		switch p.stage {
		case "text":
			p.sample.Text = spent
		case "decode":
			p.sample.Decode = spent
		}
		p.stage = e.Stage
	}
}

func (p *daguerreParser) finish(s *sample, steps int) error {
	if !p.done || len(p.sample.Steps) != steps || p.stage != "done" {
		return fmt.Errorf("daguerre reported %d of %d steps and ended in stage %q; its --json events are not the known ones", len(p.sample.Steps),
			steps, p.stage)
	}
	s.Load, s.Text, s.Steps, s.Decode, s.Note = p.sample.Load, p.sample.Text, p.sample.Steps, p.sample.Decode, p.sample.Note
	return nil
}
