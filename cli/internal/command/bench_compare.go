package command

import (
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

func benchCompareCommand(env Env) *cli.Command {
	d := benchmark.DefaultThresholds
	percent := func(v float64) string { return strconv.FormatFloat(100*v, 'g', -1, 64) + "%" }
	return &cli.Command{
		Name:      "compare",
		Usage:     "hold two reports against each other; exit code 1 if something became worse",
		UsageText: "daguerre bench compare OLD.json NEW.json [--all] [--json]",
		Description: `Compares the cases that both reports have. A time counts as changed if its median moved by more than the threshold and the
Mann-Whitney U test finds the samples different, as benchstat does; with fewer than four runs on each side no
difference is significant, and "?" says so. Memory, file size, PSNR and what the checker counts are no samples: for these the
threshold alone decides.

EXAMPLES:
   daguerre bench compare old.json new.json
   daguerre bench compare old.json new.json --time-threshold 5% --psnr-threshold 0.5 --all

` + exitCodesHelp,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "time-threshold", Value: percent(d.Time), Usage: "of the old median"},
			&cli.StringFlag{Name: "memory-threshold", Value: percent(d.Memory), Usage: "of the old figure; for files too"},
			&cli.Float64Flag{Name: "psnr-threshold", Value: d.PSNR, Usage: "dB of the worst picture"},
			&cli.StringFlag{Name: "right-threshold", Value: percent(d.Right), Usage: "of the pictures that the checker finds right"},
			&cli.Float64Flag{Name: "alpha", Value: d.Alpha, Usage: "of the test: how often equal samples may be taken for different ones"},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "print what did not change, too", DisableDefaultText: true},
			jsonFlag(),
		},
		Action: act(benchCompareOptionsOf, func(c *cli.Context, o benchCompareOptions) error { return o.execute(env) }),
	}
}

func benchCompareOptionsOf(c *cli.Context) (benchCompareOptions, error) {
	help := c.Command.HelpName
	o := benchCompareOptions{all: c.Bool("all"), json: c.Bool("json")}
	if c.NArg() != 2 {
		return o, usagef(help, "give the old report and the new one")
	}
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

func (o benchCompareOptions) execute(env Env) error {
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
	if len(rows) > 1 {
		if err := printTable(env.Stdout, rows); err != nil {
			return err
		}
	}
	for _, n := range c.Notes {
		if err := printTo(env.Stdout, "note: %s\n", n); err != nil {
			return err
		}
	}
	unknown := 0
	for _, x := range c.Changes {
		if x.Verdict == benchmark.Unknown {
			unknown++
		}
	}
	if unknown > 0 {
		if err := printTo(env.Stdout,
			"%d figures moved, and too few runs were measured to tell whether by chance: measure more --rounds or --images\n", unknown); err != nil {
			return err
		}
	}
	return printTo(env.Stdout, "%d figures compared, %d became worse\n", len(c.Changes), c.Regressions())
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
