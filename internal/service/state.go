package service

import "slices"

// State is where an order stands.
type State string

// The states of an order.
const (
	Queued    State = "queued"  // its model is busy or being opened, or others go first
	Running   State = "running" // something of it was begun with
	Done      State = "done"
	Failed    State = "failed" // nothing of it was made
	Cancelled State = "cancelled"
)

// next lists the states that may follow each. What needs no computing is done without running.
var next = map[State][]State{
	Queued:  {Running, Done, Failed, Cancelled},
	Running: {Done, Failed, Cancelled},
}

// Ended reports whether the state is an order's last.
func (s State) Ended() bool { return len(next[s]) == 0 }

// to moves on to another state where the table allows it, and reports whether it did.
func (s *State) to(state State) bool {
	ok := slices.Contains(next[*s], state)
	if ok {
		*s = state
	}
	return ok
}
