package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/daguerre-go/daguerre/internal/service"
	"github.com/daguerre-go/daguerre/internal/words"
)

// SupervisedEnv is set in the environment of a supervised process, to the number of times that it was started again.
const SupervisedEnv = "DAGUERRE_SUPERVISED"

// RestartsOf reads the value of SupervisedEnv; 0 where it is none.
func RestartsOf(value string) int {
	n, _ := strconv.Atoi(value)
	return n
}

// supervise runs processes until there is nothing left to do.
func (s *Supervisor) supervise() {
	failures := 0
	for {
		s.mu.Lock()
		env := slices.Concat(s.opts.Env, []string{SupervisedEnv + "=" + strconv.Itoa(s.restarts)})
		s.mu.Unlock()
		c, err := service.StartProcess(s.opts.Command, env, s.opts.Stderr)
		if err == nil {
			err = s.runChild(c)
		}
		s.mu.Lock()
		died := s.died(err)
		over := s.closing && len(s.pending) == 0 || s.stopped
		if over {
			s.cancelAllLocked()
		}
		if s.answered || c != nil && time.Since(c.Began) > maxBackoff {
			failures = 0
		}
		s.answered, s.ready, s.begun, s.health = false, false, false, health{}
		s.mu.Unlock()
		if over {
			return
		}
		if died != "" {
			s.opts.Log.Error("the computing process died and is started again", "reason", died)
		}
		failures++
		s.pause(failures)
	}
}

// pause waits before a start: not at all before the first one after success.
func (s *Supervisor) pause(failures int) {
	if failures <= 1 {
		return
	}
	delay := min(s.opts.Backoff<<min(failures-2, 20), maxBackoff)
	deadline := time.Now().Add(delay)
	t := time.AfterFunc(delay, func() { s.mu.Lock(); defer s.mu.Unlock(); s.wake.Broadcast() })
	defer t.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.stopped && time.Now().Before(deadline) && (!s.closing || len(s.pending) > 0) {
		s.wake.Wait()
	}
}

// runChild serves through a process until it ends, and returns how it ended.
func (s *Supervisor) runChild(c *service.Process) error {
	s.mu.Lock()
	s.process = c
	s.running.Store(c)
	if s.stopped {
		c.Terminate(s.opts.Grace)
	}
	s.requeue()
	s.mu.Unlock()
	sender := make(chan struct{})
	go func() { defer close(sender); s.send(c) }()
	s.relay(c.Out)
	s.mu.Lock()
	s.process = nil
	s.wake.Broadcast()
	s.mu.Unlock()
	_ = c.In.Close()
	<-sender
	defer s.running.Store(nil)
	return c.Wait()
}

// requeue puts what a new process has to hear before everything else at the head. The mutex is held.
func (s *Supervisor) requeue() {
	rest := s.pending
	s.pending = nil
	if s.greeting != nil {
		p := s.internal(typeHello, "{}")
		p.msg.raw = withID(s.greeting, p.msg.id)
	}
	for _, m := range s.models.after(rest) {
		p := s.internal(typeLoad, "{}")
		p.again = m
		p.msg.raw = with(withID(m.line, p.msg.id), reloadKey, m == s.models.current)
	}
	now := s.opts.Now()
	for _, p := range rest {
		p.sent, p.started = false, false
		if len(p.changes) > 0 {
			p.msg.raw = with(p.msg.raw, changesKey, p.changes)
		}
		if d := p.msg.deadline; !d.IsZero() { // the time that is left of it
			p.msg.raw = with(p.msg.raw, "deadline_seconds", max(d.Sub(now), time.Millisecond).Seconds())
		}
	}
	s.pending = append(s.pending, rest...)
	s.held = 0
	for _, p := range s.pending {
		s.held += len(p.msg.raw)
	}
}

// withID returns a message with another id.
func withID(line []byte, id json.RawMessage) []byte { return with(line, "id", id) }

// with returns a message with another value of a field around the request.
func with(line []byte, field string, value any) []byte {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var table map[string]any
	if d.Decode(&table) != nil {
		return line
	}
	at := field
	for key := range table {
		if words.FoldKey(key, "_") == words.FoldKey(field, "_") {
			at = key
		}
	}
	table[at] = value
	out, err := json.Marshal(table)
	if err != nil {
		return line
	}
	return out
}

// send writes messages to the process in their order, until it ends or nothing will come any more.
func (s *Supervisor) send(c *service.Process) {
	for {
		s.mu.Lock()
		var line []byte
		for line == nil && s.process == c {
			if line = s.nextLine(); line != nil || s.closing && len(s.pending) == 0 {
				break
			}
			s.wake.Wait()
		}
		s.mu.Unlock()
		if line == nil {
			_ = c.In.Close()
			return
		}
		const piece = 64 << 10
		for rest := append(slices.Clip(line), '\n'); len(rest) > 0; {
			n, err := c.In.Write(rest[:min(len(rest), piece)])
			if err != nil {
				return // it is ending; the relay notices
			}
			if rest = rest[n:]; len(rest) > 0 {
				s.mu.Lock()
				s.health.sound() // it reads
				s.mu.Unlock()
			}
		}
	}
}

// nextLine takes the next line for the process; nil: there is none now. The mutex is held.
func (s *Supervisor) nextLine() []byte {
	if s.health.ask {
		s.health.ask = false
		return []byte(pingLine)
	}
	for i, p := range s.pending {
		if p.sent {
			continue
		}
		if s.find(p.msg.id) < i {
			return nil // an earlier message with this id was answered, but the process still works on it
		}
		p.sent = true
		return p.msg.raw
	}
	return nil
}

