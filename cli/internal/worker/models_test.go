package worker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend/fake"
)

func TestModels(t *testing.T) {
	b := &fake.Backend{}
	o := fakeOptions(b)
	o.MaxModels = 2
	c := start(t, o)
	c.send(`{"id":1,"type":"load","request":{"model":"nano","name":"one"}}`)
	loaded := c.last(1)
	require.Equal(t, "done", loaded["event"], loaded)
	assert.Equal(t, "one", loaded["result"].(object)["name"])
	assert.Equal(t, true, loaded["result"].(object)["loaded"])
	c.send(`{"id":2,"type":"load","request":{"model":{"model":"nano","threads":2},"name":"two"}}`,
		`{"id":3,"type":"load","request":{"model":"nano","threads":3,"name":"two"}}`)
	require.Equal(t, "done", c.last(2)["event"])
	assert.Equal(t, codeInvalid, c.last(3)["code"], "another model of that name is open")
	c.send(small(4, object{"model": "one"}), small(5, object{"model": nil}), small(6, object{"model": object{"model": "nano", "threads": 2}}))
	for id := 4; id <= 6; id++ {
		require.Equal(t, "done", c.last(id)["event"])
	}
	assert.Equal(t, 2, b.LiveModels())
	c.send(`{"id":7,"type":"load","request":{"model":{"model":"nano","threads":3},"name":"three"}}`)
	require.Equal(t, "done", c.last(7)["event"])
	assert.Equal(t, 2, b.LiveModels(), "the one that was not used for longest was closed")
	c.send(`{"id":8,"type":"status"}`)
	var open []any
	for _, m := range c.last(8)["result"].(object)["models"].([]any) {
		open = append(open, m.(object)["name"])
	}
	assert.Equal(t, []any{"two", "three"}, open)
	c.send(`{"id":9,"type":"unload","request":{"name":"two"}}`, `{"id":10,"type":"unload"}`)
	require.Equal(t, "done", c.last(9)["event"])
	require.Equal(t, "done", c.last(10)["event"])
	assert.Equal(t, 0, b.LiveModels())
	c.send(`{"id":11,"type":"load","request":{"model":{"modul":"nano"}}}`, `{"id":12,"type":"load"}`,
		`{"id":13,"type":"load","request":{"model":"nano","name":3}}`)
	assert.Equal(t, codeInvalid, c.last(11)["code"])
	assert.Equal(t, codeInvalid, c.last(12)["code"])
	assert.Equal(t, codeInvalid, c.last(13)["code"])
}

func TestModelsInUseAndFullQueue(t *testing.T) {
	gate := make(chan struct{})
	b := &fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			<-gate
		}
		return nil
	}}
	o := fakeOptions(b)
	o.Limit = 2
	c := start(t, o)
	c.send(small(1, nil))
	c.event(1, "started")
	c.send(small(2, object{"model": object{"model": "nano", "threads": 2}}), small(3, nil), small(4, nil), `{"id":5,"type":"status"}`)
	assert.Equal(t, codeBusy, c.last(2)["code"])
	assert.Equal(t, codeQueueFull, c.last(4)["code"])
	assert.Equal(t, "done", c.last(5)["event"], "a status is always answered")
	close(gate)
	assert.Equal(t, "done", c.last(3)["event"])
}

func TestFailures(t *testing.T) {
	var fail error
	b := &fake.Backend{Hook: func(_ context.Context, call fake.Call) error {
		if call.Op == fake.OpDecodeLatents {
			return fail
		}
		return nil
	}}
	c := start(t, fakeOptions(b))
	fail = errFakeMemory
	c.send(small(1, nil))
	e := c.last(1)
	assert.Equal(t, codeOutOfMemory, e["code"])
	assert.Equal(t, 4.0, e["exit_code"])
	fail = errors.New("broken")
	c.send(`{"id":2,"type":"batch","request":{"model":"nano","width":64,"height":64,"steps":1,"jobs":[{"prompt":"a"},{"prompt":"b","init_image":"/none.png"}]}}`)
	assert.Equal(t, "error", c.last(2)["event"])
	fail = nil
	c.send(`{"id":3,"type":"batch","request":{"model":"nano","width":64,"height":64,"steps":1,"jobs":[{"prompt":"a"},{"prompt":"b","init_image":"/none.png"}]}}`)
	e = c.last(3)
	assert.Equal(t, "done", e["event"])
	assert.Equal(t, 1.0, e["images"])
	failed := c.event(3, "failed")
	assert.Equal(t, 1.0, failed["job"])
	assert.Nil(t, failed["index"])
	assert.Equal(t, "jobs[1].init_image", failed["fields"].([]any)[0].(object)["path"])
}

