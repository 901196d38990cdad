package command

import (
	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// What the demo makes unless it is told otherwise.
const (
	demoPrompt = "a red circle on a blue background"
	demoSteps  = 20
	demoNote   = `embedded nano model; for real pictures see README, "Your own checkpoint"`
)

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