// heard is what the supervisor reads of an event.
type heard struct {
	ID      json.RawMessage `json:"id"`
	Event   string          `json:"event"`
	Code    service.Code    `json:"code"`
	Message string          `json:"message"`
	Result  struct {
		Name string `json:"name"`
	} `json:"result"`
}

// relay passes the process's events on until it closes its output.
func (s *Supervisor) relay(out io.Reader) {
	lines := newLineReader(out, 1<<30)
	for {
		line, err := lines.next()
		if err != nil {
			return
		}
		var h heard
		if err := json.Unmarshal(line, &h); err != nil {
			s.opts.Log.Error("the computing process wrote something that is no event", "line", words.Clip(string(line)))
			continue
		}
		if s.hear(&h) {
			s.out.write(append(line, '\n'))
		}
	}
}

// hear books an event and reports whether the client is to have it.
func (s *Supervisor) hear(h *heard) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready, s.unready = true, 0
	s.health.sound()
	i := s.find(h.ID)
	if i < 0 {
		return false // the process's own greeting, or the answer to a ping
	}
	p := s.pending[i]
	switch h.Event {
	case "accepted":
		s.models.use(p)
		if p.accepted {
			return false
		}
		p.accepted = true
	case "started":
		p.started, s.begun = true, true
		p.changes = nil // it is given to no other process
	case "image":
		p.images++
	case "failed":
		p.failed++
	case "done", "error":
		s.drop(p)
		s.answered = true
		s.learn(p, h)
		s.wake.Broadcast()
	}
	return !p.internal() && !p.silent
}

// learn updates what is known of models and adapters from the last event of a message. The mutex is held.
func (s *Supervisor) learn(p *pending, h *heard) {
	ok := h.Event == "done"
	switch {
	case p.again != nil && ok:
		p.again.strikes = 0
	case p.again != nil && !s.closing:
		s.opts.Log.Error("a model could not be loaded again", "name", p.again.name, "reason", h.Message)
		s.out.emit(event{name: "warning", casing: s.casing, body: reloadEvent{p.again.name, "the model could not be loaded again (" + h.Message +
			"); it is tried again for each request that is for it, and after the next restart"}})
	case p.internal():
	default:
		s.models.ended(p, h)
		if ok && p.msg.kind == typeLoRA {
			s.keepChange(p)
		}
	}
	if !p.internal() && !p.silent {
		s.count(p.images, !ok)
	}
}

// keepChange notes that an adapter of a request was changed, which another process that is given the request has to know, too. The mutex
// is held.
func (s *Supervisor) keepChange(change *pending) {
	target, r, err := readChange(change.msg.body)
	i := s.findOpen(target)
	if err != nil || r.Name == "" || i < 0 || s.pending[i].started {
		return
	}
	p := s.pending[i]
	if k := slices.IndexFunc(p.changes, r.Same); k >= 0 {
		p.changes[k] = p.changes[k].Then(r)
		return
	}
	p.changes = append(p.changes, r)
}

// died settles what an ended process leaves behind: what it was computing fails, as does what processes die of again and again before
// they begin with it. It returns the reason, or "" where the end was in order. The mutex is held.
func (s *Supervisor) died(err error) string {
	if s.closing && len(s.pending) == 0 || s.stopped {
		return ""
	}
	reason := "it ended by itself"
	var exit *exec.ExitError
	switch {
	case s.health.ended != "":
		reason = s.health.ended
	case errors.As(err, &exit):
		reason = exit.String()
	case err != nil:
		reason = err.Error()
	}
	s.restarts++
	body := restartedEvent{Restarts: s.restarts, Reason: reason, Failed: []json.RawMessage{}}
	s.blame()
	for _, p := range slices.Clone(s.pending) {
		switch {
		case p.silent || p.internal() && !p.lasting:
			s.drop(p)
			if p.again != nil && p.started {
				s.strike(p.again)
			}
		case p.started || p.blames >= maxBlames || s.unready >= maxUnready:
			s.drop(p)
			body.Failed = append(body.Failed, p.msg.id)
			s.fail(p, service.Errorf(codeWorkerDied, "the computing process died: %s", reason))
		}
	}
	s.out.emit(event{name: "restarted", casing: s.casing, body: body})
	return reason
}

// blame finds the request that the process may have died of where it was computing none: the first that it was given.
func (s *Supervisor) blame() {
	if !s.ready {
		s.unready++
		return
	}
	if s.begun {
		return
	}
	for _, p := range s.pending {
		if p.sent && !p.internal() && !p.silent {
			p.blames++
			return
		}
	}
}

// strike counts a death during the loading of a model, which is given up after several.
func (s *Supervisor) strike(m *known) {
	if m.strikes++; m.strikes >= maxStrikes {
		s.opts.Log.Error("the computing process died again and again while it loaded a model, which is given up", "name", m.name)
		s.models.forget(m)
	}
}

// internal reports whether a message is the supervisor's own.
func (p *pending) internal() bool { return strings.HasPrefix(string(p.msg.id), `"`+internalID) }

// cancelAllLocked answers what is left when everything ends.
func (s *Supervisor) cancelAllLocked() {
	for _, p := range slices.Clone(s.pending) {
		s.drop(p)
		s.fail(p, service.Errorf(service.CodeCancelled, "cancelled"))
	}
}
