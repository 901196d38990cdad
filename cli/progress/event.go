// Package progress tells a person or a program what a command is doing: a bar on a terminal, plain
// lines elsewhere, JSON lines for programs, or nothing.
package progress

// Schema is the version of the JSON events. It is raised when a field changes its meaning or goes
// away; new fields and new events do not raise it.
const Schema = 1

// Event is something that happened. The types of this file implement it; their JSON is documented
// in docs/cli.md.
type Event interface {
	// EventName is the "event" field of the JSON line.
	EventName() string
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
	Seconds         float64 `json:"seconds"` // taken to open it
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

// Step tells how far a job, or another long task, is. Done never falls within a job and equals Total
// after its last step.
type Step struct {
	Job            int     `json:"job"`
	Stage          string  `json:"stage"` // "text", "encode", "denoise", "decode", "upscale", "done"; "write", "verify", "tiles" outside of jobs
	Step           int     `json:"step"`  // denoising steps done in this batch
	Steps          int     `json:"steps"` // denoising steps of a batch
	Done           int64   `json:"done"`  // denoising steps done in this job, over all batches; bytes for "write" and "verify"
	Total          int64   `json:"total"` // of the same unit
	Batch          int     `json:"batch"` // from 0
	Batches        int     `json:"batches"`
	Seconds        float64 `json:"seconds"`          // since the job began
	ETASeconds     float64 `json:"eta_seconds"`      // to the end of the job; 0 while it is unknown
	StepsPerSecond float64 `json:"steps_per_second"` // 0 while it is unknown
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
}

// EventName implements Event.
func (Start) EventName() string { return "start" }

// EventName implements Event.
func (Model) EventName() string { return "model" }

// EventName implements Event.
func (JobStart) EventName() string { return "job" }

// EventName implements Event.
func (Step) EventName() string { return "progress" }

// EventName implements Event.
func (Preview) EventName() string { return "preview" }

// EventName implements Event.
func (Image) EventName() string { return "image" }

// EventName implements Event.
func (Latents) EventName() string { return "latents" }

// EventName implements Event.
func (File) EventName() string { return "file" }

// EventName implements Event.
func (Result) EventName() string { return "result" }

// EventName implements Event.
func (Warning) EventName() string { return "warning" }

// EventName implements Event.
func (Failed) EventName() string { return "error" }

// EventName implements Event.
func (Done) EventName() string { return "done" }

// Reporter receives events. It is safe for concurrent use. It never fails: a broken pipe must not
// lose a picture.
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
