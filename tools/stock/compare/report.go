package main

import (
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/exp/stats"

	hardware "github.com/daguerre-go/daguerre/internal/machine"
	"github.com/daguerre-go/daguerre/internal/picture"
	"github.com/daguerre-go/daguerre/internal/words"
	"github.com/daguerre-go/daguerre/tools/internal/tool"
)

// report is all that was measured.
type report struct {
	machine  machine
	build    stockBuildInfo
	options  options
	variants []variant
	samples  map[int][]sample // per variant, in the order of the rounds
	load     [2]float64       // load average before and after
}

// pictureSteps is how many steps people take for a picture.
const pictureSteps = 20

// summary is one row of the table.
type summary struct {
	Name      string     `json:"name"`
	sample               // medians over the rounds, but for the steps
	Step      float64    `json:"step_seconds"`    // over the steps of all rounds
	Picture   float64    `json:"picture_seconds"` // of pictureSteps: texts, steps and decoding; 0 where one is not known
	StepMin   float64    `json:"step_seconds_min"`
	StepMax   float64    `json:"step_seconds_max"`
	Share     float64    `json:"cpu_share"`
	Agreement *agreement `json:"agreement,omitempty"` // with the first variant's picture
}

// summaries computes the rows.
func (r *report) summaries() ([]summary, error) {
	var out []summary
	for i, v := range r.variants {
		all := r.samples[i]
		of := func(f func(sample) float64) float64 {
			var values []float64
			for _, s := range all {
				values = append(values, f(s))
			}
			return stats.Median(values)
		}
		var steps []float64
		for _, s := range all {
			steps = append(steps, s.Steps...)
		}
		row := summary{Name: v.name, Step: stats.Median(steps), StepMin: slices.Min(steps), StepMax: slices.Max(steps),
			Share: of(func(s sample) float64 { return s.share(r.options.threads) }), sample: sample{Note: all[0].Note,
				Text: of(func(s sample) float64 { return s.Text }), Decode: of(func(s sample) float64 { return s.Decode }),
				Load: of(func(s sample) float64 { return s.Load }), Total: of(func(s sample) float64 { return s.Total }),
				CPU: of(func(s sample) float64 { return s.CPU }), PeakRSS: int64(of(func(s sample) float64 { return float64(s.PeakRSS) }))}}
		if row.Text > 0 && row.Decode > 0 {
			row.Picture = row.Text + pictureSteps*row.Step + row.Decode
		}
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

// agreement says how alike two pictures are, over all red, green and blue values of 0 to 255.
type agreement struct {
	PSNR     float64 `json:"psnr_db"`      // at most equalPSNR
	MaxDiff  int     `json:"max_diff"`     // largest difference of a value
	Contrast float64 `json:"contrast_std"` // standard deviation of the first picture: near 0 a PSNR means nothing
}

// equalPSNR stands for the infinite PSNR of equal pictures, which JSON cannot hold. No other two 8-bit pictures below 100 megapixels reach
// it.
const equalPSNR = 99

func comparePictures(a, b string) (out agreement, err error) {
	x, err := picture.Load(a)
	if err != nil {
		return out, err
	}
	y, err := picture.Load(b)
	if err != nil {
		return out, err
	}
	if out, err = agreementOf(x, y); err != nil {
		err = fmt.Errorf("%s and %s: %w", a, b, err)
	}
	return out, err
}

func agreementOf(x, y *image.NRGBA) (agreement, error) {
	psnr, largest, err := picture.Difference(x, y)
	var sum, squares, n float64
	for i, v := range x.Pix {
		if i%4 < 3 { // no alpha
			sum, squares, n = sum+float64(v), squares+float64(v)*float64(v), n+1
		}
	}
	return agreement{PSNR: min(equalPSNR, psnr), MaxDiff: largest, Contrast: math.Sqrt(max(0, squares/n-(sum/n)*(sum/n)))}, err
}

// markdown writes the tables. Behind a figure stands how many times less it is than the first row's.
func (r *report) markdown(w io.Writer) error {
	rows, err := r.summaries()
	if err != nil {
		return err
	}
	base := rows[0]
	var b strings.Builder
	b.WriteString(r.conditions())
	fmt.Fprintf(&b, "| | one step, s | (lowest to highest) | text encoding, s | VAE decoding, s | %d steps, texts and VAE, s | loading, s "+
		"| whole process, s | CPU time, s | CPU share | peak memory, GiB |\n", pictureSteps)
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|\n")
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
		fmt.Fprintf(&b, "| %s | %s | %.2f to %.2f | %s | %s | %s | %s | %s | %s | %.0f %% | %s |\n", s.label(), cell(s.Step, base.Step),
			s.StepMin, s.StepMax, cell(s.Text, base.Text), cell(s.Decode, base.Decode), cell(s.Picture, base.Picture),
			cell(s.Load, base.Load), cell(s.Total, base.Total),
			cell(s.CPU, base.CPU), 100*s.Share, cell(float64(s.PeakRSS)/(1<<30), float64(base.PeakRSS)/(1<<30)))
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
func (r *report) conditions() string {
	t, m := r.options.task, r.machine
	guidance := "two UNet evaluations a step"
	if t.Guidance <= 1 {
		guidance = "one UNet evaluation a step"
	}
	rounds := fmt.Sprintf("%d %s", r.options.rounds, words.Plural(r.options.rounds, "round"))
	if n := r.options.stockRounds; n > 0 {
		rounds += fmt.Sprintf(" (stock: the first %d)", n)
	}
	projection := ""
	if r.options.projection != "" {
		projection = "; given text_projection transposed, as its multiplication needs it"
	}
	return fmt.Sprintf("%d x %d pixels, %d Euler steps, guidance %g (%s); medians of %s, taken in turns, %d threads.\n\n", t.Size, t.Size,
		t.Steps, t.Guidance, guidance, rounds, r.options.threads) +
		fmt.Sprintf("- Machine: %s, %d processors, %.0f GiB, %s; load average %.2f before, %.2f after.\n", m.CPU, m.Processors,
			float64(m.Memory)/(1<<30), m.System, r.load[0], r.load[1]) +
		r.engine(projection) + fmt.Sprintf("- Daguerre: commit %s.\n\n", m.Commit)
}

// engine says how the stock engine was built, if it took part.
func (r *report) engine(projection string) string {
	if r.build.Engine == "" {
		return ""
	}
	return fmt.Sprintf("- Stock engine: %s, %s, %s, %s%s.\n", r.build.Engine, r.build.Compiler, r.build.BuildType, r.build.Options, projection)
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
	var variants []measured
	for i, row := range rows {
		variants = append(variants, measured{row, r.samples[i]})
	}
	return tool.WriteJSON(path, map[string]any{"machine": r.machine, "stock": r.build, "task": r.options.task, "threads": r.options.threads,
		"load_average": r.load, "variants": variants})
}

// machine is what the figures depend on.
type machine struct {
	CPU        string `json:"cpu"`
	Processors int    `json:"processors"` // logical
	Memory     int64  `json:"memory_bytes"`
	System     string `json:"system"`
	Commit     string `json:"commit"` // of this repository
}

func describeMachine() machine {
	d, commit := hardware.Describe(), "unknown"
	if out, err := exec.Command("git", "describe", "--tags", "--always", "--dirty").Output(); err == nil {
		commit = strings.TrimSpace(string(out))
	}
	return machine{d.CPU, d.Cores, d.Memory, d.System, commit}
}

// enoughMemory refuses to begin a run that would make the machine swap, or have a process killed: the weights are held once, and buffers
// are smaller than 3 GiB at 256 pixels.
func enoughMemory(model string) error {
	st, err := os.Stat(model)
	if err != nil {
		return err
	}
	_, have := hardware.RAM()
	if need := st.Size() + 3<<30; have > 0 && have < need {
		return fmt.Errorf("only %s of memory are free, and a run needs about %s; wait for what else is running", words.Bytes(have),
			words.Bytes(need))
	}
	return nil
}
