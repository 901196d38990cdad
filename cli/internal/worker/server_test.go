package worker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/daguerre-go/daguerre/runtime/backend"
	"github.com/daguerre-go/daguerre/runtime/backend/fake"
	"github.com/daguerre-go/daguerre/runtime/request"
)

func TestGenerate(t *testing.T) {
	c := start(t, fakeOptions(&fake.Backend{}))
	hello := c.wait("hello", func(e object) bool { return e["event"] == "hello" })
	assert.Equal(t, object{"id": nil, "event": "hello", "time": hello["time"], "protocol": 1.0, "version": "test", "library": "fake 1",
		"engine": "none",
		"types":  hello["types"], "max_line": float64(DefaultMaxLine), "supervised": false, "pid": float64(os.Getpid())}, hello)
	m := small("a", object{"prompt": "a red circle", "num_images": 3, "max_batch": 2})
	m["deliver"] = object{"previews": 1}
	c.send(m)
	done := c.last("a")
	assert.Equal(t, "done", done["event"])
	assert.Equal(t, 3.0, done["images"])
	assert.Equal(t, []any{7.0}, done["seeds"])
	seen := names(c.of("a"))
	assert.Equal(t, []string{"accepted", "started"}, seen[:2])
	var indices, seeds []any
	for _, e := range c.of("a") {
		switch e["event"] {
		case "image":
			indices, seeds = append(indices, e["index"]), append(seeds, e["seed"])
			assert.Equal(t, "a red circle", promptOf(t, e))
			assert.Equal(t, 64.0, e["width"])
			assert.Nil(t, e["path"])
		case "preview":
			assert.Equal(t, "jpeg", e["format"])
			assert.NotEmpty(t, e["data"])
		}
	}
	assert.Equal(t, []any{0.0, 1.0, 2.0}, indices)
	assert.Equal(t, []any{7.0, 8.0, 9.0}, seeds)
	assert.Contains(t, seen, "progress")
	assert.Contains(t, seen, "preview")
}

func TestPicturesAsFilesAndLatents(t *testing.T) {
	dir := t.TempDir()
	c := start(t, fakeOptions(&fake.Backend{}))
	c.send(small(1, object{"output": filepath.Join(dir, "{seed}.webp"), "num_images": 2, "save_latents": filepath.Join(dir, "l.npy")}))
	both := small(2, object{"output": filepath.Join(dir, "both.jpg")})
	both["deliver"] = object{"images": "both", "format": "webp", "progress": false}
	c.send(both)
	assert.Equal(t, "done", c.last(1)["event"])
	assert.Equal(t, "done", c.last(2)["event"])
	for _, name := range []string{"7.webp", "8.webp", "l.npy", "both.jpg"} {
		assert.FileExists(t, filepath.Join(dir, name))
	}
	image := c.event(2, "image")
	assert.Equal(t, filepath.Join(dir, "both.jpg"), image["path"])
	assert.Equal(t, "webp", image["format"])
	assert.NotEmpty(t, image["data"])
	assert.NotContains(t, names(c.of(2)), "progress")
	assert.Equal(t, []any{2.0, 4.0, 8.0, 8.0}, c.event(1, "latents")["shape"])
}

