package worker

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// setWeight is a change of the adapter of a request.
func setWeight(id, target string, weight float64) object {
	return object{"id": id, "type": "lora", "request": object{"target": target, "name": "ink", "weight": weight}}
}

// pictures lists the pictures of a finished request by their indices.
func (c *client) pictures(id string) []any {
	c.t.Helper()
	require.Equal(c.t, "done", c.last(id)["event"], c.of(id))
	var out []any
	for _, e := range c.of(id) {
		if e["event"] == "image" {
			require.InDelta(c.t, len(out), e["index"], 0)
			out = append(out, e["data"])
		}
	}
	return out
}

// TestLiveAdapters changes an adapter of one of several requests that wait, and of one that runs. A change reaches all of its request that
// is computed later, and nothing else, whether it was accepted before or after.
func TestLiveAdapters(t *testing.T) {
	stops, goes := make(chan struct{}), make(chan struct{})
	var mu sync.Mutex
	armed := 0 // the evaluation before which the fake stops; 0: never
	stopAt := func(n int) { mu.Lock(); armed = n; mu.Unlock() }
	c := start(t, fakeOptions(&fake.Backend{Hook: func(_ context.Context, call fake.Call) error {
		if call.Op != fake.OpUNet {
			return nil
		}
		mu.Lock()
		stop := armed == 1
		armed = max(armed-1, 0)
		mu.Unlock()
		if stop {
			stops <- struct{}{}
			<-goes
		}
		return nil
	}}))
	model := object{"model": "nano", "lora_directories": []string{adapterFolder(t)}}
	c.send(object{"id": "load", "type": "load", "request": object{"model": model}})
	require.Equal(t, "done", c.last("load")["event"])
	c.send(inked("quarter", 0.25, nil), inked("full", 1, nil), small("plain", object{"model": nil, "num_inference_steps": 4}), inked("next",
		1, object{"seed": 8}))
	quarter, full, plain, next := c.pictures("quarter")[0], c.pictures("full")[0], c.pictures("plain")[0], c.pictures("next")[0]
	assert.NotEqual(t, quarter, full)
	assert.NotEqual(t, plain, quarter)

	stopAt(1)
	c.send(small("first", object{"model": nil}))
	<-stops
	c.send(inked("before", 0.25, nil), inked("changed", 0.25, nil), small("without 1", object{"model": nil, "num_inference_steps": 4}))
	c.send(setWeight("x1", "changed", 0.5), setWeight("x2", "changed", 1), setWeight("x3", "without 1", 1), setWeight("x4", "nobody", 1),
		setWeight("x5", "x1", 1),
		object{"id": "x6", "type": "lora", "request": object{"target": "before", "name": "pen", "weight": 1}},
		object{"id": "x7", "type": "lora", "request": object{"target": "before"}})
	for id, code := range map[string]string{"x3": codeNotRunning, "x4": codeNotFound, "x5": codeNotFound, "x6": codeNotFound} {
		assert.Equal(t, code, c.last(id)["code"], id)
	}
	weightOf := func(id string) any {
		return c.last(id)["result"].(object)["adapters"].([]any)[0].(object)["weight"]
	}
	assert.Equal(t, 0.5, weightOf("x1"))
	assert.Equal(t, 1.0, weightOf("x2"))
	assert.Equal(t, 0.25, weightOf("x7"))
	c.send(inked("after", 0.25, nil), small("without 2", object{"model": nil, "num_inference_steps": 4}))
	c.send(object{"id": "x8", "type": "lora", "request": object{"target": "after"}}, object{"id": "x9", "type": "lora",
		"request": object{"target": "without 2"}})
	assert.Equal(t, 0.25, weightOf("x8"))
	assert.Empty(t, c.last("x9")["result"].(object)["adapters"])
	c.behind(model)
	goes <- struct{}{}
	assert.Equal(t, []any{quarter}, c.pictures("before"))
	assert.Equal(t, []any{full}, c.pictures("changed"))
	assert.Equal(t, []any{quarter}, c.pictures("after"))
	for _, id := range []string{"without 1", "without 2"} {
		assert.Equal(t, []any{plain}, c.pictures(id))
	}
	for _, e := range c.all("progress") {
		switch id := e["id"]; id {
		case "before", "changed", "after":
			assert.Equal(t, 1.0, e["batch"], "%s shares no batch", id)
		case "without 1", "without 2":
			assert.Equal(t, 2.0, e["batch"], id)
		}
	}

	// While the first picture of two is computed: from its next step on, and from the second's first.
	stopAt(3)
	c.send(inked("running", 0.25, object{"num_images": 2, "max_batch": 1}))
	<-stops
	c.send(setWeight("y1", "running", 1))
	require.Equal(t, 1.0, weightOf("y1"))
	goes <- struct{}{}
	made := c.pictures("running")
	require.Len(t, made, 2)
	assert.NotEqual(t, quarter, made[0])
	assert.NotEqual(t, full, made[0], "its first steps had the weight of before")
	assert.Equal(t, next, made[1])
	c.send(setWeight("y2", "running", 0))
	assert.Equal(t, codeNotFound, c.last("y2")["code"], "it has ended")
}

