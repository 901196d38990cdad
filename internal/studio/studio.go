// Package studio is what the faces of a server have in common: it takes runs, tells how they stand, and hands over their pictures. It knows
// who asks and what that one may do, but no protocol. A face translates: it reads a request of its protocol, calls the Studio, and writes
// the answer.
//
// Runs are kept by durable, made by dispatch, named by catalog. All errors that a caller may hear of are Problems; everything else is the
// server's own fault.
package studio

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"log/slog"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/blobs"
	"github.com/daguerre-go/daguerre/internal/catalog"
	"github.com/daguerre-go/daguerre/internal/dispatch"
	"github.com/daguerre-go/daguerre/internal/durable"
	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/runtime/pipeline"
	"github.com/daguerre-go/daguerre/runtime/request"
)

// Options configure a Studio.
type Options struct {
	Queue   *durable.Queue
	Store   *blobs.Store
	Service *service.Service
	Worker  *dispatch.Worker // of this process
	Catalog func() *catalog.Catalog
	// Check finds what is wrong with a run beyond its own Validate; nil: nothing.
	Check func(run request.Run, errs *request.Errors)
	// Plan plans memory, as pipeline.Plan does.
	Plan func(ctx context.Context, cfg pipeline.Config, jobs []request.Request, opts ...pipeline.OpenOption) (pipeline.MemoryPlan, error)
	// Upscale enlarges a picture with the model in a file, by the model's own scale; nil: it is not offered.
	Upscale func(ctx context.Context, file string, img image.Image) (*image.NRGBA, error)
	Limit   int // of unfinished runs; 0: DefaultLimit
	Log     *slog.Logger
	Now     func() time.Time
}

// DefaultLimit is how many runs may be unfinished where Options does not say.
const DefaultLimit = 100_000

// Studio takes runs. Its methods may be called from any goroutine.
type Studio struct {
	o Options
}

// New makes a Studio.
func New(o Options) *Studio {
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Studio{o}
}

// Caller is who asks. A run belongs to its caller's Owner; those of others are as if they were not there.
type Caller struct {
	Owner  string
	Limits Limits
	Admin  bool // may see and end the runs of all, and submit dead ones again
}

// Limits are what a caller may do; zero is no limit.
type Limits struct {
	Requests int   // requests a minute; the face counts them
	Pixels   int64 // of one picture, in its largest pass
	Steps    int   // of one picture
	Images   int   // of one run
	Pending  int   // runs that have not ended
	Priority *int  // highest priority; nil: all
}

// Submission is a run as a face hands it over.
type Submission struct {
	// Body is the run in JSON: our keys, or diffusers' or A1111's names of them (docs/requests.md). Pictures are data URLs, or "upload:"
	// and an upload's id.
	Body     []byte
	Key      string        // idempotency key: a second submission with it finds the first run; empty: none
	Priority int           // durable.MinPriority to durable.MaxPriority; higher goes first
	Deadline time.Duration // after which what is not finished fails; 0: none
	Format   string        // of the pictures: png, jpeg or webp; empty: as the first job's output says, else png
	Previews int           // a preview every so many steps; 0: none
	Source   string        // the face, for people who look at the list
}

// Run is a run as callers see it.
type Run struct {
	ID       string           `json:"id"`
	Owner    string           `json:"owner,omitempty" doc:"whose it is; only administrators see it"`
	State    durable.State    `json:"state" enum:"queued,running,done,failed,cancelled"`
	Created  time.Time        `json:"created"`
	Started  *time.Time       `json:"started,omitempty"`
	Ended    *time.Time       `json:"ended,omitempty"`
	Model    string           `json:"model"`
	Priority int              `json:"priority"`
	Deadline *time.Time       `json:"deadline,omitempty"`
	Source   string           `json:"source,omitempty" doc:"the API that took it: runs, openai, a1111 or page"`
	Images   int              `json:"images" doc:"pictures that it makes"`
	Made     int              `json:"made" doc:"pictures that are finished, once it has ended"`
	Failed   int              `json:"failed,omitempty" doc:"pictures that failed"`
	Seeds    []int64          `json:"seeds,omitempty" doc:"first seed of each job"`
	Ahead    *int             `json:"ahead,omitempty" doc:"runs that go before it, while it waits"`
	Attempt  int              `json:"attempt,omitempty" doc:"above 1: a worker died while it had the run"`
	Warnings []string         `json:"warnings,omitempty"`
	Error    *durable.Failure `json:"error,omitempty"`
	Dead     bool             `json:"dead,omitempty" doc:"workers died of it"`
	Pictures []Picture        `json:"pictures,omitempty" doc:"those that are there; not in lists"`
	Request  json.RawMessage  `json:"request,omitempty" doc:"what was asked, with the server's defaults and the seeds; not in lists"`
}

