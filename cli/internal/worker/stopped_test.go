//go:build unix

package worker

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// stop makes a process stand still.
func stop(t *testing.T, pid int) {
	t.Helper()
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	for range 60_000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if strings.Contains(string(stat), ") T ") || err != nil && runtime.GOOS != "linux" {
			return
		}
		time.Sleep(time.Millisecond)
	}
	require.Fail(t, "it does not stop")
}

// TestStoppedProcess: of a process that stands still nothing stays unanswered, neither before it goes on nor after.
func TestStoppedProcess(t *testing.T) {
	s := supervised(t, "plain")
	s.opts.Patience, s.opts.Watchdog = 50*time.Millisecond, -1
	c := talk(t.Context(), t, s)
	c.send(`{"id":"load","type":"load","request":{"model":"nano","name":"n"}}`)
	require.Equal(t, "done", c.last("load")["event"])
	long := func(id string, more object) object {
		m := endless(id, object{"model": nil})
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	c.send(long("runs", nil))
	c.event("runs", "started")
	c.send(long("in time", object{"deadline_seconds": 0.2}), long("waits", object{"priority": -3}))
	c.event("waits", "accepted")
	pid := s.pid()
	stop(t, pid)
	c.send(`{"id":"s","type":"status"}`)
	status := c.last("s")["result"].(object)
	assert.Greater(t, status["unanswered_seconds"], 0.0)
	states := map[any]any{}
	for _, r := range status["requests"].([]any) {
		states[r.(object)["id"]] = r.(object)["state"]
	}
	delete(states, "in time") // it may have ended
	assert.Equal(t, map[any]any{"runs": "running", "waits": "queued"}, states)
	assert.Equal(t, "n", status["models"].([]any)[0].(object)["name"])
	assert.Equal(t, codeDeadline, c.last("in time")["code"])
	c.send(`{"id":"c","type":"cancel","request":{"target":"runs"}}`)
	assert.Equal(t, object{"cancelled": 1.0}, c.last("c")["result"])
	assert.Equal(t, codeCancelled, c.last("runs")["code"])
	c.send(`{"id":"c","type":"cancel","request":{"target":"runs"}}`, small("runs", object{"model": nil, "prompt": "the second"}))
	assert.Equal(t, codeNotFound, c.wait("an error", func(e object) bool { return e["id"] == "c" && e["event"] == "error" })["code"])
	require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
	c.event("waits", "started") // the process has given up the first
	c.send(`{"id":"then","type":"cancel","request":{"target":"waits"}}`)
	assert.Equal(t, codeCancelled, c.last("waits")["code"])
	assert.Equal(t, "done", c.last("then")["event"])
	image := c.event("runs", "image")
	assert.Equal(t, "the second", promptOf(t, image), "the id is free, and what the process has to say of the first is not heard")
	c.wait("the end of the second", func(e object) bool { return e["id"] == "runs" && e["event"] == "done" })
	assert.Equal(t, pid, s.pid())
	c.end()
	require.NoError(t, c.err)
	for id, n := range map[string]int{"runs": 2, "c": 2, "s": 1, "in time": 1, "waits": 1, "then": 1} {
		assert.Len(t, c.ofEnd(id), n, id)
	}
}

// TestWatchdog ends a process that stands still, and leaves alone one that computes for long and whose client reads nothing for long.
func TestWatchdog(t *testing.T) {
	s := supervised(t, "plain")
	s.opts.Watchdog = time.Second // a quarter of it passes before the process is asked
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	paused, pausedW := io.Pipe()
	var pause sync.Mutex
	go func() { // what a client reads that pauses
		for buf := make([]byte, 1<<16); ; {
			n, err := outR.Read(buf)
			if err != nil {
				_ = pausedW.Close()
				return
			}
			pause.Lock()
			pause.Unlock() //nolint:staticcheck // it was waited for
			_, _ = pausedW.Write(buf[:n])
		}
	}()
	c := listen(t, inW, paused)
	go func() {
		c.err = s.Serve(t.Context(), inR, outW)
		_ = outW.Close()
	}()
	c.send(endless("long", nil), small("next", object{"prompt": "n", "width": 128}))
	c.event("long", "progress")
	pid := s.pid()
	pause.Lock()
	time.Sleep(1500 * time.Millisecond)
	assert.Equal(t, pid, s.pid(), "it is heard as soon as the client reads")
	pause.Unlock()
	time.Sleep(1500 * time.Millisecond)
	assert.Equal(t, pid, s.pid(), "it answers while it computes")
	stop(t, pid)
	restarted := c.wait("a restart", func(e object) bool { return e["event"] == "restarted" })
	assert.Contains(t, restarted["reason"], "did not answer for 1s")
	assert.Equal(t, []any{"long"}, restarted["failed"])
	assert.Equal(t, codeWorkerDied, c.last("long")["code"])
	assert.Equal(t, "n", promptOf(t, c.event("next", "image")))
	assert.False(t, alive(pid), "it is gone")
	c.end()
	require.NoError(t, c.err)
}

// TestDeadlineOutlivesTheProcess: what is left of a deadline is what the next process is given. Of an hour that is a moment by the
// supervisor's clock, which stands still until it is moved on. The process alone looks at the deadline.
func TestDeadlineOutlivesTheProcess(t *testing.T) {
	s := supervised(t, "plain")
	began, passed := time.Now(), atomic.Int64{}
	s.opts.Now = func() time.Time { return began.Add(time.Duration(passed.Load())) }
	s.opts.Patience = 24 * time.Hour
	c := talk(t.Context(), t, s)
	c.send(endless("long", nil))
	c.event("long", "started")
	m := endless("late", object{"prompt": "another kind", "width": 128})
	m["DeadlineSeconds"] = 3600
	c.send(m)
	c.event("late", "accepted")
	passed.Store(int64(time.Hour - 100*time.Millisecond))
	require.NoError(t, kill(s.pid()))
	assert.Equal(t, codeWorkerDied, get(c.last("long"), "code"))
	assert.Equal(t, codeDeadline, get(c.last("late"), "code"))
	c.end()
	require.NoError(t, c.err)
}

// TestClientThatReadsNothing: the end of the context is in order as far as the client lets it be, and comes in any case.
func TestClientThatReadsNothing(t *testing.T) {
	for name, s := range map[string]server{
		"server": func() server {
			o := fakeOptions(&fake.Backend{})
			o.Stall = 100 * time.Millisecond
			return New(o)
		}(),
		"supervisor": func() server {
			s := supervised(t, "plain")
			s.opts.Stall = 100 * time.Millisecond
			return s
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			inR, inW := io.Pipe()
			outR, outW := io.Pipe()
			done := make(chan error, 1)
			go func() { done <- s.Serve(ctx, inR, outW) }()
			buf := make([]byte, 10)
			_, err := io.ReadFull(outR, buf)
			require.NoError(t, err)
			go func() { // it may be that nobody reads it
				_, _ = io.WriteString(inW, `{"id":1,"type":"generate","request":{"model":"nano","prompt":"x","steps":1000}}`+"\n")
			}()
			time.Sleep(200 * time.Millisecond)
			cancel()
			select {
			case err := <-done:
				require.ErrorIs(t, err, context.Canceled)
			case <-time.After(time.Minute):
				t.Fatal("it does not end")
			}
			if s, ok := s.(*Supervisor); ok {
				r := s.running.Load()
				for i := 0; r != nil && alive(r.Pid()); i++ {
					require.Less(t, i, 6000, "the process stays")
					time.Sleep(10 * time.Millisecond)
				}
			}
			_, _ = inR.Close(), outR.Close()
		})
	}
}
