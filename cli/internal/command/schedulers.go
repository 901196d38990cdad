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

func schedulersCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:  "schedulers",
		Usage: "list and describe the sampling algorithms",
		Subcommands: []*cli.Command{
			{
				Name:      "list",
				Usage:     "list the schedulers and their other names",
				UsageText: "daguerre schedulers list [--json]",
				Description: `EXAMPLES:
   daguerre schedulers list`,
				Flags: []cli.Flag{jsonFlag()},
				Action: bare("; daguerre schedulers show NAME describes one", func(c *cli.Context) error {
					return listSchedulers(env,
						c.Bool("json"))
				}),
			},
			{
				Name:      "show",
				Usage:     "describe a scheduler: options, their defaults, and measured figures",
				UsageText: "daguerre schedulers show NAME [--plot] [--steps N] [--json]",
				Description: `NAME is any of a scheduler's names, in any case. The options go into a run file's [scheduler_options]. DEFAULT is the
scheduler's own value, as in diffusers; SDXL is what an SDXL model uses unless its own configuration says otherwise.
The figures were measured on the embedded nano model; docs/schedulers.md tells how.

EXAMPLES:
   daguerre schedulers show EulerDiscrete
   daguerre schedulers show "DPM++ 2M Karras" --plot
   daguerre schedulers show euler --json`,
				Flags: []cli.Flag{jsonFlag(), &cli.BoolFlag{Name: "plot", Usage: "draw the noise levels", DisableDefaultText: true},
					&cli.IntFlag{Name: "steps", Usage: "`N` steps of the plot", Value: 20}},
				Action: func(c *cli.Context) error {
					if c.NArg() != 1 {
						return usagef(c.Command.HelpName, "give one scheduler name, for example %s", scheduler.Names()[0])
					}
					steps := 0
					if c.Bool("plot") {
						if steps = c.Int("steps"); steps < 1 || steps > 1000 {
							return usagef(c.Command.HelpName, "--steps is %d; it must be between 1 and 1000", steps)
						}
					} else if c.IsSet("steps") {
						return usagef(c.Command.HelpName, "--steps is for --plot")
					}
					return showScheduler(env, c.Args().First(), steps, c.Bool("json"))
				},
			},
			recommendCommand(env),
		},
	}
}

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

func listSchedulers(env Env, asJSON bool) error {
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
	if asJSON {
		return printJSON(env.Stdout, infos)
	}
	return printTable(env.Stdout, rows)
}

// showScheduler describes a scheduler; with plotSteps above 0 its noise levels are drawn too.
func showScheduler(env Env, name string, plotSteps int, asJSON bool) error {
	info, err := describe(name)
	if err != nil {
		return err
	}
	var levels []float64
	if plotSteps > 0 {
		if levels, err = noiseLevels(name, plotSteps); err != nil {
			return err
		}
	}
	if asJSON {
		return printJSON(env.Stdout, struct {
			schedulerInfo
			Plot []any `json:"noise_levels,omitempty"`
		}{info, jsonNumbers(levels)})
	}
	if err := printTo(env.Stdout, "%s\n%s\n\n", info.Name, info.Summary); err != nil {
		return err
	}
	rows := [][]string{}
	if names := append(slices.Clone(info.Aliases), info.Presets...); len(names) > 0 {
		rows = append(rows, []string{"other names", strings.Join(names, ", ")})
	}
	rows = append(rows, []string{"custom timesteps", yesNo(info.Timesteps)}, []string{"custom sigmas", yesNo(info.Info.Sigmas)},
		[]string{"", ""}, []string{"OPTION", "DEFAULT", "SDXL", "VALUES"})
	sdxl := optionValues(scheduler.SDXLDefaults())
	for _, o := range info.Options {
		rows = append(rows, []string{o, valueOr(info.Defaults, o, "-"), valueOr(sdxl, o, ""), strings.Join(info.WordValues[o], ", ")})
	}
	if err := printTable(env.Stdout, rows); err != nil {
		return err
	}
	if err := printCharacteristics(env, info.Measured); err != nil {
		return err
	}
	if plotSteps == 0 {
		return nil
	}
	return printTo(env.Stdout, "\nNoise levels (sigma), %d steps:\n%s", plotSteps, plotSigmas(levels))
}

// valueOr writes an option's value, or what stands for none.
func valueOr(values map[string]any, option, none string) string {
	if v, ok := values[option]; ok {
		return fmt.Sprint(v)
	}
	return none
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