// TestLiveAdaptersWhileTheModelLoads: changes wait for what they change, and are made in their order.
func TestLiveAdaptersWhileTheModelLoads(t *testing.T) {
	loading, gate := make(chan struct{}), make(chan struct{})
	c := start(t, fakeOptions(&fake.Backend{Hook: func(_ context.Context, call fake.Call) error {
		if call.Op == fake.OpOpen {
			close(loading)
			<-gate
		}
		return nil
	}}))
	model := object{"model": "nano", "lora_directories": []string{adapterFolder(t)}}
	c.send(inked("a", 0.25, object{"model": model}), inked("given up", 0.25, object{"model": model}))
	<-loading
	c.send(setWeight("x1", "a", 0.75), setWeight("x2", "a", 0.5), setWeight("x3", "given up", 1), setWeight("x4", "a", 1),
		`{"id":"c1","type":"cancel","request":{"target":"x4"}}`, `{"id":"c2","type":"cancel","request":{"target":"given up"}}`)
	assert.Equal(t, codeCancelled, c.last("x4")["code"])
	assert.Equal(t, codeNotRunning, c.last("x3")["code"])
	assert.Empty(t, c.ofEnd("x1"))
	close(gate)
	made := c.pictures("a")
	require.Equal(t, "done", c.last("x2")["event"])
	c.send(inked("half", 0.5, object{"model": model}))
	assert.Equal(t, c.pictures("half"), made)
}

// TestLiveAdaptersOutliveTheProcess: what was changed before a request was begun with holds in the next process, too.
func TestLiveAdaptersOutliveTheProcess(t *testing.T) {
	s := supervised(t, "plain")
	c := talk(t.Context(), t, s)
	c.send(object{"id": "load", "type": "load", "request": object{"model": object{"model": "nano",
		"lora_directories": []string{adapterFolder(t)}}, "name": "n"}})
	require.Equal(t, "done", c.last("load")["event"])
	c.send(endless("long", object{"model": nil}))
	c.event("long", "started")
	c.send(inked("changed", 0.25, nil), inked("left", 0.25, nil), setWeight("x1", "changed", 1), setWeight("x2", "changed", 0.5),
		object{"id": "x3", "type": "lora", "request": object{"target": "changed", "name": "INK", "unet_weight": 1}}, setWeight("x4", "left", 3),
		setWeight("x5", "left", 0.25))
	require.Equal(t, "done", c.last("x5")["event"])
	require.NoError(t, kill(s.pid()))
	assert.Equal(t, codeWorkerDied, c.last("long")["code"])
	changed, left := c.pictures("changed"), c.pictures("left")
	c.send(inked("quarter", 0.25, nil), inked("full", 1, nil))
	assert.Equal(t, c.pictures("full"), changed)
	assert.Equal(t, c.pictures("quarter"), left)
	c.end()
	require.NoError(t, c.err)
	assert.Len(t, c.ofEnd("x1"), 1)
}
