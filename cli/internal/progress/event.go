// Package progress tells a person or a program what a command is doing: a bar on a terminal, plain
// lines elsewhere, JSON lines for programs, or nothing.
package progress

import (
	"reflect"
)

// Schema is the version of the JSON events. It is raised when a field changes its meaning or goes
// away; new fields and new events do not raise it.
const Schema = 1

// Event is something that happened: a value of one of the types that have a name. Their JSON is documented in docs/cli.md.
type Event any

// names are the "event" fields of the events' JSON lines.
var names = map[string]Event{
	"start": Start{}, "model": Model{}, "job": JobStart{}, "progress": Step{}, "overall": Overall{}, "batch": Batch{}, "retry": Retry{},
	"resume": Resume{}, "preview": Preview{}, "image": Image{}, "latents": Latents{}, "file": File{}, "result": Result{},
	"note": Note{}, "warning": Warning{}, "error": Failed{}, "done": Done{}, "profile": Profile{},
}

// EventName is the "event" field of an event's JSON line.
func EventName(e Event) string {
	for name, x := range names {
		if reflect.TypeOf(x) == reflect.TypeOf(e) {
			return name
		}
	}
	return "unknown"
}

// Start is the first event of a command.
type Start struct {
	Version string `json:"version"` // of daguerre
	Jobs    int    `json:"jobs"`
	Images  int    `json:"images"` // of all jobs
}

// Model tells that a model is open.
type Model struct {
	Model           string  `json:"model"` // as the user named it
	Kind            string  `json:"kind"`
	Device          string  `json:"device"`
	Precision       string  `json:"precision"`
	PrecisionReason string  `json:"precision_reason,omitempty"`
	ParameterBytes  int64   `json:"parameter_bytes"`
	WeightType      string  `json:"weight_type,omitempty"`   // of the UNet's matrices in memory
	WeightReason    string  `json:"weight_reason,omitempty"` // why they have it
	Seconds         float64 `json:"seconds"`                 // taken to open it
}

// JobStart tells that a job begins.
type JobStart struct {
	Job           int     `json:"job"` // from 0
	Prompt        string  `json:"prompt"`
	Seed          int64   `json:"seed"` // of the first picture
	Images        int     `json:"images"`
	Width         int     `json:"width"`
	Height        int     `json:"height"`
	Steps         int     `json:"steps"`
	GuidanceScale float64 `json:"guidance_scale"`
	Scheduler     string  `json:"scheduler"`
}

// Step tells how far a job, or another long task, is. Done never falls within a job and equals Total after its last step.
type Step struct {
	Job            int     `json:"job"`
	Stage          string  `json:"stage"`            // a pipeline.Stage; outside of jobs "load", "write", "verify", "tiles", "download" or "unpack"
	Part           string  `json:"part,omitempty"`   // of "load": what is loaded, as "unet"; "" is the whole file
	Step           int     `json:"step"`             // denoising steps done in this batch
	Steps          int     `json:"steps"`            // denoising steps of a batch
	Done           int64   `json:"done"`             // steps of all pictures of this job; bytes where no job is, but tiles
	Total          int64   `json:"total"`            // of the same unit
	Batch          int     `json:"batch"`            // from 0
	Batches        int     `json:"batches"`          // 0: not known beforehand
	Seconds        float64 `json:"seconds"`          // since the job began
	ETASeconds     float64 `json:"eta_seconds"`      // to the end of the job; 0 while it is unknown
	StepsPerSecond float64 `json:"steps_per_second"` // 0 while it is unknown
}

