package durable

import (
	"fmt"
	"slices"
	"time"
)

// Piece is what one worker makes of a run: some of its pictures, counted over all its jobs in their order. A run is one piece until a
// worker takes less of it; the rest is a piece of its own then, with a message of its own.
type Piece struct {
	From     int      `json:"from"` // its first picture
	To       int      `json:"to"`   // the one after its last
	Claim    int      `json:"claim,omitempty"`
	Sequence uint64   `json:"sequence,omitempty"` // of its message in the work stream, once a worker has had it
	Worker   string   `json:"worker,omitempty"`
	Tried    []string `json:"tried,omitempty"` // workers that cannot make it
	End      *End     `json:"end,omitempty"`   // nil: it has not ended
}

// held reports whether a worker has the piece.
func (p *Piece) held() bool { return p.End == nil && p.Claim > 0 }

// End is how a piece has ended.
type End struct {
	State  State    `json:"state"`
	Made   int      `json:"made,omitempty"` // pictures
	Failed int      `json:"failed,omitempty"`
	Error  *Failure `json:"error,omitempty"`
}

// piece finds a piece by its first picture; nil: there is none.
func (r *Record) piece(from int) *Piece {
	if i := slices.IndexFunc(r.Pieces, func(p Piece) bool { return p.From == from }); i >= 0 {
		return &r.Pieces[i]
	}
	return nil
}

// opened is the piece of a message: the whole run where no worker has had anything of it yet.
func (r *Record) opened(from int) *Piece {
	if len(r.Pieces) == 0 && from == 0 {
		r.Pieces = []Piece{{To: r.Images}}
	}
	return r.piece(from)
}

// split leaves at most so many pictures in a piece, and makes a piece of the rest; nil: there is no rest. Where the rest will be split
// again, all parts are about as large.
func (r *Record) split(from, most int) (rest *Piece) {
	p := r.piece(from)
	n := p.To - p.From
	if most <= 0 || n <= most {
		return nil
	}
	parts := (n + most - 1) / most
	at := p.From + (n+parts-1)/parts
	r.Pieces = append(r.Pieces, Piece{From: at, To: p.To, Tried: p.Tried})
	r.piece(from).To = at
	return &r.Pieces[len(r.Pieces)-1]
}

// attempt is which try of the run is in work: above 1, workers have died. It is 0 where nothing was begun with.
func (r *Record) attempt() int {
	if slices.ContainsFunc(r.Pieces, func(p Piece) bool { return p.held() || p.End != nil }) {
		return r.Lost + 1
	}
	return r.Lost
}

// settle sets the state of the run by those of its pieces.
func (r *Record) settle(now time.Time) {
	r.Attempts = r.attempt()
	open := slices.ContainsFunc(r.Pieces, func(p Piece) bool { return p.End == nil })
	switch held := slices.ContainsFunc(r.Pieces, func(p Piece) bool { return p.held() }); {
	case held:
		r.State = Running
		return
	case open:
		r.State, r.Worker = Queued, ""
		return
	}
	r.Ended, r.Made, r.Failed, r.Error = now, 0, 0, nil
	ended := map[State]*Failure{}
	var late *Failure
	for _, p := range r.Pieces {
		r.Made += p.End.Made
		r.Failed += p.End.Failed
		if _, ok := ended[p.End.State]; !ok {
			ended[p.End.State] = p.End.Error
		}
		if p.End.Error != nil && p.End.Error.Code == codeDeadline {
			late = p.End.Error
		}
	}
	for _, state := range []State{Cancelled, Done, Failed} {
		if e, ok := ended[state]; ok {
			r.State, r.Error = state, e
			break
		}
	}
	if late != nil && r.State == Done {
		r.State, r.Error = Failed, late
	}
}

// The codes of failures that the queue itself tells of.
const (
	codeDeadline  = "deadline"
	codeCancelled = "cancelled"
	codeDied      = "worker_died"
)

// cancelled is how what is given up ends.
func cancelled() End {
	return End{State: Cancelled, Error: &Failure{Code: codeCancelled, Message: "the run was cancelled"}}
}

// died is why a run is not tried again.
func died(r *Record) *Failure {
	return &Failure{Code: codeDied, Message: fmt.Sprintf("%d workers ended while they made this run; it is not tried again. "+
		"Submit it again if the cause is gone", r.Lost)}
}

// stop ends a run as a whole, whatever its pieces do.
func (r *Record) stop(state State, why *Failure, now time.Time) {
	r.State, r.Ended, r.Error = state, now, why
	r.Made, r.Failed = 0, 0
	for _, p := range r.Pieces {
		if p.End != nil {
			r.Made += p.End.Made
			r.Failed += p.End.Failed
		}
	}
}

// again begins a new turn: one message of the whole run counts from now on. What was made stays made: the pictures are in the store.
func (r *Record) again() {
	r.State, r.Dead, r.Error, r.Attempts, r.Lost, r.Worker, r.Cancel, r.Pieces = Queued, false, nil, 0, 0, "", false, nil
	r.Turn++
}