func TestInformation(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "canny.safetensors"), nil, 0o600))
	c := start(t, fakeOptions(&fake.Backend{}))
	c.send(object{"id": 0, "type": "load", "request": object{"model": object{"model": "nano", "controlnet_directories": []string{dir}}}})
	require.Equal(t, "done", c.last(0)["event"])
	c.send(`{"id":1,"type":"devices"}`, `{"id":2,"type":"memory"}`, `{"id":3,"type":"controlnet"}`, `{"id":4,"type":"lora"}`,
		`{"id":5,"type":"hello","request":{"casing":"pascalCase"}}`)
	assert.Equal(t, "cpu", c.last(1)["result"].(object)["devices"].([]any)[0].(object)["id"])
	memory := c.last(2)["result"].(object)
	assert.Greater(t, memory["go_heap"], 0.0)
	assert.Len(t, memory["models"], 1)
	controls := c.last(3)["result"].(object)
	assert.Equal(t, []any{filepath.Join(dir, "canny.safetensors")}, controls["nets"])
	assert.Empty(t, c.last(4)["result"].(object)["adapters"])
	assert.Equal(t, 1.0, c.event(5, "hello")["Protocol"])
	c.send(`{"id":6,"type":"status"}`)
	assert.NotNil(t, c.last(6)["Result"], "the casing of the hello holds where a question shows none")
	png := c.pictureOf("canny input")
	c.send(object{"id": 7, "type": "controlnet", "request": object{"image": "data:image/png;base64," + png, "preprocessor": "canny",
		"width": 32, "height": 32}})
	made := c.last(7)
	require.Equal(t, "done", get(made, "event"), made)
	assert.Equal(t, 32.0, get(made["Result"].(object), "width"))
	c.send(object{"id": 8, "type": "controlnet", "request": object{"image": "/none.png", "preprocessor": "canny"}})
	assert.Equal(t, codeBadFile, get(c.last(8), "code"))
	c.send(object{"id": 9, "type": "controlnet", "request": object{"image": "data:;base64," + png, "preprocessor": "cany"}})
	assert.Equal(t, codeInvalid, get(c.last(9), "code"))
}

// TestMemory asks what a model holds while it computes, and after.
func TestMemory(t *testing.T) {
	entered, proceed := make(chan struct{}), make(chan struct{})
	c := start(t, fakeOptions(&fake.Backend{Hook: func(_ context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet && call.Nth == 1 { // the buffer of the one before is there
			close(entered)
			<-proceed
		}
		return nil
	}}))
	c.send(object{"id": "load", "type": "load", "request": object{"name": "n", "model": object{"model": "nano",
		"lora_directories": []string{adapterFolder(t)}}}})
	loaded := c.last("load")["result"].(object)
	assert.NotContains(t, loaded, "memory", "load tells no figures of the moment")
	held := func(id string) object {
		c.send(object{"id": id, "type": "memory", "request": object{}})
		models := c.last(id)["result"].(object)["models"].([]any)
		require.Len(t, models, 1)
		list := models[0].(object)["memory"].([]any)
		require.Len(t, list, 1, "nothing but the model itself is open")
		return list[0].(object)
	}
	weights := func(m object) (sum float64, names []any) {
		for _, e := range m["components"].([]any) {
			part := e.(object)
			assert.Equal(t, true, part["loaded"], part)
			assert.Positive(t, part["weights"])
			assert.Equal(t, part["weights"], part["weights_peak"])
			sum, names = sum+part["weights"].(float64), append(names, part["name"])
		}
		return sum, names
	}
	before := held("before")
	sum, parts := weights(before)
	assert.Equal(t, []any{"text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder"}, parts)
	assert.Equal(t, object{"components": before["components"], "compute": 0.0, "compute_peak": 0.0, "adapters": 0.0, "adapters_peak": 0.0,
		"total": sum, "total_peak": sum}, before)
	c.send(inked("a", 1, nil))
	<-entered
	during := held("during")
	assert.Positive(t, during["compute"])
	assert.Positive(t, during["adapters"])
	assert.InDelta(t, sum+during["compute"].(float64)+during["adapters"].(float64), during["total"], 0)
	close(proceed)
	require.Equal(t, "done", c.last("a")["event"])
	after := held("after")
	assert.GreaterOrEqual(t, after["compute_peak"], during["compute"])
	assert.GreaterOrEqual(t, after["total_peak"], during["total"])

	c.send(`{"Id":"pascal","Type":"memory"}`)
	pascal := c.last("pascal")["Result"].(object)["Models"].([]any)[0].(object)["Memory"].([]any)[0].(object)
	assert.Equal(t, after["total_peak"], pascal["TotalPeak"])
	assert.Equal(t, "text_encoder", pascal["Components"].([]any)[0].(object)["Name"])
	c.send(`{"id":"status","type":"status"}`)
	assert.NotContains(t, c.last("status")["result"].(object)["models"].([]any)[0], "memory")
}
