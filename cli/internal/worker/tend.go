package worker

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/daguerre-go/daguerre/internal/service"
)

// health tells whether the process that runs now is alive.
type health struct {
	quiet time.Duration // since its last sign of life
	asked time.Duration // since it was asked for a sign of life; 0: it was not asked
	ask   bool          // a ping must be sent
	ended string        // why it was ended
}

// pingLine asks for a sign of life. The reader of a process's lines answers it, also during computation.
const pingLine = `{"id":"` + internalID + `ping","type":"hello"}`

// sound notes a sign of life.
func (h *health) sound() { h.quiet, h.asked, h.ask = 0, 0, false }

// tend does the work that must not wait for the process: deadlines, answers, the watchdog. It ends when over is closed.
func (s *Supervisor) tend(over <-chan struct{}) {
	every := s.opts.Patience
	if s.opts.Watchdog > 0 {
		every = min(every, s.opts.Watchdog)
	}
	every = min(max(every/8, time.Millisecond), 250*time.Millisecond)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		// If this process itself stood still (it was stopped), at most two rounds of that time count.
		now := time.Now()
		passed := min(now.Sub(last), 2*every)
		last = now
		s.mu.Lock()
		if s.process != nil && s.out.blocked() < every { // otherwise its answers may only wait for the client
			s.watch(passed)
		}
		s.answer()
		s.mu.Unlock()
	}
}

// watch ends a process that was asked for a sign of life and gave none. The mutex is held.
func (s *Supervisor) watch(passed time.Duration) {
	h, limit := &s.health, s.opts.Watchdog
	h.quiet += passed
	switch {
	case limit <= 0 || h.ended != "" || s.stopped:
	case h.asked > 0:
		if h.asked += passed; h.asked > limit {
			h.ended = fmt.Sprintf("it did not answer for %s and was ended", limit)
			s.process.Kill()
		}
	case h.quiet >= min(limit/4, 5*time.Second):
		h.ask, h.asked = true, passed
		s.wake.Broadcast()
	}
}

// answer answers messages in place of the process. The mutex is held.
func (s *Supervisor) answer() {
	now, patience := s.opts.Now(), s.opts.Patience
	deaf := s.process == nil || s.health.quiet >= patience
	for _, p := range slices.Clone(s.pending) {
		waits := deaf && now.Sub(p.since) >= patience
		switch d := p.msg.deadline; {
		case p.silent || p.internal():
		case !d.IsZero() && (now.Sub(d) > patience || !p.sent && now.After(d)):
			s.settle(p, service.Errorf(service.CodeDeadline, "deadline"))
		case waits && p.msg.kind == typeStatus:
			s.done(p, s.info(p, now))
		case waits && p.msg.kind == typeCancel:
			s.cancelFor(p)
		}
	}
}

// settle gives a message up. The client gets its answer now, and the process is told to stop working on it. The mutex is held.
func (s *Supervisor) settle(p *pending, why *service.Error) {
	s.fail(p, why)
	if s.leave(p) {
		s.internal(typeCancel, fmt.Sprintf(`{"target":%s}`, p.msg.id))
		s.wake.Broadcast()
	}
}

// leave forgets a message that was answered, but only after the process has ended it. It returns true if the process has it. The mutex is
// held.
func (s *Supervisor) leave(p *pending) bool {
	if p.silent = p.sent; !p.silent {
		s.drop(p)
		s.wake.Broadcast()
	}
	return p.silent
}

// done answers a message with a result. The mutex is held.
func (s *Supervisor) done(p *pending, result any) {
	s.count(0, false)
	s.out.emit(event{id: p.msg.id, name: "done", casing: p.msg.casing, body: doneEvent{Seconds: s.opts.Now().Sub(p.since).Seconds(),
		Result: result}})
	s.leave(p)
}

// works reports whether a message asks for work that may take long.
func (p *pending) works() bool {
	return !p.internal() && slices.Contains([]string{typeLoad, typeUnload, typeGenerate, typeBatch, typeControlNet}, p.msg.kind)
}

// cancelFor carries out a cancel. Only the process can give up a single picture of a request. The mutex is held.
func (s *Supervisor) cancelFor(p *pending) {
	var target json.RawMessage
	var job, index *int
	var all *bool
	if fields(p.msg.body, map[string]any{"target": &target, "job": &job, "index": &index, "all": &all}) != nil || index != nil {
		return
	}
	n := 0
	everything := all != nil && *all
	for _, other := range slices.Clone(s.pending[:slices.Index(s.pending, p)]) { // only messages before the cancel
		if !other.silent && (everything && other.works() || string(other.msg.id) == string(target)) {
			n++
			s.settle(other, service.Errorf(service.CodeCancelled, "cancelled"))
		}
	}
	switch {
	case everything || n > 0:
		s.done(p, map[string]int{"cancelled": n})
	case target != nil:
		s.fail(p, service.Errorf(service.CodeNotFound, "no request with the id %s is unfinished", target))
		s.leave(p)
	}
}

// info is a status made without the process. The mutex is held.
func (s *Supervisor) info(except *pending, now time.Time) statusInfo {
	info := statusInfo{Seconds: now.Sub(s.began).Seconds(), Requests: []requestInfo{}, Models: []service.ModelInfo{}, Served: s.served,
		Restarts: s.restarts, Unanswered: s.health.quiet.Seconds()}
	for _, p := range s.pending {
		if p == except || p.silent || p.internal() {
			continue
		}
		state := service.Queued
		if p.started {
			state = service.Running
		}
		info.Requests = append(info.Requests, requestInfo{p.msg.id, service.OrderInfo{Type: p.msg.kind, State: state, Priority: p.msg.priority,
			Images: p.images, Failed: p.failed, Seconds: now.Sub(p.since).Seconds()}})
	}
	for _, k := range s.models.models {
		n := 0
		for _, p := range s.pending {
			if p.uses == k && !p.silent {
				n++
			}
		}
		info.Models = append(info.Models, service.ModelInfo{Name: k.name, Model: service.ModelName(k.model), Loaded: k.open && s.process != nil,
			Requests: n})
	}
	return info
}
