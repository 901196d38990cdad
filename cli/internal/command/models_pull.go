package command

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/progress"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/hub"
)

// pullOptions is what models pull is asked to do.
type pullOptions struct {
	name    string
	options hub.Options
	display
}

// pullOptionsOf reads the arguments. What a name may be, package hub says.
func pullOptionsOf(c *cli.Context) (pullOptions, error) {
	o := pullOptions{name: c.Args().First(), options: hub.Options{File: c.String("file"), Variant: c.String("variant"),
		SHA256: c.String("sha256"), Force: c.Bool("force"), AllowPickle: c.Bool("allow-pickle"), Connections: c.Int("connections")}}
	command := c.Command.HelpName
	if c.NArg() != 1 {
		return o, usagef(command, "give one name, such as sdxl or owner/name; daguerre models list --known lists the short ones")
	}
	if err := inRange(c, "connections", o.options.Connections, 1, 16); err != nil {
		return o, err
	}
	if sum := o.options.SHA256; sum != "" {
		if raw, err := hex.DecodeString(sum); err != nil || len(raw) != 32 {
			return o, usagef(command, "--sha256 %q is not a SHA-256 sum of 64 hexadecimal digits", words.Clip(sum))
		}
	}
	var err error
	o.display, err = displayOf(c)
	return o, err
}

func (o pullOptions) execute(ctx context.Context, env Env) error {
	r := o.reporter(env, "")
	return finish(r, o.run(ctx, env, r))
}

func (o pullOptions) run(ctx context.Context, env Env, r progress.Reporter) error {
	began := env.Now()
	r.Report(progress.Start{Version: Version()})
	m, err := pull(ctx, env, r, o.name, o.options)
	if err != nil {
		return err
	}
	seconds := env.Now().Sub(began).Seconds()
	if o.json {
		r.Report(progress.Result{Result: m})
	}
	r.Report(progress.File{Path: m.Path, Bytes: m.Size, Seconds: seconds})
	r.Report(progress.Done{Seconds: seconds})
	return nil
}

// pull fetches a model and reports of it.
func pull(ctx context.Context, env Env, r progress.Reporter, name string, o hub.Options) (hub.Model, error) {
	meter := rate{now: env.Now}
	o.Note = func(text string) { r.Report(progress.Note{Message: text}) }
	o.Progress = func(p hub.Progress) {
		if step, due := meter.step(p); due {
			r.Report(step)
		}
	}
	m, err := env.Pull(ctx, name, o)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("pull: %w", err)
	}
	return m, err
}

// pullEvery is how often the progress of a download is told.
const pullEvery = 100 * time.Millisecond

// rate measures how fast a download is. What was there before it began does not count.
type rate struct {
	now   func() time.Time
	began time.Time
	from  int64
	told  time.Time
	last  string
}

// step is how far a download is, and whether it is time to tell it.
func (m *rate) step(p hub.Progress) (progress.Step, bool) {
	now := m.now()
	if m.began.IsZero() {
		m.began, m.from = now, min(p.Had, p.Done)
	}
	ended := p.Done == p.Total
	if now.Sub(m.told) < pullEvery && p.Stage == m.last && !ended {
		return progress.Step{}, false
	}
	m.told, m.last = now, p.Stage
	s := progress.Step{Stage: p.Stage, Done: p.Done, Total: p.Total, Seconds: now.Sub(m.began).Seconds()}
	if came := p.Done - m.from; came > 0 && p.Total > p.Done && p.Stage == hub.StageDownload {
		s.ETASeconds = s.Seconds / float64(came) * float64(p.Total-p.Done)
	}
	return s, true
}

// shortHash is how AUTOMATIC1111 shows a sum; "-" where it is not known.
func shortHash(sum string) string {
	if sum == "" {
		return "-"
	}
	return strings.ToLower(short(sum))
}
