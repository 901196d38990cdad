package bench

import (
	_ "embed" // the Markdown
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/daguerre-go/daguerre/internal/words"
)

// The columns of Header where a narrow page may begin a new table: those before are times.
const (
	MemoryColumn  = "FILE"
	QualityColumn = "PSNR dB"
)

// Header and Rows are the report's main table, for people.
func (r *Report) Header() []string {
	h := []string{"CASE", "LOAD s", "TEXT s", "STEP s", "±", "VAE s", "IMAGE s", "IMAGES/s", MemoryColumn, "NATIVE", "PEAK RSS"}
	if r.any(func(x *Result) bool { return x.DeviceBytes > 0 }) {
		h = append(h, "DEVICE")
	}
	if r.any(func(x *Result) bool { return x.Quality != nil }) {
		h = append(h, QualityColumn, "WORST", "SSIM", "NMSE", "COSINE")
	}
	if r.any(func(x *Result) bool { return x.Checked != nil }) {
		h = append(h, "RIGHT")
	}
	if r.any(func(x *Result) bool { return x.Joules != nil }) {
		h = append(h, "J/IMAGE")
	}
	return h
}

// Rows has a row for each result, with Header's columns.
func (r *Report) Rows() [][]string {
	var rows [][]string
	has := strings.Join(r.Header(), "|")
	for i := range r.Results {
		x := &r.Results[i]
		row := []string{label(r.Results, x)}
		if x.Error != "" {
			rows = append(rows, append(row, "failed: "+x.Error))
			continue
		}
		row = append(row, seconds(x.Load), seconds(x.Text), seconds(x.Step), fmt.Sprintf("%.0f %%", 100*x.Step.Spread()),
			seconds(x.Decode), seconds(x.Image), fmt.Sprintf("%.3g", x.Rate), size(x.FileBytes), size(x.NativeBytes), size(x.PeakRSS))
		if strings.Contains(has, "DEVICE") {
			row = append(row, size(x.DeviceBytes))
		}
		if strings.Contains(has, "PSNR") {
			row = append(row, x.qualityCells()...)
		}
		if strings.Contains(has, "RIGHT") {
			row = append(row, x.checkedCell())
		}
		if strings.Contains(has, "J/IMAGE") {
			cell := "-"
			if x.Joules != nil {
				cell = fmt.Sprintf("%.3g", x.Joules.Median)
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

func (r *Report) any(f func(*Result) bool) bool {
	return slices.ContainsFunc(r.Results, func(x Result) bool { return f(&x) })
}

func (r *Result) qualityCells() []string {
	q := r.Quality
	switch {
	case q == nil && r.IsReference:
		return []string{"reference", "", "", "", ""}
	case q == nil:
		return []string{"-", "", "", "", ""}
	}
	return []string{decibel(q.PSNR), decibel(q.PSNRWorst), fmt.Sprintf("%.4f", q.SSIM), fmt.Sprintf("%.2g", q.NMSE),
		fmt.Sprintf("%.6f", q.Cosine)}
}

func (r *Result) checkedCell() string {
	if r.Checked == nil {
		return "-"
	}
	return fmt.Sprintf("%d/%d", r.Checked.Right, r.Checked.Pictures)
}

func decibel(db float64) string {
	if db >= EqualPSNR {
		return "equal"
	}
	return fmt.Sprintf("%.1f", db)
}

func seconds(s summary) string {
	if s.N == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g", s.Median)
}

func size(n int64) string {
	if n == 0 {
		return "-"
	}
	return words.Measured(n)
}

//go:embed report.md.tmpl
var markdownText string

var markdown = template.Must(template.New("report").Funcs(template.FuncMap{
	"join": strings.Join, "cell": strings.NewReplacer("\n", " ", "|", "\\|").Replace}).Parse(markdownText))

// markdownNames are the columns' names where there is room for them.
var markdownNames = map[string]string{"CASE": "", "LOAD s": "loading, s", "TEXT s": "text, s", "STEP s": "one step, s", "VAE s": "VAE, s",
	"IMAGE s": "picture, s", "IMAGES/s": "pictures/s", "FILE": "file", "NATIVE": "native memory", "PEAK RSS": "peak RSS",
	"DEVICE": "device memory", "PSNR dB": "PSNR, dB", "WORST": "worst", "NMSE": "latents' NMSE", "COSINE": "their cosine",
	"RIGHT": "right", "J/IMAGE": "J a picture"}

// WriteMarkdown writes the report as Markdown: conditions, table, advice and notes.
func (r *Report) WriteMarkdown(w io.Writer) error {
	header := r.Header()
	for i, h := range header {
		if text, ok := markdownNames[h]; ok {
			header[i] = text
		}
	}
	table := append([][]string{header}, r.Rows()...)
	for i, row := range table {
		table[i] = append(row, make([]string, len(header)-len(row))...)
	}
	return markdown.Execute(w, struct {
		*Report
		Table [][]string
	}{r, table})
}

// Lines are the advice, line by line.
func (a *Advice) Lines() []string {
	switch {
	case a.MemoryLimit == 0 && a.MinPSNR == 0:
		return append([]string{"For a recommendation give a limit: --memory-limit, --min-psnr or both."}, a.Reasons...)
	case a.Choice == "":
		return append([]string{"Nothing can be recommended."}, a.Reasons...)
	}
	return append([]string{"Recommended: " + a.Reasons[0] + "."}, a.Reasons[1:]...)
}

// Conditions say under which circumstances the figures came about.
func (r *Report) Conditions() []string {
	s, m := r.Settings, r.Machine
	guidance := "the model's guidance"
	if s.Guidance > 0 {
		guidance = fmt.Sprintf("guidance %g", s.Guidance)
	}
	process := "in one process"
	if s.Processes {
		process = "each session in a process of its own"
	}
	turns := fmt.Sprintf("%s with %s; %s in turns, %s a session, %s, %s; medians, ± half the distance of the quartiles",
		some(s.Steps, "step"), guidance, some(s.Rounds, "round"), some(len(s.Prompts), "run"), some(s.Warmup, "warm-up step"), process)
	machine := fmt.Sprintf("%s, %d cores", m.CPU, m.Cores)
	if m.MemoryBytes > 0 {
		machine += ", " + words.Measured(m.MemoryBytes)
	}
	machine += ", " + m.System
	if len(m.Features) > 0 {
		machine += "; " + strings.Join(m.Features, " ")
	}
	if len(m.Load) == 2 {
		machine += fmt.Sprintf("; load average %.1f before, %.1f after", m.Load[0], m.Load[1])
	}
	b := r.Build
	build := "daguerre " + b.Version
	for _, part := range []string{b.Revision, b.Library, b.Engine, b.Compiler, strings.Join(b.Features, " ")} {
		if part != "" {
			build += ", " + part
		}
	}
	return append(r.subjects(), turns, machine, build)
}

// subjects say of which models and sizes the figures are.
func (r *Report) subjects() (lines []string) {
	for _, m := range r.Models {
		var sizes []string
		for i := range r.Results {
			x := &r.Results[i]
			if size := fmt.Sprintf("%d x %d", x.Width, x.Height); x.Model == m.Label && !slices.Contains(sizes, size) {
				sizes = append(sizes, size)
			}
		}
		line := fmt.Sprintf("figures of %s: %s with %s weights", m.Label, m.Kind, millions(m.Parameters))
		if len(sizes) > 0 {
			line += ", pictures of " + strings.Join(sizes, ", ") + " pixels"
		}
		lines = append(lines, line)
	}
	return lines
}

// millions writes a number of weights.
func millions(n int64) string { return fmt.Sprintf("%.4g million", float64(n)/1e6) }

// sdxlWeights is how many weights SDXL base has, in round numbers: the UNet's 2.57 and the text encoders' 0.82 thousand million, and the
// VAE.
const sdxlWeights = 3_470_000_000

// small reports whether a model has less than a tenth of SDXL's weights, so that its figures say little about SDXL's.
func (m ModelReport) small() bool { return m.Parameters > 0 && m.Parameters < sdxlWeights/10 }

// some writes a number of things.
func some(n int, what string) string {
	return fmt.Sprintf("%d %s", n, words.Plural(n, what))
}

// WriteCSV writes a row for each result, with every figure in base units: seconds, bytes, decibels.
func (r *Report) WriteCSV(w io.Writer) error {
	c := csv.NewWriter(w)
	head := strings.Fields("model type width height batch device scheduler reuse reference error precision threads file_bytes native_bytes " +
		"peak_rss_bytes device_bytes images_per_second")
	for _, t := range []string{"load", "text", "step", "decode", "image"} {
		head = append(head, t+"_s_median", t+"_s_q1", t+"_s_q3", t+"_n")
	}
	head = append(head, strings.Fields("latent_nmse latent_cosine psnr_db psnr_db_worst ssim ssim_worst checked right joules_per_image")...)
	rows := [][]string{head}
	for i := range r.Results {
		x := &r.Results[i]
		figures := []any{x.Model, x.Type, x.Width, x.Height, x.Batch, x.Device, x.Scheduler, x.Reuse, x.IsReference, x.Error, x.Precision,
			x.Threads, x.FileBytes, x.NativeBytes, x.PeakRSS, x.DeviceBytes, x.Rate}
		for _, s := range []summary{x.Load, x.Text, x.Step, x.Decode, x.Image} {
			figures = append(figures, s.Median, s.Q1, s.Q3, s.N)
		}
		quality, checked, joules := []any{"", "", "", "", "", ""}, []any{"", ""}, any("")
		if q := x.Quality; q != nil {
			quality = []any{q.NMSE, q.Cosine, q.PSNR, q.PSNRWorst, q.SSIM, q.SSIMWorst}
		}
		if x.Checked != nil {
			checked = []any{x.Checked.Pictures, x.Checked.Right}
		}
		if x.Joules != nil {
			joules = x.Joules.Median
		}
		var row []string
		for _, f := range append(slices.Concat(figures, quality, checked), joules) {
			if v, ok := f.(float64); ok {
				f = strconv.FormatFloat(v, 'g', -1, 64)
			}
			row = append(row, fmt.Sprint(f))
		}
		rows = append(rows, row)
	}
	return c.WriteAll(rows)
}
