package command

import (
	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// What the demo makes unless it is told otherwise.
const (
	demoPrompt = "a red circle on a blue background"
	demoOutput = "demo.png"
	demoSeed   = 42
	demoSteps  = 20
	demoNote   = `embedded nano model; for real pictures see README, "Your own checkpoint"`
)

func demoCommand(env Env) *cli.Command {
	return &cli.Command{
		Name:      "demo",
		Usage:     "make a picture with the small embedded model",
		UsageText: "daguerre demo [-o demo.png] [--seed N] [PROMPT]",
		Description: `Shows that everything works, with a model that is part of this program: it draws coloured shapes.
Nothing is downloaded. For pictures of anything else give generate an SDXL checkpoint.

EXAMPLES:
   daguerre demo
   daguerre demo "a small green triangle on a yellow background" --seed 7 -o triangle.png

` + exitCodesHelp,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: demoOutput,
				Usage: "file to write, .png, .jpg or .webp; numbered where it exists"},
			&cli.StringFlag{Name: "prompt", Aliases: []string{"p"}, Value: demoPrompt,
				Usage: "a colour, a shape and a background; may also stand alone"},
			&cli.Int64Flag{Name: "seed", Aliases: []string{"s"}, Value: demoSeed, Usage: "of the picture's noise; negative: drawn"},
			&cli.StringSliceFlag{Name: "lora", Usage: "adapter for the nano model, as FILE or FILE:WEIGHT (may be repeated)"},
			loraDirFlag(),
			&cli.StringFlag{Name: "device", Value: "auto", Usage: "what to compute on (see daguerre devices)"},
			&cli.BoolFlag{Name: "overwrite", Usage: "replace a file that exists", DisableDefaultText: true},
		}, displayFlags()...),
		Action: act(demoOptions, func(c *cli.Context, o generateOptions) error { return o.execute(c.Context, env) }),
	}
}

// demoOptions makes a run of one job on the nano model.
func demoOptions(c *cli.Context) (generateOptions, error) {
	opts := generateOptions{overwrite: c.Bool("overwrite"), note: demoNote}
	prompt := c.String("prompt")
	if c.NArg() == 1 && !c.IsSet("prompt") {
		prompt = c.Args().First()
	} else if err := noArgs(c, "; put the prompt into quotes"); err != nil {
		return opts, err
	}
	var err error
	if opts.display, err = displayOf(c); err != nil {
		return opts, err
	}
	job := request.Default()
	job.Prompt, job.Seed, job.NumInferenceSteps, job.Output = prompt, c.Int64("seed"), demoSteps, c.String("output")
	if job.LoRAs, err = addLoRAs(nil, c.StringSlice("lora")); err != nil {
		return opts, usagef(c.Command.HelpName, "--lora %v", err)
	}
	// One thread: the model is too small to gain from more, which on a busy machine only wait for each other.
	opts.run = request.Run{Model: request.Model{Model: pipeline.NanoModel, Device: c.String("device"), Threads: 1,
		LoRADirectories: c.StringSlice("lora-dir")}, Jobs: []request.Request{job}}
	return opts, opts.check()
}
