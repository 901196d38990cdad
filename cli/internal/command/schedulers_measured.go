package command

import (
	"fmt"
	"math"
	"strings"

	"github.com/daguerre-go/daguerre/runtime/scheduler"
)

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
