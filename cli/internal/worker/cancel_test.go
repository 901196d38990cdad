package worker

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

func TestCancel(t *testing.T) {
	gate := make(chan struct{})
	b := &fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			select {
			case <-gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	c := start(t, fakeOptions(b))
	c.send(small("a", object{"num_images": 3, "max_batch": 1}), small("b", nil), small("c", nil), small("d", nil))
	c.event("a", "started")
	c.send(`{"id":"x1","type":"cancel","request":{"target":"c"}}`)
	assert.Equal(t, "done", c.last("x1")["event"])
	assert.Equal(t, codeCancelled, c.last("c")["code"])
	c.send(`{"id":"x2","type":"cancel","request":{"target":"a","index":2}}`)
	assert.Equal(t, "done", c.last("x2")["event"])
	failed := c.event("a", "failed")
	assert.Equal(t, 2.0, failed["index"])
	assert.Equal(t, codeCancelled, failed["code"])
	c.send(`{"id":"x3","type":"cancel","request":{"target":"a","index":2}}`)
	assert.Equal(t, codeNotFound, c.last("x3")["code"])
	c.send(`{"id":"s","type":"status"}`)
	status := c.last("s")["result"].(object)
	assert.Len(t, status["requests"], 3)
	assert.Len(t, status["models"], 1)
	stop, fed := make(chan struct{}), make(chan struct{})
	go func() { // how many evaluations a takes depends on what it shares batches with
		defer close(fed)
		for {
			select {
			case gate <- struct{}{}:
			case <-stop:
				return
			}
		}
	}()
	done := c.last("a")
	close(stop)
	<-fed
	assert.Equal(t, "done", done["event"])
	assert.Equal(t, 2.0, done["images"])
	assert.Equal(t, 1.0, done["failed"])
	c.event("d", "accepted")
	c.send(`{"id":"x4","type":"cancel","request":{"all":true}}`)
	for _, id := range []string{"b", "d"} {
		c.last(id)
	}
	assert.Contains(t, []any{"done", "error"}, c.last("d")["event"])
	close(gate)
}

func TestCancelledWhileTheModelLoads(t *testing.T) {
	loading, gate := make(chan struct{}), make(chan struct{})
	b := &fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpOpen {
			close(loading)
			select {
			case <-gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	c := start(t, fakeOptions(b))
	c.send(small("a", nil), small("b", nil))
	<-loading
	c.event("b", "accepted")
	c.send(`{"id":"x","type":"cancel","request":{"target":"a"}}`)
	assert.Equal(t, codeCancelled, c.last("a")["code"], "at once")
	close(gate)
	assert.Equal(t, "done", c.last("b")["event"], "which waits for the same model")
}

func TestDeadlineAndPriority(t *testing.T) {
	gate := make(chan struct{})
	b := &fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			select {
			case <-gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}}
	c := start(t, fakeOptions(b))
	late := small("late", nil)
	late["deadline_seconds"] = 0.05
	high := small("high", nil)
	high["priority"] = 5
	c.send(small("first", nil))
	c.event("first", "progress") // its batch has begun, and takes no others
	c.send(small("low", nil), late, high)
	assert.Equal(t, codeDeadline, c.last("late")["code"])
	c.send(`{"id":"s","type":"status"}`)
	c.last("s")
	c.behind("nano") // the others are in the queue
	close(gate)
	c.last("low")
	c.last("high")
	var order []any
	for _, e := range c.all("started") {
		order = append(order, e["id"])
	}
	assert.Equal(t, []any{"first", "behind", "high", "low"}, order)
}

func TestEndOfInput(t *testing.T) {
	held := func() (_ *fake.Backend, release func()) {
		gate := make(chan struct{})
		return &fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
			if call.Op == fake.OpUNet {
				select {
				case <-gate:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		}}, func() { close(gate) }
	}
	for _, cancel := range []bool{false, true} {
		b, release := held()
		o := fakeOptions(b)
		o.CancelOnEOF = cancel
		c := talk(t.Context(), t, New(o))
		c.send(small(1, nil), small(2, nil))
		c.event(1, "started")
		require.NoError(t, c.in.Close())
		if !cancel {
			release()
		}
		c.end()
		require.NoError(t, c.err)
		for id := 1; id <= 2; id++ {
			ends := c.ofEnd(id)
			require.Len(t, ends, 1)
			assert.Equal(t, map[bool]string{false: "done", true: "error"}[cancel], ends[0]["event"])
		}
	}
	// A cancelled context, as SIGTERM cancels it, while the input stays open.
	ctx, stop := context.WithCancel(t.Context())
	b, _ := held()
	c := talk(ctx, t, New(fakeOptions(b)))
	c.send(small(1, nil), small(2, nil))
	c.event(1, "started")
	c.event(2, "accepted")
	stop()
	<-c.done
	require.ErrorIs(t, c.err, context.Canceled)
	for id := 1; id <= 2; id++ {
		ends := c.ofEnd(id)
		require.Len(t, ends, 1)
		assert.Equal(t, codeCancelled, ends[0]["code"])
	}
	// A shutdown.
	b, release := held()
	c = talk(t.Context(), t, New(fakeOptions(b)))
	c.send(small(1, nil), `{"id":2,"type":"shutdown"}`)
	c.last(2)
	release()
	<-c.done
	require.NoError(t, c.err)
	assert.Equal(t, "done", c.last(1)["event"])
	assert.Equal(t, "done", c.last(2)["event"])
}

// TestClientThatReadsNoMore holds that a client which went away ends the work.
func TestClientThatReadsNoMore(t *testing.T) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- New(fakeOptions(&fake.Backend{})).Serve(context.Background(), inR, outW)
	}()
	buf := make([]byte, 1)
	_, err := outR.Read(buf)
	require.NoError(t, err)
	require.NoError(t, outR.Close())
	go func() { _, _ = io.WriteString(inW, `{"id":1,"type":"status"}`+"\n") }()
	select {
	case err := <-ended:
		assert.ErrorIs(t, err, io.ErrClosedPipe)
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
}