// Overall tells how far a run of several pictures is, over all its jobs.
type Overall struct {
	Images          int     `json:"images"`   // of all jobs
	Finished        int     `json:"finished"` // those of an earlier run that is continued among them
	Failed          int     `json:"failed"`
	Done            int64   `json:"done"` // denoising steps of all pictures
	Total           int64   `json:"total"`
	ImagesPerSecond float64 `json:"images_per_second"` // lately; 0 while it is unknown
	StepsPerSecond  float64 `json:"steps_per_second"`  // lately, over all pictures
	Seconds         float64 `json:"seconds"`           // since the first batch began
	ETASeconds      float64 `json:"eta_seconds"`       // 0 while it is unknown
	BatchSize       int     `json:"batch_size"`        // of the batch that runs
	Why             string  `json:"why"`               // it has that size
	Retries         int64   `json:"retries"`
	OutOfMemory     int64   `json:"out_of_memory"` // times that a batch was made smaller for that
}

// Batch tells that pictures begin to be computed together.
type Batch struct {
	Batch  int64  `json:"batch"` // from 1
	Size   int    `json:"size"`
	Why    string `json:"why"` // it has that size
	Kind   string `json:"kind"`
	Relief string `json:"relief,omitempty"` // what is done to need less memory: tiling, streaming
	Device string `json:"device"`
}

// Retry tells that pictures are computed once more.
type Retry struct {
	Images int    `json:"images"`
	Reason string `json:"reason"`
}

// Resume tells that a run continues an earlier one.
type Resume struct {
	Finished int    `json:"finished"` // pictures that are there already
	Images   int    `json:"images"`   // of all jobs
	Journal  string `json:"journal"`
}

// Sizes tells how large the batches of one kind of pictures became.
type Sizes struct {
	Kind    string             `json:"kind"`
	Size    int                `json:"size"`
	Why     string             `json:"why"`
	Seconds map[string]float64 `json:"seconds_per_image,omitempty"` // least measured, by size
}

// Preview tells that a picture of how things stand was written; it goes away when the job ends.
type Preview struct {
	Job   int    `json:"job"`
	Index int    `json:"index"`
	Step  int    `json:"step"`
	Path  string `json:"path"`
}

// Image tells that a picture is complete on disk.
type Image struct {
	Job     int     `json:"job"`
	Index   int     `json:"index"` // in the job, from 0
	Seed    int64   `json:"seed"`
	Path    string  `json:"path"`
	Width   int     `json:"width"`
	Height  int     `json:"height"`
	Format  string  `json:"format"`
	Bytes   int     `json:"bytes"`
	Seconds float64 `json:"seconds"` // since the job began

	// PictureSeconds are this picture's alone: a batch's common time counts in equal parts. It is 0 where several devices compute.
	PictureSeconds float64 `json:"picture_seconds"`
}

// Latents tells that a job's latents are complete on disk.
type Latents struct {
	Job   int    `json:"job"`
	Path  string `json:"path"`
	Shape []int  `json:"shape"`
}

// File tells that a file that is no picture is complete on disk.
type File struct {
	Path    string  `json:"path"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// Result is what a command that measures or converts found out, as JSON events carry it; text has its own tables.
type Result struct {
	Result any `json:"result"`
}

// Note is something that a command found or chose.
type Note struct {
	Message string `json:"message"`
}

// Warning is something the user should know although the work goes on.
type Warning struct {
	Message string `json:"message"`
}

// Failed is the last event of a command that failed.
type Failed struct {
	ExitCode int    `json:"exit_code"`
	Message  string `json:"message"`
}

// Done is the last event of a command that succeeded.
type Done struct {
	Images  int     `json:"images"`
	Seconds float64 `json:"seconds"` // since the command began

	ImagesPerSecond float64 `json:"images_per_second,omitempty"` // computed ones, while batches ran
	Batches         []Sizes `json:"batches,omitempty"`           // the sizes that were settled on
}

// Reporter receives events. It is safe for concurrent use. It never fails: a broken pipe must not lose a picture.
type Reporter interface {
	Report(Event)
	// Close ends the display; later events are dropped.
	Close()
}

// Discard is a Reporter that shows nothing.
type Discard struct{}

// Report drops the event.
func (Discard) Report(Event) {}

// Close does nothing.
func (Discard) Close() {}
