package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestReloadFails: a model that cannot be opened after the process died is not forgotten: a request that is for it says why it cannot be
// made, is made on no other model, and is made as soon as the model can be opened.
func TestReloadFails(t *testing.T) {
	away := filepath.Join(t.TempDir(), "away")
	s := supervised(t, "fails-opening-while:"+away)
	s.models.most = 2
	c := talk(t.Context(), t, s)
	c.send(`{"id":"other","type":"load","request":{"model":{"model":"nano","threads":2},"name":"other"}}`,
		`{"id":"load","type":"load","request":{"model":"nano","name":"n"}}`)
	require.Equal(t, "done", c.last("load")["event"])
	require.Equal(t, "done", c.last("other")["event"])
	require.NoError(t, os.WriteFile(away, nil, 0o600))
	require.NoError(t, kill(s.pid()))
	warned := c.wait("a warning", func(e object) bool { return e["event"] == "warning" && e["model"] == "n" })
	assert.Nil(t, warned["id"])
	assert.Contains(t, warned["message"], "the disk is away")
	c.send(small("unnamed", object{"model": nil}), small("named", object{"model": "n"}))
	for _, id := range []string{"unnamed", "named"} {
		e := c.last(id)
		assert.Equal(t, "error", e["event"], id)
		assert.Contains(t, e["message"], "the disk is away", id)
	}
	c.send(`{"id":"status","type":"status"}`)
	assert.Len(t, c.last("status")["result"].(object)["models"], 2)
	c.until("a warning for each model", func() bool { return len(c.all("warning")) == 2 })
	require.NoError(t, kill(s.pid())) // it is kept over another death, too
	c.until("two more warnings", func() bool { return len(c.all("warning")) == 4 })
	require.NoError(t, os.Remove(away))
	c.send(small("again", object{"model": nil, "output": filepath.Join(t.TempDir(), "{model}.png")}), small("also", object{"model": "n"}),
		small("third", object{"model": "other"}))
	for _, id := range []string{"again", "also", "third"} {
		assert.Equal(t, "done", c.last(id)["event"], id)
	}
	c.end()
	require.NoError(t, c.err)
}

// TestModelUsedLastOutlivesTheProcess: a request that names no model is made on the one used last, in the next process, too.
func TestModelUsedLastOutlivesTheProcess(t *testing.T) {
	s := supervised(t, "plain")
	s.models.most = 2
	c := talk(t.Context(), t, s)
	// die ends the process, and current says which model the next one uses where none is named.
	n := 0
	die := func() { require.NoError(t, kill(s.pid())) }
	asked := 0
	current := func() any {
		n++
		id := fmt.Sprint("q", n)
		c.send(endless(id, object{"model": nil}))
		if c.until("it begins", func() bool { return len(c.of(id)) > 1 }); get(c.of(id)[1], "event") == "error" {
			return get(c.last(id), "code")
		}
		for { // another model may still be loading, which counts as a request of it
			asked++
			c.send(fmt.Sprintf(`{"id":"s%d","type":"status"}`, asked))
			var busy []any
			for _, m := range c.last(fmt.Sprint("s", asked))["result"].(object)["models"].([]any) {
				if m.(object)["requests"] != 0.0 {
					busy = append(busy, m.(object)["name"])
				}
			}
			if len(busy) == 1 {
				c.send(object{"id": "stop " + id, "type": "cancel", "request": object{"target": id}})
				require.Equal(t, codeCancelled, get(c.last(id), "code"))
				return busy[0]
			}
			require.NotEmpty(t, busy, "the request has ended")
			time.Sleep(10 * time.Millisecond)
		}
	}
	c.send(`{"id":"a","type":"load","request":{"model":{"model":"nano","threads":1},"name":"a"}}`,
		`{"id":"b","type":"load","request":{"model":{"model":"nano","threads":2},"name":"b"}}`)
	require.Equal(t, "done", c.last("b")["event"])
	c.send(small("on a", object{"model": "a"}))
	require.Equal(t, "done", c.last("on a")["event"])
	die()
	assert.Equal(t, "a", current(), "not the one loaded last")

	c.send(small("on c", object{"model": object{"model": "nano", "threads": 3}}))
	require.Equal(t, "done", c.last("on c")["event"])
	die()
	assert.Equal(t, "nano", current(), "one that was opened for a request")

	c.send(`{"id":"u","type":"unload","request":{"name":"nano"}}`)
	require.Equal(t, "done", c.last("u")["event"])
	die()
	assert.Equal(t, codeNotFound, current(), "it was unloaded, and no other takes its place")

	// What waits for the first is made on it, whatever was named after it.
	c.send(endless("on a again", object{"model": "a"}), small("waits", object{"model": nil}),
		small("after", object{"model": object{"model": "nano", "threads": 5}}))
	c.event("on a again", "started")
	c.event("after", "accepted")
	die()
	require.Equal(t, codeWorkerDied, c.last("on a again")["code"])
	require.Equal(t, "done", c.last("waits")["event"])
	c.last("after") // it may have been begun with
	c.end()
	require.NoError(t, c.err)
}
