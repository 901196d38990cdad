package worker

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// The codes of error events; those of the service are its own.
const (
	codeBadJSON      = "bad_json"
	codeLineTooLong  = "line_too_long"
	codeBadMessage   = "bad_message"
	codeWrongVersion = "wrong_version"
	codeUnknownType  = "unknown_type"
	codeWorkerDied   = "worker_died"
)

// Codes lists the codes of error events with their meanings.
var Codes = []struct {
	Code    service.Code
	exit    int // code of the command line that it corresponds to
	Meaning string
}{
	{codeBadJSON, 2, "the line is no JSON object"},
	{codeLineTooLong, 2, "the line is longer than --max-line"},
	{codeBadMessage, 2, "a field around the request is missing, unknown or of the wrong type, or a key is given twice"},
	{codeWrongVersion, 2, "protocol names another version"},
	{codeUnknownType, 2, "the type is unknown"},
	{service.CodeDuplicateID, 2, "a request with this id is not finished yet; ref has the id, and id is null, since that request goes on"},
	{service.CodeInvalid, 2, "something is wrong with the request itself; fields has each mistake with its path"},
	{service.CodeNotFound, 2, "there is no such request, model or adapter"},
	{service.CodeNotRunning, 2, "the request has no such job in the queue, or the job has no adapters that could be changed, or has ended"},
	{service.CodeQueueFull, 1, "--queue requests are unfinished; wait for some to end"},
	{service.CodeBusy, 1, "the models that are loaded are all in use; unload one"},
	{service.CodeBadFile, 3, "a model or input file is missing, damaged or unsuitable"},
	{service.CodeOutOfMemory, 4, "memory ran out"},
	{service.CodeNative, 5, "the native library or the device failed"},
	{service.CodeFailed, 1, "another failure, such as a full disk"},
	{service.CodeCancelled, 130, "the request was cancelled"},
	{service.CodeDeadline, 130, "deadline_seconds ran out"},
	{service.CodeShuttingDown, 130, "the worker ends and takes no more requests"},
	{codeWorkerDied, 5, "with --supervise: the process that computed the request died"},
}

func exitOf(code service.Code) int {
	for _, c := range Codes {
		if c.Code == code {
			return c.exit
		}
	}
	return 2
}

// event is what is written to the client; body is a struct with json tags in snake_case.
type event struct {
	id     json.RawMessage // nil: of no request
	name   string
	body   any
	casing request.Casing
}

// Bodies of events. Their JSON is documented in docs/worker.md.
type (
	helloEvent struct {
		Protocol   int      `json:"protocol"`
		Version    string   `json:"version"` // of daguerre
		Library    string   `json:"library,omitempty"`
		Engine     string   `json:"engine,omitempty"`
		Types      []string `json:"types"`
		MaxLine    int      `json:"max_line"`
		Supervised bool     `json:"supervised"`
		Pid        int      `json:"pid"`
	}
	progressEvent struct {
		Job            int     `json:"job"`
		Stage          string  `json:"stage"`
		Step           int     `json:"step"`
		Steps          int     `json:"steps"`
		Done           int     `json:"done"`
		Total          int     `json:"total"`
		Finished       int     `json:"finished"`
		Images         int     `json:"images"`
		Batch          int     `json:"batch"` // pictures computed together
		Seconds        float64 `json:"seconds"`
		ETASeconds     float64 `json:"eta_seconds"`
		StepsPerSecond float64 `json:"steps_per_second"`
	}
	previewEvent struct {
		Job    int    `json:"job"`
		Index  int    `json:"index"`
		Step   int    `json:"step"`
		Format string `json:"format"`
		Width  int    `json:"width"`
		Height int    `json:"height"`
		Data   []byte `json:"data"`
	}
	failedEvent struct {
		Job   int  `json:"job"`
		Index *int `json:"index,omitempty"` // of the picture; absent: the whole job
		errorEvent
	}
	errorEvent struct {
		Code     service.Code    `json:"code"`
		Message  string          `json:"message"`
		ExitCode int             `json:"exit_code"`
		Fields   []request.Error `json:"fields,omitempty"`
		Line     int             `json:"line,omitempty"` // of standard input, where no id tells what it is about
		Ref      json.RawMessage `json:"ref,omitempty"`
	}
	doneEvent struct {
		Images  int     `json:"images,omitempty"`
		Failed  int     `json:"failed,omitempty"`
		Seeds   []int64 `json:"seeds,omitempty"` // first of each job
		Seconds float64 `json:"seconds"`
		Result  any     `json:"result,omitempty"`
	}
)

// refuse answers a line that is no request, or none that can be served; taken says that its id is another request's.
func (w *emitter) refuse(m message, e *service.Error, line int, taken bool) {
	body := errorOf(e)
	if m.id == nil || taken {
		body.Line, body.Ref, m.id = line, m.id, nil
	}
	w.emit(event{id: m.id, name: "error", casing: m.casing, body: body})
}

// Events lists the names of events.
var Events = []string{"hello", "accepted", "started", "progress", "preview", "image", "latents", "warning", "failed", "restarted",
	"error", "done"}

// minProgress is the least time between two progress events of a job.
const minProgress = 50 * time.Millisecond

// teller returns what writes the service's events of a message's request.
func (s *Server) teller(m *message) func(service.Event) {
	began := s.opts.Now()
	return func(e service.Event) {
		if name, body := s.translate(e, began); name != "" {
			s.out.emit(event{id: m.id, name: name, casing: m.casing, body: body})
		}
		if ended, ok := e.(service.Ended); ok && s.opts.Supervised && errors.Is(ended.Err, backend.ErrDeviceLost) {
			s.loseDevice()
		}
	}
}

// translate returns the name and the body of an event; without a name it is not told.
func (s *Server) translate(e service.Event, began time.Time) (name string, body any) {
	switch e := e.(type) {
	case service.Accepted:
		return "accepted", e
	case service.Started:
		return "started", e
	case service.Picture:
		return "image", e
	case service.Latents:
		return "latents", e
	case service.Warning:
		return "warning", e
	case service.Progress:
		if e.Stage == pipeline.StageDone {
			return "", nil
		}
		return "progress", progressEvent{Job: e.Job, Stage: string(e.Stage), Step: e.Step, Steps: e.Steps, Done: e.Done, Total: e.Total,
			Finished: e.Finished, Images: e.Images, Batch: e.Together, Seconds: s.opts.Now().Sub(began).Seconds(), ETASeconds: e.ETA.Seconds(),
			StepsPerSecond: e.StepsPerSec}
	case service.Preview:
		data, err := e.JPEG()
		if err != nil {
			return "", nil // the picture itself will tell
		}
		size := e.Image.Bounds().Size()
		return "preview", previewEvent{Job: e.Job, Index: e.Index, Step: e.Step, Format: "jpeg", Width: size.X, Height: size.Y, Data: data}
	case service.JobFailed:
		return "failed", failedEvent{e.Job, e.Index, errorOf(s.Explain(e.Err))}
	case service.Ended:
		if e.Err != nil {
			return "error", errorOf(s.Explain(e.Err))
		}
		return "done", doneEvent{e.Images, e.Failed, e.Seeds, e.Seconds, e.Result}
	}
	return "", nil
}