// Requests that can be computed together are, and their pictures are what each would have had alone.
func TestRequestsShareABatch(t *testing.T) {
	entered, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c := start(t, fakeOptions(&fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			once.Do(func() { close(entered); <-proceed })
		}
		return nil
	}}))
	c.send(small("first", nil))
	<-entered
	seeing := small("e", nil)
	seeing["deliver"] = object{"previews": 1}
	c.send(small("a", object{"prompt": "a fox", "seed": 3}), small("b", object{"prompt": "a hen", "seed": 9}), seeing)
	c.behind("nano")
	close(proceed)
	for _, id := range []string{"first", "a", "b"} {
		assert.Equal(t, "done", c.last(id)["event"])
	}
	for _, id := range []string{"a", "b"} {
		var most float64
		for _, e := range c.of(id) {
			if e["event"] == "progress" {
				most = max(most, e["batch"].(float64))
				assert.Equal(t, 1.0, e["images"])
			}
		}
		assert.Equal(t, 2.0, most, id)
	}
	c.send(small("c", object{"prompt": "a fox", "seed": 3}))
	c.last("c")
	c.send(small("d", object{"prompt": "a hen", "seed": 9}))
	c.last("d")
	c.last("e")
	for _, e := range c.all("preview") {
		assert.Equal(t, "e", e["id"], "only who asks for previews gets them")
	}
	assert.NotEmpty(t, c.all("preview"))
	assert.NotEmpty(t, c.event("a", "image")["data"])
	assert.Equal(t, c.event("c", "image")["data"], c.event("a", "image")["data"])
	assert.Equal(t, c.event("d", "image")["data"], c.event("b", "image")["data"])
}

// Where a batch does not fit into memory its pictures are made in smaller ones.
func TestMemoryRunsOut(t *testing.T) {
	c := start(t, fakeOptions(&fake.Backend{Hook: func(_ context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet && call.Batch > 2 { // a picture with guidance
			return fmt.Errorf("planted: %w", backend.ErrOutOfMemory)
		}
		return nil
	}}))
	c.send(small("a", object{"num_images": 4, "max_batch": 4, "guidance_batch": "joint"}))
	done := c.last("a")
	assert.Equal(t, "done", done["event"])
	assert.Equal(t, 4.0, done["images"])
	assert.Nil(t, done["failed"])
}

// What was done otherwise than one may expect is told once for a job, however many batches meet it.
func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "damaged.safetensors"), []byte("no file of tensors"), 0o600))
	c := start(t, fakeOptions(&fake.Backend{}))
	model := object{"model": "nano", "embedding_directories": []string{dir}}
	c.send(small("a", object{"model": model, "prompt": "a damaged word", "num_images": 3, "max_batch": 1}), small("b", object{"model": model}))
	assert.Equal(t, "done", c.last("a")["event"])
	assert.Equal(t, "done", c.last("b")["event"])
	warnings := c.all("warning")
	require.Len(t, warnings, 1)
	assert.Equal(t, "a", warnings[0]["id"])
	assert.Contains(t, warnings[0]["message"], `the prompt names "damaged", whose file is not used`)
}

