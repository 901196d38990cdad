package command

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/cli/internal/manual"
	"github.com/daguerre-go/daguerre/cli/internal/worker"
	"github.com/daguerre-go/daguerre/internal/convert"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/modelfile/synth"
	"github.com/daguerre-go/daguerre/internal/output"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/upscale"
	"github.com/daguerre-go/daguerre/internal/vae"
	benchmark "github.com/daguerre-go/daguerre/runtime/bench"
	"github.com/daguerre-go/daguerre/runtime/controlnet"
	"github.com/daguerre-go/daguerre/runtime/install"
	"github.com/daguerre-go/daguerre/runtime/request"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// commandsText describes every command and its flags. Its head tells how it is written.
//
//go:embed commands.txt
var commandsText string

// action is what a command does.
type action = func(c *cli.Context, env Env) error

// actions are the commands that do something, by their paths.
var actions = map[string]action{
	"demo":                 ofRun(demoOptions, generateOptions.execute),
	"generate":             ofRun(generateOptionsOf, generateOptions.execute),
	"plan":                 ofRun(generateOptionsOf, generateOptions.plan),
	"control list":         bare("", listPreprocessors),
	"control preprocess":   act(preprocessOptionsOf, preprocessOptions.execute),
	"control merge":        takes(1, "give one Control-LoRA", shown(mergeOptionsOf)),
	"upscale":              shown(upscaleOptionsOf),
	"sheet":                shown(sheetOptionsOf),
	"vae check":            shown(vaeOptionsOf),
	"schedulers list":      bare("; daguerre schedulers show NAME describes one", listSchedulers),
	"schedulers show":      takes(1, "give one scheduler name, for example "+scheduler.Names()[0], showScheduler),
	"schedulers recommend": recommend,
	"models pull":          act(pullOptionsOf, pullOptions.execute),
	"models list":          act(modelListOptionsOf, modelListOptions.execute),
	"models rm":            act(removeOptionsOf, removeOptions.execute),
	"models verify":        act(verifyOptionsOf, verifyOptions.execute),
	"models inspect":       takes(1, "give one model file or folder", inspectModel),
	"models convert":       takes(2, "give the model to read and the file to write", shown(convertOptionsOf)),
	"models synth":         bare("; give the file with -o", shown(synthOptionsOf)),
	"cache list":           bare("", listWeights),
	"cache clean":          act(cleanOptionsOf, cleanOptions.execute),
	"lora list":            listLoRAs,
	"lora inspect":         takes(1, "give one adapter", inspectLoRA),
	"lora fuse":            takes(1, "give one checkpoint to read", shown(fuseOptionsOf)),
	"bench":                bare("", act(benchOptionsOf, benchOptions.execute)),
	"bench compare":        takes(2, "give the old report and the new one", act(benchCompareOptionsOf, benchCompareOptions.execute)),
	"bench session":        bare("", runBenchSession),
	"request validate":     takes(1, "give one run file, or - for standard input", validateRequest),
	"request normalize":    takes(1, "give one run file, or - for standard input", normalizeRequest),
	"request from-png":     takes(1, "give one picture, a PNG file", requestFromPNG),
	"request schema":       printSchema,
	"request names":        bare("", listNames),
	"worker":               bare("; requests are read from standard input", act(workerOptionsOf, workerOptions.execute)),
	"serve":                bare("; the models are named by --model", act(serveOptionsOf, serveOptions.execute)),
	"work":                 bare("; the models are named by --model", act(workOptionsOf, workOptions.execute)),
	"fleet status":         act(fleetList, fleetOptions.status),
	"fleet dead":           act(fleetList, fleetOptions.dead),
	"fleet resubmit":       act(fleetRuns, fleetOptions.resubmit),
	"install":              bare("; name an archive with --from", act(installOptionsOf, installOptions.execute)),
	"version":              bare("", func(c *cli.Context, env Env) error { return printVersion(c.Context, env) }),
	"devices":              bare("", listDevices),
	"doctor":               bare("", runDoctor),
	"completion":           takes(1, "name a shell: "+joined(manual.Shells), printCompletion),
	"man":                  act(manOptionsOf, manOptions.execute),
}

// sectionOf is the text of a section that is no command.
func sectionOf(name string) string {
	_, text, _ := strings.Cut(commandsText, "\n==== "+name+"\n\n")
	text, _, _ = strings.Cut(text, "\n\n")
	return text
}

