package scheduler

import (
	"fmt"
	"strings"
)

// Markdown writes the database as a table with a paragraph on how it was made; docs/schedulers.md holds it.
func (d Database) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, `Made by `+"`%s`"+` on the %s model (SHA-256 `+"`%.16s...`"+`), precision %s, %d thread, guidance %g. "Right" means colour and
background by the checker: on %d prompts at each step count, and on %d other held-out prompts at the recommended steps. The error is the
relative L2 distance of the latents from a converged reference (%s; with half the steps it is off by %.2g), mean over prompts. Recommended: %s.
The spread is the relative distance of the latents of two seeds of one prompt at %d steps, the mean over prompts and all pairs of %d seeds. `+"`Step`"+` is the scheduler's own time on latents %v.

`, d.Command, d.Model, d.ModelSHA256, d.Precision, d.Threads, d.GuidanceScale, d.SweepPrompts, d.CheckPrompts, d.Reference, d.ReferenceError, d.Rule,
		d.seedSteps(), d.seeds(), d.StepLatents)
	var counts []int
	if len(d.Entries) > 0 {
		for _, m := range d.Entries[0].Steps {
			counts = append(counts, m.Steps)
		}
	}
	b.WriteString("| scheduler |")
	for _, n := range counts {
		fmt.Fprintf(&b, " error, right at %d |", n)
	}
	b.WriteString(" evaluations per step | recommended | right | all | spread | `Step`, µs | note |\n|---|")
	b.WriteString(strings.Repeat("---|", len(counts)+7) + "\n")
	for _, c := range d.Entries {
		fmt.Fprintf(&b, "| %s |", c.Label)
		for _, m := range c.Steps {
			fmt.Fprintf(&b, " %s, %d/%d |", m.errorText(), m.Right, m.Pictures)
		}
		r := c.Recommended
		fmt.Fprintf(&b, " %.2f | %d | %d/%d | %d/%d | %.2f | %.0f | %s |\n", r.EvaluationsPerStep(), r.Steps, r.Right, r.Pictures, r.All, r.Pictures,
			c.SeedSpread, c.StepMicroseconds, c.note())
	}
	return b.String()
}

func (d Database) seedSteps() int {
	if len(d.Entries) == 0 {
		return 0
	}
	return d.Entries[0].SeedSteps
}

// seeds is the number of seeds that the spread was taken over.
func (d Database) seeds() int {
	if len(d.Entries) == 0 {
		return 0
	}
	return len(d.Entries[0].SeedRight)
}

func (m Measurement) errorText() string {
	if m.Error == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *m.Error)
}

// note says what a reader must know before comparing.
func (c Characteristics) note() string {
	switch {
	case c.Needs != "":
		return c.Needs.Text()
	case c.Stochastic:
		return "stochastic: no single picture to converge to"
	}
	return ""
}

// Text tells in words which model is needed, and where that is written.
func (n Needs) Text() string {
	switch n {
	case NeedsDistilled:
		return "needs a consistency-distilled model (LCM: arXiv:2310.04378, TCD: arXiv:2402.19159)"
	case NeedsEDM:
		return "needs a model with EDM preconditioning (arXiv:2206.00364), such as Playground v2.5"
	case NeedsVDiffusion:
		return "needs a v-diffusion model with timesteps from 1 to 0, as diffusers' IPNDM assumes"
	}
	return ""
}