func TestBadLines(t *testing.T) {
	gate := make(chan struct{})
	o := fakeOptions(&fake.Backend{Hook: func(ctx context.Context, call fake.Call) error {
		if call.Op == fake.OpUNet {
			select {
			case <-gate:
			case <-ctx.Done():
			}
		}
		return nil
	}})
	o.MaxLine = 1 << 20
	c := start(t, o)
	line := 0
	bad := func(text, code, says string, withID bool) {
		t.Helper()
		before := len(c.all("error"))
		line++
		c.send(text)
		c.until(code, func() bool { return len(c.all("error")) > before })
		errs := c.all("error")
		last := errs[len(errs)-1]
		assert.Equal(t, code, get(last, "code"), text)
		assert.Contains(t, get(last, "message"), says, text)
		assert.Equal(t, withID, get(last, "id") != nil, text)
		if !withID {
			assert.Equal(t, float64(line), get(last, "line"), text)
		}
	}
	bad(`nope`, codeBadJSON, "not a JSON object", false)
	bad(`[1]`, codeBadJSON, "not a JSON object", false)
	bad(`{"id":1} {"id":2}`, codeBadJSON, "something follows", false)
	bad("\x00\xff", codeBadJSON, "not a JSON object", false)
	bad(strings.Repeat("[", 100000), codeBadJSON, "not a JSON object", false)
	bad(`{"type":"status"}`, codeBadMessage, "id: is missing", false)
	bad(`{"id":{},"type":"status"}`, codeBadMessage, "id: is no string or a number", false)
	bad(`{"id":"`+strings.Repeat("x", 300)+`","type":"status"}`, codeBadMessage, "id: is no string", false)
	bad(`{"id":1}`, codeBadMessage, "type: is missing", true)
	bad(`{"id":1,"type":"status","request":[]}`, codeBadMessage, "request: is no object", true)
	bad(`{"id":1,"type":"status","protocol":2}`, codeWrongVersion, "protocol 2 is not spoken here; this is version 1", true)
	bad(`{"id":1,"type":"statsu"}`, codeUnknownType, `did you mean "status"?`, true)
	bad(`{"id":1,"type":"status","reqest":{}}`, codeBadMessage, `did you mean "request"?`, true)
	bad(`{"id":1,"type":"generate","priority":"high"}`, codeBadMessage, "priority: is no integer", true)
	bad(`{"id":1,"type":"generate","deliver":{"images":"carrier pigeon","previews":-1,"x":1}}`, codeBadMessage, "deliver.images", true)
	bad(`{"id":1,"type":"generate","request":{"width":9,"prompt":3}}`, codeInvalid, "prompt: is 3", true)
	bad(`{"Id":1,"Type":"generate","Request":{"Width":9,"Prompt":"x"}}`, codeInvalid, "Width: is 9", true)
	bad(`{"id":1,"type":"generate","request":{"prompt":"x"}}`, codeNotFound, "no model is loaded", true)
	bad(`{"id":1,"type":"generate","request":{"model":"nano","jobs":[{},{}]}}`, codeInvalid, "batch takes several", true)
	bad(`{"id":1,"type":"cancel","request":{"target":"nobody"}}`, codeNotFound, "no request with the id", true)
	bad(`{"id":1,"type":"cancel"}`, codeInvalid, "target: is missing", true)
	bad(`{"id":1,"type":"status","request":{"x":1}}`, codeInvalid, "x: unknown key", true)
	bad(`{"id":1,"type":"unload","request":{"name":"x"}}`, codeNotFound, "no model is loaded", true)
	bad(`{"id":1,"type":"hello","request":{"casing":"kebab"}}`, codeInvalid, "casing", true)
	bad(`{"id":1,"type":"shutdown","request":{"mode":"now"}}`, codeInvalid, "mode", true)
	bad(`{"id":"long","type":"generate","request":{"prompt":"`+strings.Repeat("x", 2<<20)+`"}}`, codeLineTooLong,
		"longer than 1048576 bytes", true)

	c.send(small("busy", nil))
	line++
	c.event("busy", "started")
	bad(`{"id":"busy","type":"status"}`, codeDuplicateID, `the id "busy"`, false)
	bad(`{"id":"busy","type":"generate","request":{"width":9}}`, codeDuplicateID, "", false)
	bad(`{"id":"busy","type":"nothing"}`, codeUnknownType, "", false)
	close(gate)
	assert.Equal(t, "done", c.last("busy")["event"], "the others' mistakes are not its own")
	c.send(`{"id":"busy","type":"status"}`)
	c.until("a second end of busy", func() bool { return len(c.ofEnd("busy")) == 2 })
}

// TestHundredMegabyteLine holds that a line which is too long is not kept.
func TestHundredMegabyteLine(t *testing.T) {
	o := fakeOptions(&fake.Backend{})
	o.MaxLine = 1 << 20
	c := start(t, o)
	c.send(`{"id":0,"type":"status"}`)
	c.last(0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	_, err := io.WriteString(c.in, `{"id":"huge","type":"generate","request":{"prompt":"`)
	require.NoError(t, err)
	for range 100 {
		_, err = c.in.Write(chunk)
		require.NoError(t, err)
	}
	c.send(`"}}`)
	runtime.ReadMemStats(&after)
	assert.Equal(t, codeLineTooLong, c.last("huge")["code"])
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "bytes allocated for a line of 100 MiB")
	c.send(`{"id":1,"type":"status"}`)
	assert.Equal(t, "done", c.last(1)["event"], "the next line is read as before")
}

