package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"

	"github.com/daguerre-go/daguerre/tools/internal/tool"
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

func stockBuild(ctx context.Context, program string) (b stockBuildInfo, err error) {
	out, err := tool.Output(exec.CommandContext(ctx, program))
	if err != nil {
		return b, err
	}
	if err := json.Unmarshal(out, &b); err != nil || b.Threads < 1 {
		return b, fmt.Errorf("%s printed %q, which does not tell how it was built; build it anew", program, out)
	}
	return b, nil
}

// timesParser reads the one line of times that the stock engine's driver and tools/peers/peer.py print. The libraries in them print other
// lines, which are passed over.
type timesParser struct{ sample }

func (p *timesParser) line(text []byte) { _ = json.Unmarshal(text, &p.sample) }

func (p *timesParser) finish(s *sample, steps int) error {
	if len(p.Steps) != steps {
		return fmt.Errorf("the program reported %d of %d steps", len(p.Steps), steps)
	}
	s.Load, s.Text, s.Steps, s.Decode = p.Load, p.Text, p.Steps, p.Decode
	return nil
}

// daguerreParser reads the lines of `daguerre generate --json` and turns moments into times. A stage begins with an event of step 0; a step
// ends with an event.
type daguerreParser struct {
	timesParser
	at    float64 // seconds, of the last progress event
	stage string
	done  bool
}

func (p *daguerreParser) line(text []byte) {
	var e struct {
		Event, Precision, Stage string
		Seconds                 float64 // model: taken; progress: since the job began
		Step                    int
	}
	if json.Unmarshal(text, &e) != nil {
		return
	}
	switch e.Event {
	case "model":
		p.Load, p.Note = e.Seconds, e.Precision
	case "done":
		p.done = true
	case "progress": // a stage began, or a step ended
		spent := e.Seconds - p.at
		p.at = e.Seconds
		switch {
		case e.Stage == p.stage && e.Stage == "denoise" && e.Step > 0:
			p.Steps = append(p.Steps, spent)
		case e.Stage != p.stage && p.stage == "text":
			p.Text = spent
		case e.Stage != p.stage && p.stage == "decode":
			p.Decode = spent
		}
		p.stage = e.Stage
	}
}

func (p *daguerreParser) finish(s *sample, steps int) error {
	if !p.done || p.stage != "done" {
		return fmt.Errorf("daguerre ended in stage %q; its --json events are not the known ones", p.stage)
	}
	s.Note = p.Note
	return p.timesParser.finish(s, steps)
}
