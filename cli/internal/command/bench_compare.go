package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	benchmark "github.com/daguerre-go/daguerre/runtime/bench"

	"github.com/daguerre-go/daguerre/internal/words"
)

// errRegression is what bench compare ends with where something became worse.
var errRegression = errors.New("something became worse")

// benchCompareOptions is what bench compare is asked to do.
type benchCompareOptions struct {
	before, after string
	thresholds    benchmark.Thresholds
	all, json     bool
}

func benchCompareOptionsOf(c *cli.Context) (benchCompareOptions, error) {
	help := c.Command.HelpName
	o := benchCompareOptions{all: c.Bool("all"), json: c.Bool("json")}
	o.before, o.after = c.Args().Get(0), c.Args().Get(1)
	o.thresholds = benchmark.Thresholds{PSNR: c.Float64("psnr-threshold"), Alpha: c.Float64("alpha")}
	for _, f := range []struct {
		flag string
		to   *float64
	}{{"time-threshold", &o.thresholds.Time}, {"memory-threshold", &o.thresholds.Memory}, {"right-threshold", &o.thresholds.Right}} {
		text := c.String(f.flag)
		v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if strings.HasSuffix(text, "%") {
			v /= 100
		}
		if err != nil || v < 0 || math.IsInf(v, 0) || v != v {
			return o, usagef(help, "--%s: %q is no share; give 10%% or 0.1", f.flag, words.Clip(text))
		}
		*f.to = v
	}
	if o.thresholds.PSNR < 0 || o.thresholds.Alpha <= 0 || o.thresholds.Alpha >= 1 {
		return o, usagef(help, "--psnr-threshold must not be negative, and --alpha lie between 0 and 1")
	}
	return o, nil
}

func (o benchCompareOptions) execute(_ context.Context, env Env) error {
	before, err := benchmark.ReadReport(o.before)
	if err != nil {
		return err
	}
	after, err := benchmark.ReadReport(o.after)
	if err != nil {
		return err
	}
	c, err := benchmark.Compare(before, after, o.thresholds)
	if err != nil {
		return err
	}
	if o.json {
		err = printJSON(env.Stdout, c)
	} else {
		err = o.print(env, c)
	}
	if err == nil && c.Regressions() > 0 {
		err = reported(errRegression)
	}
	return err
}

func (o benchCompareOptions) print(env Env, c *benchmark.Comparison) error {
	rows := [][]string{{"CASE", "FIGURE", "OLD", "NEW", "CHANGE", "P", "N", ""}}
	for _, x := range c.Changes {
		if x.Verdict == benchmark.Same && !o.all {
			continue
		}
		p := ""
		if x.P != nil {
			p = fmt.Sprintf("%.3f", *x.P)
		}
		rows = append(rows, []string{x.Key, x.Metric, figure(x.Old, x.Unit), figure(x.New, x.Unit), change(x), p, fmt.Sprintf("%d+%d", x.N[0],
			x.N[1]), string(x.Verdict)})
	}
	var p page
	if len(rows) > 1 {
		p.table(rows)
	}
	for _, n := range c.Notes {
		p.line("note: %s", n)
	}
	unknown := 0
	for _, x := range c.Changes {
		if x.Verdict == benchmark.Unknown {
			unknown++
		}
	}
	if unknown > 0 {
		p.line("%d figures moved, and too few runs were measured to tell whether by chance: measure more --rounds or --images", unknown)
	}
	p.line("%d figures compared, %d became worse", len(c.Changes), c.Regressions())
	return p.print(env)
}

func figure(v float64, unit string) string {
	switch unit {
	case "B":
		return words.Measured(int64(v))
	case "s":
		return fmt.Sprintf("%.4g s", v)
	case "dB":
		return fmt.Sprintf("%.1f dB", v)
	}
	return fmt.Sprintf("%g %s", v, unit)
}

func change(x benchmark.Change) string {
	switch x.Unit {
	case "s", "B":
		return fmt.Sprintf("%+.1f %%", 100*x.Delta)
	case "dB":
		return fmt.Sprintf("%+.1f dB", x.Delta)
	}
	return fmt.Sprintf("%+g", x.Delta)
}
