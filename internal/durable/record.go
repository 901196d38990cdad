// Package durable keeps runs on NATS JetStream, so that they survive the death of every process: what is to be done is a work-queue stream,
// the state of each run is a key, and what happened to it is a stream of events. It knows no model and computes nothing.
//
// A run is accepted with one message, which holds all of it (Record). The message stays in the queue until a worker has acknowledged it, or
// until the run is cancelled. As soon as a worker takes the run, its Record is a key of a bucket; from then on the key counts.
package durable

import (
	"encoding/json"
	"slices"
	"time"
)

// State is where a run stands.
type State string

// The states of a run.
const (
	Queued    State = "queued"
	Running   State = "running" // a worker has it
	Done      State = "done"    // at least one picture was made
	Failed    State = "failed"  // nothing was made
	Cancelled State = "cancelled"
)

// States lists the values of State.
var States = []State{Queued, Running, Done, Failed, Cancelled}

// follows lists the states that may follow each. A worker gives a run back that it cannot finish, and what failed may be tried again.
var follows = map[State][]State{
	Queued:    {Queued, Running, Failed, Cancelled},
	Running:   {Running, Queued, Done, Failed, Cancelled},
	Done:      {},
	Failed:    {Queued},
	Cancelled: {},
}

// Ended reports whether nothing happens in the state any more.
func (s State) Ended() bool { return s == Done || s == Failed || s == Cancelled }

// may reports whether a state may follow.
func (s State) may(next State) bool { return slices.Contains(follows[s], next) }

// Record is a run as it is kept.
type Record struct {
	ID       string    `json:"id"`
	Owner    string    `json:"owner"` // see Name
	Created  time.Time `json:"created"`
	State    State     `json:"state"`
	Priority int       `json:"priority,omitempty"` // MinPriority to MaxPriority
	Deadline time.Time `json:"deadline,omitzero"`
	Model    string    `json:"model"`            // by its name
	Images   int       `json:"images"`           // that it makes
	Source   string    `json:"source,omitempty"` // the face that took it
	Digest   string    `json:"digest,omitempty"` // of what was asked, where the caller gave a key

	// Run is the request, in JSON, with seeds; its pictures are in the store. RunAt is where in the store it is, if it is long.
	Run   json.RawMessage `json:"run,omitempty"`
	RunAt string          `json:"run_at,omitempty"`

	Options  json.RawMessage `json:"options,omitempty"` // of the worker
	Warnings []string        `json:"warnings,omitempty"`

	Turn     int       `json:"turn,omitempty"`     // how often it was queued again; messages of earlier turns count no more
	Attempts int       `json:"attempts,omitempty"` // above 1: workers have died with it in work
	Worker   string    `json:"worker,omitempty"`   // the last one that has taken something of it
	Started  time.Time `json:"started,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	Cancel   bool      `json:"cancel,omitempty"` // its worker is to give it up

	Pieces []Piece `json:"pieces,omitempty"` // once a worker has taken something
	Lost   int     `json:"lost,omitempty"`   // workers that died with something of it in work, in this turn
	Claims int     `json:"claims,omitempty"` // how often something of it was taken
	From   int     `json:"from,omitempty"`   // of a message: the first picture of its piece

	Changes json.RawMessage `json:"changes,omitempty"` // of adapters, made while it was unfinished
	Made    int             `json:"made"`              // pictures
	Failed  int             `json:"failed,omitempty"`  // pictures
	Seeds   []int64         `json:"seeds,omitempty"`   // first of each job
	Error   *Failure        `json:"error,omitempty"`
	Dead    bool            `json:"dead,omitempty"` // it failed because workers died of it
}

// Failure is why a run failed, or one of its pictures.
type Failure struct {
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Fields  []Field `json:"fields,omitempty"`
}

// Field is a mistake at one place of a request.
type Field struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

// summary is the record without what is long.
func (r Record) summary() Record {
	r.Run, r.Options, r.Changes, r.Digest = nil, nil, nil, ""
	return r
}
