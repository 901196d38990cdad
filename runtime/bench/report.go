package bench

import (
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/regular"
)

// SchemaJSON is the JSON schema of reports.
//
//go:embed report.schema.json
var SchemaJSON []byte

// Schema is the version of the report's JSON, which report.schema.json describes. It is raised when a field changes its meaning or
// goes away.
const Schema = 1

// ErrReport is matched by the errors of a file that is no report.
var ErrReport = errors.New("no report of daguerre bench")

// Report is all that was measured.
type Report struct {
	Schema   int           `json:"schema"`
	Created  time.Time     `json:"created"`
	Command  []string      `json:"command,omitempty"`
	Seconds  float64       `json:"seconds"` // that measuring took
	Machine  Machine       `json:"machine"`
	Build    Build         `json:"build"`
	Settings Settings      `json:"settings"`
	Models   []ModelReport `json:"models"`
	Results  []Result      `json:"results"`
	Advice   *Advice       `json:"advice,omitempty"`
	Notes    []string      `json:"notes"` // what to know when reading the figures
}

// Settings are what all cases have in common.
type Settings struct {
	Steps     int      `json:"steps"`
	Guidance  float64  `json:"guidance_scale,omitempty"` // 0: the model's
	Warmup    int      `json:"warmup_steps"`
	Rounds    int      `json:"rounds"` // that were measured
	Prompts   []Prompt `json:"prompts"`
	Threads   int      `json:"threads"` // asked for; 0: the backend's default
	Precision string   `json:"precision,omitempty"`
	Flash     string   `json:"flash_attention,omitempty"`
	Processes bool     `json:"processes"` // each session in a process of its own
	Convert   bool     `json:"converted"` // quantized types were measured from converted files
}

// ModelReport describes a model of the report.
type ModelReport struct {
	Label      string `json:"label"`
	File       string `json:"file"` // its name, without folders
	Synthetic  bool   `json:"synthetic,omitempty"`
	FileType   string `json:"file_type,omitempty"` // of most of its weights
	FileBytes  int64  `json:"file_bytes"`
	Parameters int64  `json:"parameters"`
	Kind       string `json:"kind"`
}

// Result is one case with what was measured of it. Times are in seconds.
type Result struct {
	Case
	Key         string `json:"key"`
	IsReference bool   `json:"is_reference,omitempty"` // other cases' pictures are held against its own
	Error       string `json:"error,omitempty"`        // why it could not be measured
	Precision   string `json:"precision,omitempty"`
	Threads     int    `json:"threads,omitempty"`
	FileBytes   int64  `json:"file_bytes,omitempty"`

	Load    summary  `json:"load"`   // opening the model, of the rounds
	Text    summary  `json:"text"`   // encoding a prompt
	Step    summary  `json:"step"`   // one denoising step of the batch, of all steps
	Decode  summary  `json:"decode"` // the VAE, per picture
	Image   summary  `json:"image"`  // from prompt to picture, per picture
	Rate    float64  `json:"images_per_second"`
	Joules  *summary `json:"joules_per_image,omitempty"`
	Samples Samples  `json:"samples"`

	PeakRSS     int64       `json:"peak_rss_bytes,omitempty"`
	DeviceBytes int64       `json:"device_bytes,omitempty"`
	NativeBytes int64       `json:"native_bytes"` // most that the model held at once: weights, buffers, what loading takes
	Components  []component `json:"components"`

	Quality *quality `json:"quality,omitempty"` // none of the reference itself
	Checked *checked `json:"checked,omitempty"`

	Images []keptFiles `json:"-"` // of the first round
}

// Samples are the single measurements. One of Step is the mean of a run's steps: the steps of a run are no independent
// measurements, and comparing needs such.
type Samples struct {
	Load   []float64 `json:"load"`
	Text   []float64 `json:"text"`
	Step   []float64 `json:"step"`
	Decode []float64 `json:"decode"`
	Image  []float64 `json:"image"`
}

// memory is what the case takes where it is short: of a GPU's memory if there is a figure, otherwise resident memory or, where the
// system does not tell it, native memory.
func (r *Result) memory() int64 {
	switch {
	case r.DeviceBytes > 0:
		return r.DeviceBytes
	case r.PeakRSS > 0:
		return r.PeakRSS
	}
	return r.NativeBytes
}

// Write writes the report as JSON.
func (r *Report) Write(w io.Writer) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(data, '\n'))
	return err
}

// maxReportBytes is far above the size of any report.
const maxReportBytes = 256 << 20

// ReadReport reads what Write wrote. Errors name the file; those about its contents match ErrReport.
func ReadReport(path string) (*Report, error) {
	data, err := regular.ReadFile(path, maxReportBytes)
	if err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrReport, path, err)
	}
	switch {
	case r.Schema == 0 || r.Results == nil:
		return nil, fmt.Errorf("%w: %s: it has no schema and results; give a file that bench --json wrote", ErrReport, path)
	case r.Schema != Schema:
		return nil, fmt.Errorf("%w: %s: its schema is %d, this program reads %d", ErrReport, path, r.Schema, Schema)
	}
	return &r, nil
}

// AddNotes appends what a reader of the figures has to know.
func (r *Report) AddNotes() {
	if slices.ContainsFunc(r.Models, func(m ModelReport) bool { return m.Synthetic }) {
		r.Notes = append(r.Notes, "the weights are random: times and memory are those of a real model, pictures are noise, "+
			"and how far they differ tells about rounding only")
	}
	for _, m := range r.Models {
		if m.small() {
			r.Notes = append(r.Notes, fmt.Sprintf("%s is a small model (%s weights; SDXL has %s): a full-size model has other times, "+
				"other memory and other PSNR. Measure yours with --model FILE", m.Label, millions(m.Parameters), millions(sdxlWeights)))
		}
	}
	if r.any(func(x *Result) bool { return x.PeakRSS > 0 }) && !r.Settings.Processes {
		r.Notes = append(r.Notes, "all sessions ran in one process: the peak of its resident memory only grows, "+
			"and says little about the later ones")
	}
	if len(r.Machine.Load) == 2 && r.Machine.Load[0] > float64(r.Machine.Cores)/2 {
		r.Notes = append(r.Notes, fmt.Sprintf("others were using the machine (load average %.1f before the first session): "+
			"compare within the report, not with other reports", r.Machine.Load[0]))
	}
}