// filler puts what the program knows into commandsText.
func filler() *strings.Replacer {
	d := benchmark.DefaultThresholds
	percent := func(v float64) string { return number(100*v) + "%" }
	var pairs []string
	for key, value := range map[string]any{
		"exit codes": exitCodesHelp, "output.fields": "{" + strings.Join(output.Fields, "} {") + "}", "output.default": service.DefaultOutput,
		"caption.fields": "{" + strings.Join(captionFields, "} {") + "}",
		"quality":        request.DefaultQuality, "demo.prompt": demoPrompt, "resize": joined(controlnet.ResizeModes),
		"precisions": joined(request.Precisions), "types": joined(request.Types), "upscale.tile": upscale.DefaultTileSize,
		"upscale.overlap": upscale.DefaultOverlap,
		"vae.overlap":     vae.DefaultOverlap, "convert.types": strings.ToLower(joined(convert.Types)), "synth.kinds": joined(synth.Kinds),
		"synth.types": joined(synthTypes), "synth.rank": synth.DefaultRank, "bench.synthetic": joined(benchSynthetic),
		"bench.types": strings.Join(benchTypes, ","), "bench.steps": benchSteps, "bench.rounds": benchRounds,
		"bench.nano types": strings.Join(benchNanoTypes, ","), "bench.nano images": benchNanoImages, "bench.nano rounds": benchNanoRounds,
		"bench.nano time": benchNanoTime, "scheduler": request.DefaultScheduler, "compare.time": percent(d.Time),
		"compare.memory": percent(d.Memory), "compare.right": percent(d.Right), "compare.psnr": d.PSNR, "compare.alpha": d.Alpha,
		"worker.line": worker.DefaultMaxLine >> 20, "worker.queue": service.DefaultLimit, "worker.watchdog": worker.DefaultWatchdog,
		"install.url": install.DefaultURL, "install.env": install.EnvURL, "version": install.Version,
		"attempts":       durable.DefaultAttempts,
		"measure.prompt": benchPrompt, "uses": joined(scheduler.UseCases), "distillations": joined(scheduler.Distillations),
	} {
		pairs = append(pairs, "${"+key+"}", fmt.Sprint(value))
	}
	return strings.NewReplacer(pairs...)
}

// commandTree makes the commands of commandsText.
func commandTree(env Env) []*cli.Command {
	root, fill := &cli.Command{}, filler()
	at, shared := map[string]*cli.Command{"": root}, map[string][]cli.Flag{"@settings": settingFlags()}
	for _, section := range strings.Split(commandsText, "\n==== ")[1:] {
		head, flags, _ := strings.Cut(section, "\nFLAGS:\n")
		head, description, _ := strings.Cut(head, "\n\n")
		path, head, _ := strings.Cut(head, "\n")
		usage, text, _ := strings.Cut(head, "\n")
		path, hidden := strings.CutSuffix(path, " (hidden)")
		i := strings.LastIndexByte(path, ' ')
		c := &cli.Command{Name: path[i+1:], Hidden: hidden, HideHelpCommand: true, Usage: usage, UsageText: text,
			Description: fill.Replace(strings.TrimSpace(description)), Flags: readFlags(flags, fill, shared),
			OnUsageError: onUsageError(name + " " + path), HideHelp: true}
		c.Action = func(ctx *cli.Context) error {
			return showHelp(env, ctx.App, line{path: name + " " + path, command: c, help: helpShort})
		}
		if strings.HasPrefix(path, "@") {
			shared[path] = c.Flags
			continue
		}
		if do := actions[path]; do != nil {
			c.Action = func(c *cli.Context) error { return do(c, env) }
		}
		parent := at[path[:max(i, 0)]]
		parent.Subcommands = append(parent.Subcommands, c)
		at[path] = c
	}
	return root.Subcommands
}

// readFlags makes the flags of a section.
func readFlags(text string, fill *strings.Replacer, shared map[string][]cli.Flag) (flags []cli.Flag) {
	category := ""
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line[0] == '@':
			flags = append(flags, shared[line]...)
		case line[0] == '[':
			category = strings.Trim(line, "[]")
		default:
			kind, line, _ := strings.Cut(line, " ")
			names, usage, _ := strings.Cut(strings.TrimSpace(line), " ")
			names, value, _ := strings.Cut(names, "=")
			usage, def, given := strings.Cut(fill.Replace(strings.TrimSpace(usage)), " (default: ")
			if given {
				def = strings.TrimSuffix(def, ")")
			}
			all := strings.Split(names, "/")
			flags = append(flags, newFlag(kind, category, usage, def, fill.Replace(value), all[0], all[1:]...))
		}
	}
	return flags
}

// newFlag makes a flag of a kind.
func newFlag(kind, category, usage, def, value, name string, aliases ...string) cli.Flag {
	number, _ := strconv.ParseFloat(value, 64) // none is 0
	switch kind {
	case "bool":
		return &cli.BoolFlag{Name: name, Aliases: aliases, Usage: usage, DefaultText: def, DisableDefaultText: def == "", Category: category}
	case "strings":
		return &cli.StringSliceFlag{Name: name, Aliases: aliases, Usage: usage, DefaultText: def, Category: category}
	case "int":
		return &cli.IntFlag{Name: name, Aliases: aliases, Usage: usage, DefaultText: def, Category: category, Value: int(number)}
	case "int64":
		return &cli.Int64Flag{Name: name, Aliases: aliases, Usage: usage, DefaultText: def, Category: category, Value: int64(number)}
	case "uint64":
		return &cli.Uint64Flag{Name: name, Aliases: aliases, Usage: usage, DefaultText: def, Category: category}
	case "float":
		return &cli.Float64Flag{Name: name, Aliases: aliases, Usage: usage, DefaultText: def, Category: category, Value: number}
	case "duration":
		every, _ := time.ParseDuration(value) // none is 0
		return &cli.DurationFlag{Name: name, Aliases: aliases, Usage: usage, DefaultText: def, Category: category, Value: every}
	}
	return &cli.StringFlag{Name: name, Aliases: aliases, Usage: usage, DefaultText: def, Category: category, Value: value}
}
