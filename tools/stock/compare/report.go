package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/exp/stats"
)

// report is all that was measured.
type report struct {
	machine  machine
	build    stockBuildInfo
	options  options
	variants []variant
	samples  [][]sample // per variant, in the order of the rounds
	load     []string   // load average before and after
}

func (r *report) add(variant int, s sample) {
	for len(r.samples) < len(r.variants) {
		r.samples = append(r.samples, nil)
	}
	r.samples[variant] = append(r.samples[variant], s)
}

// summary is one row of the table: medians over the rounds.
type summary struct {
	Name      string     `json:"name"`
	Note      string     `json:"note,omitempty"`
	Step      float64    `json:"step_seconds"` // over the steps of all rounds
	StepMin   float64    `json:"step_seconds_min"`
	StepMax   float64    `json:"step_seconds_max"`
	Text      float64    `json:"text_seconds"`
	Decode    float64    `json:"decode_seconds"`
	Load      float64    `json:"load_seconds"`
	Total     float64    `json:"process_seconds"`
	CPU       float64    `json:"cpu_seconds"`
	Share     float64    `json:"cpu_share"`
	PeakRSS   float64    `json:"peak_rss_bytes"`
	Agreement *agreement `json:"agreement,omitempty"` // with the first variant's picture
}

// summaries computes the rows.
func (r *report) summaries() ([]summary, error) {
	var out []summary
	for i, v := range r.variants {
		all := r.samples[i]
		of := func(f func(sample) float64) float64 {
			values := make([]float64, len(all))
			for k, s := range all {
				values[k] = f(s)
			}
			return stats.Median(values)
		}
		var steps []float64
		for _, s := range all {
			steps = append(steps, s.Steps...)
		}
		row := summary{Name: v.name, Note: all[0].Note, Step: stats.Median(steps), StepMin: slices.Min(steps), StepMax: slices.Max(steps),
			Text: of(func(s sample) float64 { return s.Text }), Decode: of(func(s sample) float64 { return s.Decode }),
			Load: of(func(s sample) float64 { return s.Load }), Total: of(func(s sample) float64 { return s.Total }),
			CPU: of(func(s sample) float64 { return s.CPU }), PeakRSS: of(func(s sample) float64 { return float64(s.PeakRSS) }),
			Share: of(func(s sample) float64 { return s.share(r.options.threads) })}
		if i > 0 && all[0].Picture != "" {
			a, err := comparePictures(r.samples[0][0].Picture, all[0].Picture)
			if err != nil {
				return nil, err
			}
			row.Agreement = &a
		}
		out = append(out, row)
	}
	return out, nil
}

// markdown writes the tables. Behind a figure stands how many times less it is than the first row's.
func (r *report) markdown(w io.Writer) error {
	rows, err := r.summaries()
	if err != nil {
		return err
	}
	base := rows[0]
	var b strings.Builder
	r.conditions(&b)
	b.WriteString("| | one step, s | (lowest to highest) | text encoding, s | VAE decoding, s | loading, s | whole process, s | CPU time, " +
		"s | CPU share | peak memory, GiB |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	for i, s := range rows {
		cell := func(value, base float64) string {
			switch {
			case value <= 0:
				return "-"
			case i == 0:
				return fmt.Sprintf("%.2f", value)
			}
			return fmt.Sprintf("%.2f (%.2fx)", value, base/value)
		}
		fmt.Fprintf(&b, "| %s | %s | %.2f to %.2f | %s | %s | %s | %s | %s | %.0f %% | %s |\n", s.label(), cell(s.Step, base.Step), s.StepMin,
			s.StepMax, cell(s.Text, base.Text), cell(s.Decode, base.Decode), cell(s.Load, base.Load), cell(s.Total, base.Total),
			cell(s.CPU, base.CPU), 100*s.Share, cell(s.PeakRSS/(1<<30), base.PeakRSS/(1<<30)))
	}
	fmt.Fprintf(&b, "\nIn brackets: how many times less than %s.\n\n", base.Name)
	fmt.Fprintf(&b, "| final picture, against %s | PSNR, dB | largest difference of 255 | contrast of the picture (standard deviation) "+
		"|\n|---|---|---|---|\n", base.Name)
	for _, s := range rows[1:] {
		if s.Agreement == nil {
			continue // a peer makes no picture
		}
		psnr := fmt.Sprintf("%.1f", s.Agreement.PSNR)
		if s.Agreement.PSNR == equalPSNR {
			psnr = "equal"
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %.1f |\n", s.label(), psnr, s.Agreement.MaxDiff, s.Agreement.Contrast)
	}
	_, err = io.WriteString(w, b.String())
	return err
}

func (s summary) label() string {
	if s.Note == "" || strings.HasSuffix(s.Name, " "+s.Note) {
		return s.Name
	}
	return s.Name + " (" + s.Note + ")"
}

// conditions says under which circumstances the figures came about.
func (r *report) conditions(b *strings.Builder) {
	t, m := r.options.task, r.machine
	guidance := "two UNet evaluations a step"
	if t.Guidance <= 1 {
		guidance = "one UNet evaluation a step"
	}
	rounds := fmt.Sprintf("%d rounds", r.options.rounds)
	if r.options.rounds == 1 {
		rounds = "1 round"
	}
	if n := r.options.stockRounds; n > 0 {
		rounds += fmt.Sprintf(" (stock: the first %d)", n)
	}
	fmt.Fprintf(b, "%d x %d pixels, %d Euler steps, guidance %g (%s); medians of %s, taken in turns, %d threads.\n\n", t.Size, t.Size, t.Steps,
		t.Guidance, guidance, rounds, r.options.threads)
	fmt.Fprintf(b, "- Machine: %s, %d processors, %.0f GiB, %s; load average %s.\n", m.CPU, m.Processors, float64(m.Memory)/(1<<30), m.System,
		strings.Join(r.load, " before, ")+" after")
	projection := ""
	if r.options.projection != "" {
		projection = "; given text_projection transposed, as its multiplication needs it"
	}
	fmt.Fprintf(b, "- Stock engine: %s, %s, %s, %s%s.\n", r.build.Engine, r.build.Compiler, r.build.BuildType, r.build.Options, projection)
	fmt.Fprintf(b, "- Daguerre: commit %s.\n\n", m.Commit)
}

// writeJSON writes every single measurement.
func (r *report) writeJSON(path string) error {
	rows, err := r.summaries()
	if err != nil {
		return err
	}
	type measured struct {
		summary
		Samples []sample `json:"samples"`
	}
	out := struct {
		Machine  machine        `json:"machine"`
		Stock    stockBuildInfo `json:"stock"`
		Task     task           `json:"task"`
		Threads  int            `json:"threads"`
		Load     []string       `json:"load_average"`
		Variants []measured     `json:"variants"`
	}{Machine: r.machine, Stock: r.build, Task: r.options.task, Threads: r.options.threads, Load: r.load}
	for i, row := range rows {
		out.Variants = append(out.Variants, measured{row, r.samples[i]})
	}
	data, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// joinSeconds lists durations in seconds.
func joinSeconds(values []float64) string {
	parts := make([]string, len(values))
	for i, v := range values {
		parts[i] = fmt.Sprintf("%.2f", v)
	}
	return strings.Join(parts, " ")
}
