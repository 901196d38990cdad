package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// supervised returns a Supervisor of this test binary as a Server on the fake backend.
func supervised(t *testing.T, mode string) *Supervisor {
	self, err := os.Executable()
	require.NoError(t, err)
	return NewSupervisor(SupervisorOptions{Command: []string{self}, Env: []string{childEnv + "=" + mode}, Stderr: os.Stderr, Version: "test",
		Backoff: 5 * time.Millisecond, Grace: 5 * time.Second})
}

// pid is that of the process that computes now, 0 while there is none.
func (s *Supervisor) pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.Pid()
}

func (s *Supervisor) isReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

func TestSupervisorPassesOn(t *testing.T) {
	s := supervised(t, "plain")
	c := talk(t.Context(), t, s)
	c.send(`{"id":1,"type":"hello","request":{"casing":"camelCase"}}`, `{"id":2,"type":"load","request":{"model":"nano","name":"n"}}`,
		small(3, object{"model": nil, "prompt": "p"}), `nope`, small(4, object{"width": 9}),
		`{"id":5,"type":"status"}`, `{"id":6,"type":"unload"}`, `{"id":7,"type":"generate","protocol":9}`,
		`{"id":"~supervisor:1","type":"status"}`)
	assert.Equal(t, true, c.event(1, "hello")["supervised"])
	require.Equal(t, "done", c.last(2)["event"])
	require.Equal(t, "done", c.last(3)["event"])
	assert.Equal(t, "p", promptOf(t, c.event(3, "image")))
	assert.Equal(t, codeInvalid, c.last(4)["code"])
	assert.NotNil(t, get(c.last(5), "result"))
	require.Equal(t, "done", c.last(6)["event"])
	assert.Equal(t, codeWrongVersion, c.last(7)["code"])
	assert.Equal(t, codeBadMessage, c.last("~supervisor:1")["code"])
	c.end()
	require.NoError(t, c.err)
	assert.Zero(t, s.pid())
	for _, line := range c.lines {
		if strings.Contains(line, `bad_json`) {
			assert.Contains(t, line, `"exitCode":2`)
		}
	}
}

// TestFiftyKills kills the computing process fifty times at random while requests go on. Every request is answered once; those that were
// being computed fail, and only those.
func TestFiftyKills(t *testing.T) {
	const kills, ahead = 50, 6
	s := supervised(t, "plain")
	c := talk(t.Context(), t, s)
	before := runtime.NumGoroutine()
	running := map[string]bool{} // started and not ended
	died, finished, restarts := map[string]bool{}, map[string]bool{}, 0
	var problems []string
	free := make(chan struct{}, 10000)
	var mu sync.Mutex
	c.mu.Lock()
	c.on = func(e map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		id := fmt.Sprint(get(e, "id"))
		problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
		switch get(e, "event") {
		case "started":
			running[id] = true
		case "done", "error":
			if finished[id] {
				problem("%s ended twice", id)
			}
			finished[id] = true
			if get(e, "event") == "error" {
				if get(e, "code") != codeWorkerDied || !running[id] {
					problem("%s failed otherwise, or without being computed: %v", id, e)
				}
				died[id] = true
			}
			delete(running, id)
			free <- struct{}{}
		case "restarted":
			restarts++
			if len(running) > 0 {
				problem("%v were being computed when the process died, and go on", running)
			}
		}
	}
	c.mu.Unlock()
	c.send(`{"id":"load","type":"load","request":{"model":"nano","name":"n"}}`)
	c.last("load")
	<-free
	r := rand.New(rand.NewPCG(3, 4))
	stop, sent := make(chan struct{}), make(chan int, 1)
	go func() { // keeps some requests waiting, until the killing is over
		n := 0
		for ; ; n++ {
			if n >= ahead {
				select {
				case <-free:
				case <-stop:
					sent <- n
					return
				}
			}
			c.send(small(fmt.Sprint("r", n), object{"model": nil, "seed": n, "num_inference_steps": 1 + n%8}))
		}
	}()
	for range kills {
		pid := 0
		when := r.IntN(4) // 0: while it starts; 1: once it reads; others: once more requests were finished
		mu.Lock()
		before := len(finished) - len(died)
		mu.Unlock()
		c.until("a process", func() bool {
			mu.Lock()
			served := len(finished)-len(died) > before
			mu.Unlock()
			pid = s.pid()
			return pid != 0 && (when == 0 || when == 1 && s.isReady() || served)
		})
		time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
		if kill(pid) == nil {
			c.until("its end", func() bool { return s.pid() != pid })
		}
	}
	close(stop)
	n := <-sent
	c.end()
	require.NoError(t, c.err)
	mu.Lock()
	defer mu.Unlock()
	assert.Empty(t, problems)
	assert.Equal(t, kills, restarts)
	assert.Len(t, finished, n+1, "every request is answered")
	assert.NotEmpty(t, died)
	assert.Greater(t, len(finished)-len(died), kills/4, "the service goes on")
	for id := range finished {
		if id == "load" || died[id] {
			continue
		}
		assert.Equal(t, strings.TrimPrefix(id, "r"), fmt.Sprint(c.event(id, "image")["seed"]), "the picture of %s", id)
	}
	c.until("no more goroutines", func() bool { return runtime.NumGoroutine() <= before+1 })
	t.Logf("%d requests, %d failed in %d kills", n, len(died), kills)
}

