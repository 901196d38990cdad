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
				Action: func(c *cli.Context) error {
					if err := noArgs(c, "; daguerre schedulers show NAME describes one"); err != nil {
						return err
					}
					return listSchedulers(env, c.Bool("json"))
				},
			},
			{
				Name:      "show",
				Usage:     "describe a scheduler: options and their defaults",
				UsageText: "daguerre schedulers show NAME [--json]",
				Description: `NAME is any of a scheduler's names, in any case. The options go into a run file's [scheduler_options]. DEFAULT is the
scheduler's own value, as in diffusers; SDXL is what an SDXL model uses unless its own configuration says otherwise.

EXAMPLES:
   daguerre schedulers show EulerDiscrete
   daguerre schedulers show euler --json`,
				Flags: []cli.Flag{jsonFlag()},
				Action: func(c *cli.Context) error {
					if c.NArg() != 1 {
						return usagef(c.Command.HelpName, "give one scheduler name, for example %s", scheduler.Names()[0])
					}
					return showScheduler(env, c.Args().First(), c.Bool("json"))
				},
			},
		},
	}
}

// schedulerInfo is scheduler.Info with defaults that JSON can hold: an infinite one is "inf" or "-inf".
type schedulerInfo struct {
	scheduler.Info
	Defaults map[string]any `json:"defaults"`
}

func describe(name string) (schedulerInfo, error) {
	info, err := scheduler.Describe(name)
	return schedulerInfo{info, optionValues(info.Defaults)}, err
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

func showScheduler(env Env, name string, asJSON bool) error {
	info, err := describe(name)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(env.Stdout, info)
	}
	if err := printTo(env.Stdout, "%s\n%s\n\n", info.Name, info.Summary); err != nil {
		return err
	}
	rows := [][]string{}
	if names := append(slices.Clone(info.Aliases), info.Presets...); len(names) > 0 {
		rows = append(rows, []string{"other names", strings.Join(names, ", ")})
	}
	rows = append(rows, []string{"custom timesteps", yesNo(info.Timesteps)}, []string{"custom sigmas", yesNo(info.Sigmas)},
		[]string{"", ""}, []string{"OPTION", "DEFAULT", "SDXL", "VALUES"})
	sdxl := optionValues(scheduler.SDXLDefaults())
	for _, o := range info.Options {
		rows = append(rows, []string{o, valueOr(info.Defaults, o, "-"), valueOr(sdxl, o, ""), strings.Join(info.WordValues[o], ", ")})
	}
	return printTable(env.Stdout, rows)
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
