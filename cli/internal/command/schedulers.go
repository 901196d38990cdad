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
	rows := [][]string{{"SCHEDULER", "OTHER NAMES", "SUMMARY"}}
	for _, n := range scheduler.Names() {
		info, err := describe(n)
		if err != nil {
			return err
		}
		infos = append(infos, info)
		rows = append(rows, []string{info.Name, strings.Join(append(slices.Clone(info.Aliases), info.Presets...), ", "), info.Summary})
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
	rows = append(rows, []string{"custom timesteps", word(info.Timesteps, "yes", "no")}, []string{"custom sigmas", word(info.Info.Sigmas, "yes", "no")},
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
