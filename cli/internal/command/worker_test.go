package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/cli/internal/worker"
)

func TestWorker(t *testing.T) {
	b := newBench(t)
	b.stdin = `{"id":1,"type":"generate","request":{"model":"nano","prompt":"a red circle","steps":2,"seed":5,"width":64,"height":64,"output":"` + b.path("{seed}.png") + `"}}
nonsense
{"Id":2,"Type":"generate","Request":{"Model":"nano","Prompt":"x","Output":"{what}.png","SamplerName":"Eular"}}
`
	require.Equal(t, ExitOK, b.run("worker"), b.stderr)
	events := b.events()
	assert.Equal(t, "hello", events[0]["event"])
	assert.Equal(t, "cpu 0.0.1", events[0]["library"])
	last := map[any]map[string]any{}
	for _, e := range events {
		if id := e["id"]; id != nil {
			last[id] = e
		}
		if id := e["Id"]; id != nil {
			last[id] = e
		}
	}
	assert.Equal(t, "done", last[1.0]["event"])
	assert.Equal(t, "error", last[2.0]["Event"])
	fields := last[2.0]["Fields"].([]any)
	require.Len(t, fields, 2)
	assert.Equal(t, "Output", fields[0].(map[string]any)["Path"])
	assert.Equal(t, "SamplerName", fields[1].(map[string]any)["Path"])
	_, texts := readPNG(t, b.path("5.png"))
	assert.Contains(t, texts["parameters"], "Seed: 5")
	assert.Contains(t, texts["daguerre"], `"sha256"`)

	for _, args := range [][]string{{"worker", "x"}, {"worker", "--on-eof", "wait"}, {"worker", "--queue", "0"}, {"worker", "--max-line",
		"100000"}, {"worker", "--model", "x"}} {
		assert.Equal(t, ExitUsage, b.run(args...), args)
	}
}

// TestWorkerIsDocumented holds docs/worker.md against the protocol.
func TestWorkerIsDocumented(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(docs, "worker.md"))
	require.NoError(t, err)
	for _, name := range worker.Types {
		assert.Contains(t, string(data), "| `"+name+"` |")
	}
	for _, name := range worker.Events {
		assert.Contains(t, string(data), "| `"+name+"` |")
	}
	var codes strings.Builder
	codes.WriteString("| code | means |\n|---|---|\n")
	for _, c := range worker.Codes {
		codes.WriteString("| `" + string(c.Code) + "` | " + c.Meaning + " |\n")
	}
	checkGenerated(t, "worker.md", "codes", codes.String())
}
