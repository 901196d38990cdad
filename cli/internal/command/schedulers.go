package command

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// schedulerInfo is scheduler.Info with defaults that JSON can hold: an infinite one is "inf" or "-inf".
type schedulerInfo struct {
	scheduler.Info
	Defaults map[string]any              `json:"defaults"`
	Measured []scheduler.Characteristics `json:"measured"`
}

func describe(name string) (schedulerInfo, error) {
	info, err := scheduler.Describe(name)
	if err != nil {
		return schedulerInfo{}, err
	}
	measured, err := scheduler.CharacteristicsOf(info.Name)
	return schedulerInfo{Info: info, Defaults: optionValues(info.Defaults), Measured: measured}, err
}

// optionValues returns the options that are set, by their names in diffusers.
func optionValues(cfg scheduler.Config) map[string]any {
	out := map[string]any{}
	v := reflect.ValueOf(cfg)
	for i := range v.NumField() {
		f := v.Field(i)
		if f.IsZero() {
			continue
		}
		value := reflect.Indirect(f).Interface()
		if x, ok := value.(float64); ok && math.IsInf(x, 0) {
			value = strings.TrimPrefix(strings.ToLower(fmt.Sprint(x)), "+")
		}
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		out[name] = value
	}
	return out
}

func listSchedulers(c *cli.Context, env Env) error {
	var infos []schedulerInfo
	all := c.Bool("all")
	rows := [][]string{{"SCHEDULER", "SUMMARY"}}
	if all {
		rows = [][]string{{"SCHEDULER", "OTHER NAMES", "SUMMARY"}}
	}
	for _, n := range scheduler.Names() {
		info, err := describe(n)
		if err != nil {
			return err
		}
		infos = append(infos, info)
		row := []string{strings.TrimSuffix(info.Name, "Scheduler"), info.Summary}
		if all {
			row = []string{info.Name, strings.Join(append(slices.Clone(info.Aliases), info.Presets...), ", "), info.Summary}
		}
		rows = append(rows, row)
	}
	return printList(env, c.Bool("json"), infos, rows)
}

// showScheduler describes a scheduler; with --plot its noise levels are drawn too.
func showScheduler(c *cli.Context, env Env) error {
	name, plot, steps := c.Args().First(), c.Bool("plot"), c.Int("steps")
	switch {
	case plot && (steps < 1 || steps > 1000):
		return usagef(c.Command.HelpName, "--steps is %d; it must be between 1 and 1000", steps)
	case !plot && c.IsSet("steps"):
		return usagef(c.Command.HelpName, "--steps is for --plot")
	}
	info, err := describe(name)
	if err != nil {
		return err
	}
	var levels []float64
	if plot {
		if levels, err = noiseLevels(name, steps); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return printJSON(env.Stdout, struct {
			schedulerInfo
			Plot []any `json:"noise_levels,omitempty"`
		}{info, jsonNumbers(levels)})
	}
	var p page
	p.line("%s\n%s\n", info.Name, info.Summary)
	rows := [][]string{}
	if names := append(slices.Clone(info.Aliases), info.Presets...); len(names) > 0 {
		rows = append(rows, []string{"other names", strings.Join(names, ", ")})
	}
	rows = append(rows, []string{"custom timesteps", word(info.Timesteps, "yes", "no")},
		[]string{"custom sigmas", word(info.Info.Sigmas, "yes", "no")},
		[]string{"", ""}, []string{"OPTION", "DEFAULT", "SDXL", "VALUES"})
	sdxl := optionValues(scheduler.SDXLDefaults())
	for _, o := range info.Options {
		rows = append(rows, []string{o, valueOr(info.Defaults, o, "-"), valueOr(sdxl, o, ""), strings.Join(info.WordValues[o], ", ")})
	}
	p.table(rows)
	p.characteristics(info.Measured)
	if plot {
		p.line("\nNoise levels (sigma), %d steps:\n%s", steps, strings.TrimSuffix(plotSigmas(levels), "\n"))
	}
	return p.print(env)
}