// TestPoison holds that a request that kills every process before it is begun with is given up, and so is a model.
func TestPoison(t *testing.T) {
	s := supervised(t, "dies-opening")
	c := talk(t.Context(), t, s)
	c.send(`{"id":1,"type":"load","request":{"model":"nano","name":"n"}}`)
	require.Equal(t, "done", c.last(1)["event"])
	require.NoError(t, kill(s.pid()))
	c.send(`{"id":2,"type":"generate","request":{"prompt":"x"}}`)
	e := c.last(2)
	assert.Equal(t, codeNotFound, e["code"], "the model was given up after it had killed two processes: %v", e)
	c.send(`{"id":3,"type":"generate","request":{"model":"nano","prompt":"x"}}`)
	assert.Equal(t, codeWorkerDied, c.last(3)["code"])
	c.end()
	require.NoError(t, c.err)
}

func TestSupervisorOfNothing(t *testing.T) {
	s := NewSupervisor(SupervisorOptions{Command: []string{filepath.Join(t.TempDir(), "none")}, Backoff: time.Millisecond})
	c := talk(t.Context(), t, s)
	c.send(`{"id":1,"type":"status"}`)
	e := c.last(1)
	assert.Equal(t, codeWorkerDied, e["code"], "after some attempts")
	assert.Contains(t, e["message"], "no such file")
	c.end()
}

func TestSupervisorEnds(t *testing.T) {
	// Of the input, giving up.
	s := supervised(t, "plain")
	s.opts.CancelOnEOF = true
	c := talk(t.Context(), t, s)
	c.send(endless(1, nil), endless(2, nil))
	c.event(1, "started")
	c.end()
	for id := 1; id <= 2; id++ {
		assert.Equal(t, codeCancelled, c.last(id)["code"])
	}
	// Of the input, finishing although the process dies on the way.
	s = supervised(t, "plain")
	c = talk(t.Context(), t, s)
	c.send(endless(1, nil), small(2, nil))
	c.event(1, "started")
	require.NoError(t, c.in.Close())
	require.NoError(t, kill(s.pid()))
	<-c.done
	assert.Equal(t, codeWorkerDied, c.last(1)["code"])
	assert.Equal(t, "done", c.last(2)["event"])
	// Of the context, as SIGTERM ends it.
	ctx, cancel := context.WithCancel(t.Context())
	s = supervised(t, "plain")
	c = talk(ctx, t, s)
	c.send(endless(1, nil), endless(2, nil))
	c.event(1, "started")
	pid := s.pid()
	cancel()
	<-c.done
	require.ErrorIs(t, c.err, context.Canceled)
	for id := 1; id <= 2; id++ {
		assert.Equal(t, codeCancelled, c.last(id)["code"])
	}
	assert.False(t, alive(pid), "the process is gone")
}

func TestWithID(t *testing.T) {
	var m map[string]any
	require.NoError(t, json.Unmarshal(withID([]byte(`{"Id":"a","Type":"load","Request":{"x":12345678901234567}}`), json.RawMessage(`"b"`)),
		&m))
	assert.Equal(t, "b", m["Id"])
	assert.True(t, slices.Contains(Types, m["Type"].(string)))
}
