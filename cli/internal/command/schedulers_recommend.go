package command

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

// recommend is "schedulers recommend".
func recommend(c *cli.Context, env Env) error {
	if c.NArg() > 1 {
		return usagef(c.Command.HelpName, "%q is one argument too many; give one use case", words.Clip(c.Args().Get(1)))
	}
	if c.IsSet("max-steps") && c.Int("max-steps") == 0 {
		return usagef(c.Command.HelpName, "--max-steps is 0; it must be between 1 and 1000")
	}
	r, err := scheduler.Recommend(scheduler.Query{UseCase: scheduler.UseCase(c.Args().First()), PredictionType: c.String("prediction-type"),
		ZeroSNR: c.Bool("zero-snr"), Distilled: scheduler.Distillation(c.String("distilled")), MaxSteps: c.Int("max-steps"),
		Time: c.Duration("time"), Evaluation: c.Duration("evaluation")})
	var bad *scheduler.OptionError
	if errors.As(err, &bad) {
		return usagef(c.Command.HelpName, "%s", ofScheduler(bad))
	}
	if err != nil {
		return err
	}
	measure, err := measureOptionsOf(c)
	if err != nil {
		return err
	}
	var own *ownReport
	if measure != nil {
		if own, err = measure.measure(c.Context, env, &r); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		return printJSON(env.Stdout, struct {
			scheduler.Recommendation
			Own *ownReport `json:"own_measurement,omitempty"`
		}{r, own})
	}
	return printRecommendation(env, r, c.Duration("evaluation"))
}

// printRecommendation prints a run file's keys, then the reasons as its comments.
func printRecommendation(env Env, r scheduler.Recommendation, evaluation time.Duration) error {
	var b strings.Builder
	fmt.Fprintf(&b, "scheduler = %q\nnum_inference_steps = %d\n# %d evaluations of the UNet", strings.TrimSuffix(r.Scheduler, "Scheduler"),
		r.Steps, r.Evaluations)
	if evaluation > 0 {
		fmt.Fprintf(&b, ", %s", (time.Duration(r.Evaluations) * evaluation).Round(time.Millisecond))
	}
	// A run file reads 0 as the default; 1 turns guidance off.
	middle := math.Round((r.Guidance[0]+r.Guidance[1])/2*2) / 2
	fmt.Fprintf(&b, "\nguidance_scale = %.1f  # %g to %g\n", max(middle, 1), r.Guidance[0], r.Guidance[1])
	if r.GuidanceRescale > 0 {
		fmt.Fprintf(&b, "guidance_rescale = %g\n", r.GuidanceRescale)
	}
	if options := r.Options.Map(); len(options) > 0 {
		b.WriteString("\n[scheduler_options]\n")
		for _, name := range scheduler.OptionNames() {
			v, ok := options[name]
			if !ok {
				continue
			}
			if s, isWord := v.(string); isWord {
				v = fmt.Sprintf("%q", s)
			}
			fmt.Fprintf(&b, "%s = %v\n", name, v)
		}
	}
	b.WriteString("\n")
	for _, reason := range r.Reasons {
		source := reason.Source
		if source == "measured" {
			source = "measured on nano"
		}
		for i, line := range words.Wrap(fmt.Sprintf("%s (%s)", reason.Text, source), env.helpWidth()-len("# - ")) {
			fmt.Fprintf(&b, "# %s %s\n", word(i == 0, "-", " "), line)
		}
	}
	return printTo(env.Stdout, "%s", b.String())
}

// strs are the words of a set.
func strs[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

// joined joins the words of a set.
func joined[T ~string](values []T) string { return strings.Join(strs(values), ", ") }