// TestThousandRequests sends requests of random validity, in random casings, and holds that each is answered once, in its casing, with
// its own pictures.
func TestThousandRequests(t *testing.T) {
	const n = 1000
	o := fakeOptions(&fake.Backend{})
	o.Limit = n
	c := start(t, o)
	r := rand.New(rand.NewPCG(1, 2))
	type sent struct {
		casing request.Casing
		valid  bool
		images int
		prompt string
	}
	wants := make([]sent, n)
	go func() {
		for i := range n {
			w := sent{casing: request.Casings[r.IntN(3)], valid: r.IntN(3) > 0, images: 1 + r.IntN(2), prompt: fmt.Sprint("prompt ", i)}
			key := w.casing.Key
			body := object{key("model"): "nano", key("prompt"): w.prompt, key("num_images"): w.images, key("width"): 64, key("height"): 64,
				key("num_inference_steps"): 1, key("seed"): 1000 * i}
			if !w.valid {
				wrong := []struct {
					k string
					v any
				}{{"width", 65}, {"guidance_scale", -1}, {"guidance_scael", 1}, {"num_images", "many"}, {"scheduler_options", 3}, {"model",
					7}}[r.IntN(6)]
				body[key(wrong.k)] = wrong.v
			}
			wants[i] = w
			c.send(object{key("id"): i, key("type"): "generate", key("request"): body})
		}
	}()
	ended := map[int]int{}
	c.wait("the end of all", func(e object) bool {
		if isEnd(e) {
			ended[int(get(e, "id").(float64))]++
		}
		return len(ended) == n
	})
	c.end()
	require.Len(t, ended, n)
	pictures := map[int]int{}
	c.mu.Lock()
	events := c.events
	c.mu.Unlock()
	total := 0
	for _, e := range events[1:] {
		id := int(get(e, "id").(float64))
		w := wants[id]
		for k := range e {
			assert.Equal(t, w.casing.Key("event") == "Event", k[0] >= 'A' && k[0] <= 'Z', "the casing of %s in %v", k, w.casing)
			if w.casing != request.SnakeCase {
				assert.NotContains(t, k, "_")
			}
		}
		switch get(e, "event") {
		case "done":
			assert.True(t, w.valid, id)
			total++
		case "error":
			assert.False(t, w.valid, "%d: %v", id, e)
			assert.Equal(t, codeInvalid, get(e, "code"))
			assert.NotEmpty(t, get(e, "fields"))
		case "image":
			seed := int(get(e, "seed").(float64))
			assert.Equal(t, 1000*id+pictures[id], seed, "pictures of %d", id)
			pictures[id]++
			if id%7 == 0 {
				assert.Equal(t, w.prompt, promptOf(t, e))
			}
		}
	}
	for id, w := range wants {
		assert.Equal(t, 1, ended[id], "ends of %d", id)
		if w.valid {
			assert.Equal(t, w.images, pictures[id], "pictures of %d", id)
		}
	}
	assert.Greater(t, total, n/2)
}

// TestNothingLeaks runs a thousand jobs and looks for goroutines and models that stay.
func TestNothingLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	b := &fake.Backend{}
	o := fakeOptions(b)
	c := talk(t.Context(), t, New(o))
	go func() {
		for i := range 1000 {
			m := small(i, object{"num_inference_steps": 1, "width": 8, "height": 8})
			m["deliver"] = object{"progress": false}
			c.send(m)
		}
		_ = c.in.Close()
	}()
	<-c.done
	require.NoError(t, c.err)
	assert.Len(t, c.all("done"), 1000)
	assert.Zero(t, b.LiveModels())
	c.until("no more goroutines than before", func() bool { return runtime.NumGoroutine() <= before })
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":1,"type":"generate","request":{"prompt":"x"},"deliver":{"images":"path"},"deadline_seconds":3}`))
	f.Add([]byte(`{"ID":"a","tyPe":[]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		m, bad := parse(line, request.SnakeCase, false, time.Now())
		if bad == nil && (m.id == nil || m.kind == "") {
			t.Fatalf("%q is taken without an id or a type", line)
		}
		_ = idInPrefix(line)
	})
}