// Picture is a finished picture.
type Picture struct {
	Job    int    `json:"job"`
	Index  int    `json:"index"`
	Seed   int64  `json:"seed"`
	Format string `json:"format"`
	SHA256 string `json:"sha256"`
	URL    string `json:"url,omitempty" doc:"path on this server"`
}

// Event is something that happened to a run: the events of the worker (docs/worker.md). Its ID is 0 where it is not kept.
type Event = durable.Event

// Kind sorts Problems.
type Kind string

// The kinds of Problems.
const (
	Invalid     Kind = "invalid"     // something is wrong with the request; Fields tells what
	NotFound    Kind = "not_found"   // there is no such run, picture, model ..., or it is another's
	Conflict    Kind = "conflict"    // the run's state does not allow it, or the key is another run's
	Forbidden   Kind = "forbidden"   // the caller may not do this
	TooMany     Kind = "too_many"    // a limit that passes; After says when to come again
	TooLarge    Kind = "too_large"   // what was sent is too large
	Unavailable Kind = "unavailable" // the server ends, or its queue or store does not answer
	Unknown     Kind = "unknown"     // nobody knows who asks: the token is missing or wrong
	Malformed   Kind = "malformed"   // what was sent cannot be read at all
	WrongMethod Kind = "wrong_method"
)

// Problem is an error that the caller hears of.
type Problem struct {
	Kind    Kind
	Code    string // as in docs/worker.md: "invalid_request", "queue_full", "not_found", ...
	Message string
	Fields  request.Errors // each mistake with its path, as the caller spelled it
	After   time.Duration  // of TooMany and Unavailable: when it may work
}

func (p *Problem) Error() string { return p.Message }

// invalid makes a Problem of what is wrong with a request; other errors stay.
func invalid(err error) error {
	if fields, ok := errors.AsType[request.Errors](err); ok {
		return &Problem{Kind: Invalid, Code: string(service.CodeInvalid), Message: fields.Error(), Fields: fields}
	}
	if errors.Is(err, request.ErrInvalid) {
		return &Problem{Kind: Invalid, Code: string(service.CodeInvalid), Message: err.Error()}
	}
	return err
}

// invalid is the function invalid for errors of files: clients hear no folders of this machine.
func (s *Studio) invalid(err error) error {
	err = invalid(err)
	if p, ok := errors.AsType[*Problem](err); ok {
		hide := s.o.Catalog().Hide
		p.Message, p.Fields = hide(p.Message), slices.Clone(p.Fields)
		for i := range p.Fields {
			p.Fields[i].Message = hide(p.Fields[i].Message)
		}
	}
	return err
}

// explain makes a Problem of an error of the queue or the store, where the caller can do something about it.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, durable.ErrNotFound), errors.Is(err, blobs.ErrNotFound):
		return &Problem{Kind: NotFound, Code: "not_found", Message: err.Error()}
	case errors.Is(err, durable.ErrState):
		return &Problem{Kind: Conflict, Code: "wrong_state", Message: err.Error()}
	case errors.Is(err, durable.ErrOther):
		return &Problem{Kind: Conflict, Code: "key_used", Message: "another run was submitted under this idempotency key"}
	}
	return err
}