// valueOr writes an option's value, or what stands for none.
func valueOr(values map[string]any, option, none string) string {
	if v, ok := values[option]; ok {
		return fmt.Sprint(v)
	}
	return none
}

// characteristics adds what was measured of a scheduler and its variants.
func (p *page) characteristics(measured []scheduler.Characteristics) {
	for _, c := range measured {
		p.line("\nMeasured on the nano model: %s", c.Label)
		if c.Needs != "" {
			p.line("%s", c.Needs.Text())
		}
		rows := [][]string{{"STEPS", "EVALUATIONS", "ERROR", "COLOUR", "BACKGROUND", "BOTH", "ALL", ""}}
		for _, m := range c.Steps {
			rows = append(rows, measurementRow(m, ""))
		}
		p.table(append(rows, measurementRow(c.Recommended, "recommended; other prompts")))
		p.line("seed spread %.2f at %d steps; %.0f µs a step beside the UNet", c.SeedSpread, c.SeedSteps, c.StepMicroseconds)
	}
}

func measurementRow(m scheduler.Measurement, remark string) []string {
	of := func(k int) string { return fmt.Sprintf("%d/%d", k, m.Pictures) }
	distance := "-"
	if m.Error != nil {
		distance = fmt.Sprintf("%.4f", *m.Error)
	}
	return []string{fmt.Sprint(m.Steps), fmt.Sprint(m.Evaluations), distance, of(m.Colour), of(m.Background), of(m.Right), of(m.All), remark}
}

// noiseLevels returns the noise levels of a run with an SDXL model's options.
func noiseLevels(name string, steps int) ([]float64, error) {
	s, err := scheduler.New(name, scheduler.SDXLDefaults())
	if err != nil {
		return nil, err
	}
	run, err := s.NewRun(scheduler.RunOptions{NumInferenceSteps: steps})
	if err != nil {
		return nil, err
	}
	return run.Sigmas(), nil
}

// jsonNumbers writes infinite numbers, which JSON lacks, as words.
func jsonNumbers(values []float64) []any {
	var out []any
	for _, v := range values {
		if math.IsInf(v, 0) {
			out = append(out, "inf")
		} else {
			out = append(out, v)
		}
	}
	return out
}

const (
	plotRows  = 12
	plotWidth = 72 // at most this many columns
)

// plotSigmas draws noise levels over the evaluations of a run, on a logarithmic axis. Levels of 0 stand on the
// lowest row, infinite ones on the highest.
func plotSigmas(sigmas []float64) string {
	low, high := math.Inf(1), 0.0
	for _, s := range sigmas {
		if s > 0 && !math.IsInf(s, 0) {
			low, high = min(low, s), max(high, s)
		}
	}
	if high == 0 {
		low, high = 1, 1
	}
	span := max(math.Log(high/low), 1e-9)
	columns := min(len(sigmas), plotWidth)
	grid := make([][]byte, plotRows)
	for y := range grid {
		grid[y] = []byte(strings.Repeat(" ", columns))
	}
	for x := range columns {
		s := sigmas[x*(len(sigmas)-1)/max(columns-1, 1)]
		y := plotRows - 1
		if s > 0 {
			height := min(math.Log(s/low)/span, 1) // 1 for an infinite level
			y = int(math.Round((1 - height) * (plotRows - 2)))
		}
		grid[y][x] = '*'
	}
	var b strings.Builder
	for y, row := range grid {
		label := "0"
		if y < plotRows-1 {
			label = fmt.Sprintf("%.3g", high*math.Exp(-span*float64(y)/(plotRows-2)))
		}
		fmt.Fprintf(&b, "%8s |%s\n", label, strings.TrimRight(string(row), " "))
	}
	fmt.Fprintf(&b, "%8s +%s\n%10s0%*d  evaluation\n", "", strings.Repeat("-", columns), "", max(columns-1, 2), len(sigmas)-1)
	return b.String()
}
