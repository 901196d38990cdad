package worker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

// TestKeysGivenTwice: of two keys that are one, libraries take the one or the other, so that the parts of the program would not agree. Each
// such line is refused and answered, of every type, at every depth, with and without a supervisor.
func TestKeysGivenTwice(t *testing.T) {
	var lines, paths []string
	add := func(path, line string, args ...any) {
		lines, paths = append(lines, fmt.Sprintf(line, args...)), append(paths, path)
	}
	for _, kind := range Types {
		add("Id", `{"id":"a","Id":"b","type":%q}`, kind)
		add("id", `{"id":"a","type":%q,"id":"b"}`, kind)
		add("Type", `{"id":"a","type":"status","Type":%q}`, kind)
		add("Request", `{"id":"a","type":%q,"request":{},"Request":{}}`, kind)
		add("request.Target", `{"id":"a","type":%q,"request":{"target":1,"Target":2}}`, kind)
	}
	add("request.Model", `{"id":"a","type":"load","request":{"model":"nano","Model":"other"}}`)
	add("request.model.Threads", `{"id":"a","type":"load","request":{"model":{"model":"nano","threads":1,"Threads":2}}}`)
	add("request.numImages", `{"id":"a","type":"generate","request":{"model":"nano","num_images":1,"numImages":2}}`)
	add("request.jobs[1].Seed", `{"id":"a","type":"batch","request":{"jobs":[{"seed":1},{"seed":1,"Seed":2}]}}`)
	add("request.lora[0].weight", `{"id":"a","type":"generate","request":{"lora":[{"name":"x","weight":1,"weight":2}]}}`)
	add("deliver.Previews", `{"id":"a","type":"generate","deliver":{"previews":1,"Previews":2}}`)
	add("deadlineSeconds", `{"id":"a","type":"generate","deadline_seconds":1,"deadlineSeconds":2}`)
	add("ID", `{"id":null,"ID":"a","type":"status"}`)
	for name, s := range map[string]server{"server": New(fakeOptions(&fake.Backend{})), "supervisor": supervised(t, "plain")} {
		t.Run(name, func(t *testing.T) {
			c := talk(t.Context(), t, s)
			for i, line := range lines {
				c.send(line)
				c.until(line, func() bool { return len(c.all("error")) > i })
				e := c.all("error")[i]
				assert.Equal(t, codeBadMessage, get(e, "code"), line)
				assert.Equal(t, paths[i], get(get(e, "fields").([]any)[0].(object), "path"), line)
				if ambiguous := strings.EqualFold(paths[i], "id"); ambiguous {
					assert.Nil(t, get(e, "id"), line)
					assert.Equal(t, float64(i+1), get(e, "line"), line)
				} else {
					assert.Equal(t, "a", get(e, "id"), line)
				}
			}
			c.end()
			require.NoError(t, c.err)
			assert.Empty(t, c.all("done"))
		})
	}
}

// TestByteOrderMark: one at the beginning of the stream is no part of the first line.
func TestByteOrderMark(t *testing.T) {
	for name, s := range map[string]server{"server": New(fakeOptions(&fake.Backend{})), "supervisor": supervised(t, "plain")} {
		t.Run(name, func(t *testing.T) {
			c := talk(t.Context(), t, s)
			c.send("\ufeff"+`{"id":1,"type":"status"}`, "\ufeff"+`{"id":2,"type":"status"}`)
			assert.Equal(t, "done", c.last(1)["event"])
			c.until("an answer to the second line", func() bool { return len(c.all("error")) == 1 })
			assert.Equal(t, codeBadJSON, c.all("error")[0]["code"], "elsewhere it is no JSON")
			c.end()
			require.NoError(t, c.err)
		})
	}
}
